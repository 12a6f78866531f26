"""Receipts: the remote said yes, noted in Redis in case PostgreSQL and this process die before the yes is settled.

They carry alert ids and the remote's own id, are asked for only when an alert's worker was lost, and lapse after
RECEIPT_DAYS. Redis away or emptied costs a possible repeat, never an alert.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from app.core.jobs import RECEIPT_PREFIX

RECEIPT_DAYS: Final = 7
KEEP_SECONDS: Final = 0.25
"""How long noting may take: everything that is delivered passes here."""
FIND_SECONDS: Final = 2.0
"""How long asking may take: it is rare, and not to know means to repeat. A start on a busy machine takes its time."""
REST_SECONDS: Final = 5.0
"""How long Redis is left alone after it did not answer."""

_log = structlog.stdlib.get_logger(__name__)


class Receipts:
    """Never raises, and never takes longer than KEEP_SECONDS or FIND_SECONDS, which is `redis`'s own timeout too."""

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis
        self._resting_until = 0.0

    async def keep(self, delivered: Mapping[UUID, str | None]) -> None:
        """Note alerts that were delivered, with the remote's own ids where it gave some."""
        if not delivered or time.monotonic() < self._resting_until:
            return
        try:
            async with asyncio.timeout(KEEP_SECONDS), self._redis.pipeline(transaction=False) as pipeline:
                for alert_id, remote_ref in delivered.items():
                    pipeline.set(_key(alert_id), remote_ref or "", ex=timedelta(days=RECEIPT_DAYS))
                await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            self._rest(error)

    async def find(self, alert_ids: Sequence[UUID]) -> dict[UUID, str | None]:
        """Those of `alert_ids` that were delivered as far as Redis knows, with the remote's own ids."""
        if not alert_ids:
            return {}
        try:
            async with asyncio.timeout(FIND_SECONDS):
                found = await self._redis.mget([_key(alert_id) for alert_id in alert_ids])
        except (RedisError, OSError, TimeoutError) as error:
            self._rest(error)
            return {}
        return {
            alert_id: value.decode() or None
            for alert_id, value in zip(alert_ids, found, strict=True)
            if value is not None
        }

    def _rest(self, error: BaseException) -> None:
        self._resting_until = time.monotonic() + REST_SECONDS
        _log.warning("receipts_unavailable", error=type(error).__name__)


def _key(alert_id: UUID) -> str:
    return f"{RECEIPT_PREFIX}{alert_id}"
