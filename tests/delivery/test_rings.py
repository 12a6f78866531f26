"""Redis loses everything, is away, or is rung for nothing: PostgreSQL alone decides what is sent."""

import signal
import time
from collections import Counter
from pathlib import Path

import asyncpg
import pytest
import redis as redis_client

from app.core.db import Database
from app.core.jobs import Doorbell, arq_redis
from app.core.settings import Settings
from app.devstack.redis import EmbeddedRedis
from app.leads import service as leads
from tests.delivery import alerts
from tests.delivery.receiver import Receiver
from tests.processes import api, eventually, worker
from tests.talk import CONSENT, ENQUIRY, open_session, say


async def test_an_emptied_redis_neither_loses_nor_repeats_an_alert(
    environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    with redis_client.Redis.from_url(environment["REDIS_URL"]) as redis:
        async with worker(environment, tmp_path / "worker.log") as process:
            await alerts.seed(sql, 1)
            await eventually(lambda: alerts.are(sql, delivered=1))
            process.send(signal.SIGSTOP)
            await alerts.seed(sql, 299, first=2)
            await alerts.ring(environment["REDIS_URL"], "slack")
            redis.flushall()
            process.send(signal.SIGCONT)
            await eventually(lambda: receiver.came(100))
            redis.flushall()
            await eventually(lambda: alerts.are(sql, delivered=300))
    assert Counter(request.who for request in receiver.requests) == {f"Lead {n}": 1 for n in range(1, 301)}


async def test_a_request_without_redis_is_quick_and_its_alert_is_found_by_the_sweep(
    environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, redis: EmbeddedRedis, tmp_path: Path
) -> None:
    async with (
        api(environment, tmp_path / "api.log") as (_, client),
        worker(environment, tmp_path / "worker.log"),
    ):
        token = await open_session(client)
        await say(client, token, ENQUIRY)
        redis.kill()
        try:
            began = time.monotonic()
            response = await say(client, token, CONSENT)
            took = time.monotonic() - began
            await eventually(lambda: alerts.are(sql, delivered=1))
        finally:
            redis.start()
    assert response.status_code == 201, response.text
    assert took < 1
    assert len(receiver.requests) == 1


FACTS = leads.LeadFacts(
    language="pl",
    score=50,
    name="Lead 1",
    phone="+48691222333",
    email=None,
    city=None,
    property_type=None,
    area_m2=None,
    package=None,
    budget_pln=None,
    rodo_consent=True,
    marketing_consent=None,
)


async def test_what_is_rolled_back_leaves_no_row_no_ring_and_no_message(
    environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    conversation_id = await alerts.conversation(sql)
    bell = Doorbell(arq_redis(environment["REDIS_URL"], timeout_seconds=5, max_connections=1))
    database = Database(Settings(database_url=environment["DATABASE_URL"]).database_url, pool_size=1, ring=bell)

    async def enquire(*, fail: bool) -> None:
        async with database.transaction() as session:
            await leads.capture(session, conversation_id=conversation_id, facts=FACTS, channels=["slack"], hot_score=80)
            if fail:
                raise _ChangedMindError

    with redis_client.Redis.from_url(environment["REDIS_URL"]) as redis:
        with pytest.raises(_ChangedMindError):
            await enquire(fail=True)
        assert redis.keys() == []
        assert await sql.fetchval("SELECT count(*) FROM leads") == 0
        assert await alerts.states(sql) == {}
        await enquire(fail=False)
        assert redis.zcard("arq:queue") == 1
    await database.dispose()
    await bell.aclose()
    async with worker(environment, tmp_path / "worker.log"):
        await eventually(lambda: alerts.are(sql, delivered=1))
    assert len(receiver.requests) == 1


class _ChangedMindError(Exception):
    pass
