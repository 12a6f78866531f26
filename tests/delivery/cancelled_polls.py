"""A program for a test: how often the worker's poll of Redis outlives its cancellation, which is what SIGTERM does.

A process of its own, because the worker's module reads the environment and chooses the event loop.
"""

import asyncio
import random
import sys
from typing import Any

from arq.utils import poll
from arq.worker import func

from app.core.jobs import DELIVER_ALERTS, arq_redis, deserialize_job, serialize_job
from app.core.settings import read_settings
from worker.settings import SteadyWorker

TIMES = 300


async def _nothing(ctx: dict[Any, Any], channels: list[str]) -> None:
    pass


async def _poll(worker: SteadyWorker) -> None:
    async for _ in poll(0.001):
        await worker._poll_iteration()


async def _outlived(url: str) -> int:
    pool = arq_redis(url, timeout_seconds=5, max_connections=20)
    worker = SteadyWorker(
        functions=[func(_nothing, name=DELIVER_ALERTS, keep_result=0, max_tries=1)],
        redis_pool=pool,
        job_serializer=serialize_job,
        job_deserializer=deserialize_job,
        handle_signals=False,
    )
    outlived = 0
    for _ in range(TIMES):
        polling = asyncio.create_task(_poll(worker))
        await asyncio.sleep(0.003 * random.random())  # noqa: S311  when the signal comes
        polling.cancel()
        _, pending = await asyncio.wait([polling], timeout=10)
        if pending:
            outlived += 1
            break
    await pool.aclose(close_connection_pool=True)
    return outlived


if __name__ == "__main__":
    sys.exit(asyncio.run(_outlived(read_settings().redis_url)))
