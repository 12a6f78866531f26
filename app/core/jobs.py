"""The doorbell: how a process tells the worker, through Redis, that rows are due. It carries channels' names only."""

import asyncio
from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from arq.connections import ArqRedis
from prometheus_client import Counter
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

DELIVER_ALERTS = "deliver_alerts"
RING_SECONDS = 0.15
"""With what the limiter waits for Redis (app/web/windows.py) a quarter of a second: what a lead's message may lose."""
RECEIPT_PREFIX: Final = "novahouse:receipt:"
"""Before an alert's id: the key of its receipt (worker/receipts.py)."""

ENQUEUE_FAILED = Counter("delivery_enqueue_failed", "Rings that did not reach Redis; the sweep finds their rows.")

_log = structlog.stdlib.get_logger(__name__)


def serialize_job(job: dict[str, Any]) -> bytes:
    """A job as JSON. arq's default is pickle, which would run whatever somebody put into Redis."""
    return orjson.dumps(job)


def deserialize_job(raw: bytes) -> dict[str, Any]:
    """The inverse of `serialize_job`."""
    job: dict[str, Any] = orjson.loads(raw)
    return job


def arq_redis(url: str, *, timeout_seconds: float, max_connections: int) -> ArqRedis:
    """An arq client that connects on first use, with our serializer. Every wait is bounded by `timeout_seconds`."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
    )
    return ArqRedis(pool, job_serializer=serialize_job, job_deserializer=deserialize_job)


class Doorbell:
    """Rings for alerts after their commit. Never raises and never takes longer than `RING_SECONDS`.

    A ring that fails costs latency only: the worker's sweeper finds the rows (DESIGN invariant 2).
    """

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis
        self.failures = 0

    async def __call__(self, channels: Collection[str]) -> None:
        """Tell a worker that something is due on these channels."""
        try:
            async with asyncio.timeout(RING_SECONDS):
                await self._redis.enqueue_job(DELIVER_ALERTS, sorted(channels))
        except (RedisError, OSError, TimeoutError) as error:
            self.failures += 1
            ENQUEUE_FAILED.inc()
            _log.warning("doorbell_failed", channels=sorted(channels), error=type(error).__name__)

    async def forget_receipts(self, alert_ids: Collection[UUID]) -> None:
        """Delete the receipts of alerts whose subject was erased. Those that Redis keeps lapse by themselves."""
        if not alert_ids:
            return
        try:
            async with asyncio.timeout(RING_SECONDS):
                await self._redis.delete(*(f"{RECEIPT_PREFIX}{alert_id}" for alert_id in alert_ids))
        except (RedisError, OSError, TimeoutError) as error:
            _log.warning("receipts_kept", count=len(alert_ids), error=type(error).__name__)

    async def ping(self) -> None:
        """Ask Redis for an answer. Raises RedisError or OSError when there is none."""
        await self._redis.ping()

    async def aclose(self) -> None:
        """Give connections back."""
        await self._redis.aclose(close_connection_pool=True)
