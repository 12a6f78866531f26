"""Through a pooler in transaction mode everything works as without."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from app.core.db import Database
from app.core.settings import Settings
from tests.conftest import OPERATOR
from tests.core.pooler import Pooler
from tests.delivery.receiver import Receiver
from tests.processes import api, eventually, worker
from tests.talk import capture_lead, open_session, say

VISITORS = 12


async def test_the_main_job_through_a_pooler(
    database_url: str, redis_url: str, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    receiver = Receiver()
    async with receiver.listening(), Pooler(database_url).listening() as pooler:
        environment = {
            "DATABASE_URL": pooler.url,
            "REDIS_URL": redis_url,
            "SLACK_WEBHOOK_URL": receiver.url("slack"),
            "ADMIN_API_KEY": OPERATOR["Authorization"].removeprefix("Bearer "),
            "ALERT_SWEEP_SECONDS": "0.5",
            "DRAIN_SECONDS": "0",
        }
        async with api(environment, tmp_path / "api.log") as (_, client), worker(environment, tmp_path / "worker.log"):
            await asyncio.gather(*(capture_lead(client) for _ in range(VISITORS)))
            await eventually(lambda: _delivered(sql))
            token = await open_session(client)
            said = await asyncio.gather(*(say(client, token, f"mam {area} m2") for area in range(40, 48)))
            assert {response.status_code for response in said} <= {201, 503}
            proof = await client.get("/v1/audit/verify", headers=OPERATOR)
            assert (proof.status_code, proof.json()["rows"]) == (200, VISITORS), proof.text
            leads = await client.get("/v1/leads", headers=OPERATOR)
            assert len(leads.json()["items"]) == VISITORS
    assert len(receiver.requests) == VISITORS
    assert pooler.transactions > 10 * VISITORS


async def _delivered(sql: asyncpg.Connection) -> bool:
    return bool(await sql.fetchval("SELECT count(*) FROM outbound_alert WHERE state = 'delivered'") == VISITORS)


async def test_both_ways_to_the_database_keep_nothing_prepared(database_url: str) -> None:
    async with Pooler(database_url).listening() as pooler:
        database = Database(Settings(database_url=pooler.url).database_url, pool_size=2)
        try:
            for number in range(20):
                async with database.driver() as connection:
                    assert await connection.fetchval("SELECT $1::int", number) == number
                    assert [row[0] for row in await connection.fetch("SELECT $1::int", number)] == [number]
                    async with connection.transaction():
                        assert await connection.fetchval("SELECT $1::jsonb", '{"a": 1}') == {"a": 1}
                async with database.transaction() as session:
                    assert (await session.execute(text("SELECT CAST(:n AS int)"), {"n": number})).scalar() == number
        finally:
            await database.dispose()


async def test_without_a_pooler_statements_stay_prepared_and_the_server_keeps_the_time(database_url: str) -> None:
    database = Database(Settings(database_url=database_url).database_url, pool_size=1)
    try:
        async with database.driver() as connection:
            assert await connection.fetchval("SHOW statement_timeout") == "10s"
            await connection.fetchval("SELECT 1 + $1::int", 1)
            assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements") > 0
    finally:
        await database.dispose()


async def test_who_does_not_know_the_pooler_is_refused_by_it(database_url: str) -> None:
    async with Pooler(database_url).listening() as pooler:
        with pytest.raises(asyncpg.PostgresError, match="unsupported startup parameter"):
            await asyncpg.connect(pooler.url, server_settings={"statement_timeout": "1"})
