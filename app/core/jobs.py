"""The doorbell: how a process tells the worker, through Redis, that rows are due. Redis carries row ids only."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
import structlog
from arq.connections import ArqRedis
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

DELIVER_ALERTS = "deliver_alerts"
RING_SECONDS = 0.25
RING_CHUNK = 50

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

    async def __call__(self, alert_ids: Sequence[UUID]) -> None:
        """Ask the worker to deliver these alerts."""
        try:
            async with asyncio.timeout(RING_SECONDS):
                for start in range(0, len(alert_ids), RING_CHUNK):
                    chunk = [str(alert_id) for alert_id in alert_ids[start : start + RING_CHUNK]]
                    await self._redis.enqueue_job(DELIVER_ALERTS, chunk)
        except (RedisError, OSError, TimeoutError) as error:
            self.failures += 1
            _log.warning("doorbell_failed", alerts=len(alert_ids), error=type(error).__name__)

    async def ping(self) -> None:
        """Ask Redis for an answer. Raises RedisError or OSError when there is none."""
        await self._redis.ping()

    async def aclose(self) -> None:
        """Give connections back."""
        await self._redis.aclose(close_connection_pool=True)
