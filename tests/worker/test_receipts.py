"""What was delivered is remembered, and whoever asks waits for a Redis that is slow."""

import asyncio
import signal
from pathlib import Path
from uuid import uuid4

from app.core.jobs import arq_redis
from app.devstack.redis import EmbeddedRedis
from worker.receipts import FIND_SECONDS, KEEP_SECONDS, Receipts


async def test_a_slow_redis_is_waited_for_before_an_alert_is_repeated(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as server:
        redis = arq_redis(server.url, timeout_seconds=FIND_SECONDS, max_connections=4)
        receipts = Receipts(redis)
        alert_id = uuid4()
        await receipts.keep({alert_id: "its-id-there"})
        server.process.send(signal.SIGSTOP)
        asyncio.get_running_loop().call_later(2 * KEEP_SECONDS, server.process.send, signal.SIGCONT)
        assert await receipts.find([alert_id, uuid4()]) == {alert_id: "its-id-there"}
        await redis.aclose(close_connection_pool=True)
