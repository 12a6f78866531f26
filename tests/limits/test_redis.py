"""Limits while Redis is frozen, gone and back: every request is answered, soon and counted."""

import asyncio
import time
from pathlib import Path

import httpx
import redis

from app.devstack.redis import EmbeddedRedis
from app.web.windows import KEY_PREFIX
from tests.limits.conftest import SMALL, sample
from tests.processes import api, eventually

API = 6
GENEROUS_SECONDS = 3.0
"""What one answer may take on a machine that does other things too; the code's own bound is 0.1 s."""


async def timed(client: httpx.AsyncClient, path: str) -> tuple[int, float]:
    began = time.monotonic()
    response = await client.get(path)
    return response.status_code, time.monotonic() - began


async def in_memory(client: httpx.AsyncClient) -> bool:
    return await sample(client, "rate_limit_fallback") == 1


async def in_redis(client: httpx.AsyncClient) -> bool:
    return await sample(client, "rate_limit_fallback") == 0


async def test_a_frozen_redis_delays_nobody(
    environment: dict[str, str], own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    async with api(environment | {"REDIS_URL": own_redis.url}, tmp_path / "api.log") as (_, client):
        assert (await client.get("/v1/packages")).status_code == 200
        await asyncio.gather(*(client.get("/health/live") for _ in range(50)))  # connections are open
        own_redis.suspend()
        try:
            answers = await asyncio.gather(*(timed(client, "/v1/packages") for _ in range(50)))
            assert {status for status, _ in answers} == {200}
            assert max(seconds for _, seconds in answers) < GENEROUS_SECONDS
            assert await in_memory(client)
            assert (await timed(client, "/health/live"))[0] == 200
        finally:
            own_redis.resume()
        await eventually(lambda: in_redis(client), every=0.2)


async def test_memory_keeps_the_limits_while_redis_is_gone(
    environment: dict[str, str], own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    async with api(environment | SMALL | {"REDIS_URL": own_redis.url}, tmp_path / "api.log") as (_, client):
        assert [(await client.get("/v1/packages")).status_code for _ in range(API)] == [200] * API
        own_redis.kill()
        answers = [await client.post("/v1/quotes", json={"area_m2": -1}) for _ in range(2 * API)]
        assert [answer.status_code for answer in answers] == [422] * API + [429] * API
        assert await in_memory(client)
        own_redis.start()
        await eventually(lambda: in_redis(client), every=0.2)
        with redis.Redis.from_url(own_redis.url) as plain:
            assert plain.dbsize() == 0
            assert (await client.get("/v1/packages")).headers["RateLimit"].startswith('"api-hour";r=199')
            assert {key.split(b":")[0] for key in plain.scan_iter()} == {KEY_PREFIX.encode()}
        assert await sample(client, "rate_limit_fallbacks_total") == 1


async def test_a_process_starts_counting_anew_when_scripts_were_flushed(
    environment: dict[str, str], own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    async with api(environment | SMALL | {"REDIS_URL": own_redis.url}, tmp_path / "api.log") as (_, client):
        assert (await client.get("/v1/packages")).status_code == 200
        with redis.Redis.from_url(own_redis.url) as plain:
            plain.script_flush()
        answers = [(await client.get("/v1/packages")).status_code for _ in range(API)]
        assert answers == [200] * (API - 1) + [429]
        assert await in_redis(client)
