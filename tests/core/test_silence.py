"""PostgreSQL frozen: whoever waits for it hears within two seconds, and a slow statement is not taken for silence."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from sqlalchemy import text

from app.core.db import DATABASE_ERRORS, Database
from app.core.settings import Settings
from app.core.silence import SILENT_AFTER_SECONDS
from app.devstack.postgres import EmbeddedPostgres
from tests.conftest import OPERATOR
from tests.processes import api, eventually
from tests.talk import open_session

TOLD_SECONDS = 4.0
"""Two are meant; a busy machine may take longer. Without a bound of ours it is seven."""
COMMAND_SECONDS = 8.0


@pytest.fixture
async def impatient(database_url: str) -> AsyncIterator[Database]:
    """A way to the database as the API has it, with more time for one statement."""
    own = Database(Settings(database_url=database_url).database_url, pool_size=2, command_seconds=COMMAND_SECONDS)
    yield own
    await own.dispose()


async def test_a_frozen_postgresql_is_told_to_all_who_ask_in_time(
    database_url: str, redis_url: str, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "ADMIN_API_KEY": OPERATOR["Authorization"].removeprefix("Bearer "),
        "DRAIN_SECONDS": "0",
    }
    async with api(environment, tmp_path / "api.log") as (_, client):
        token = await open_session(client)
        asks: tuple[tuple[str, str, dict[str, str]], ...] = (
            ("GET", "/v1/leads", OPERATOR),
            ("GET", "/v1/status", OPERATOR),
            ("GET", "/v1/consent", token),
            ("GET", "/v1/chat/messages", token),
            ("POST", "/v1/chat/sessions", {}),
        )

        async def one(number: int) -> tuple[httpx.Response, float]:
            method, path, headers = asks[number % len(asks)]
            began = time.monotonic()
            return await client.request(method, path, headers=headers), time.monotonic() - began

        await asyncio.gather(*(one(number) for number in range(50)))  # connections are open
        postgres.suspend()
        try:
            for _ in range(2):  # with connections that were open, and without any
                told = await asyncio.gather(*(one(number) for number in range(50)))
                assert {answer.status_code for answer, _ in told} == {503}
                assert {answer.json()["code"] for answer, _ in told} == {"database-unavailable"}
                assert all(int(answer.headers["Retry-After"]) > 0 for answer, _ in told)
                assert max(seconds for _, seconds in told) < TOLD_SECONDS
        finally:
            postgres.resume()

        async def everything_answers() -> bool:
            again = await asyncio.gather(*(one(number) for number in range(len(asks))))
            return {answer.status_code for answer, _ in again} == {200, 201}

        await eventually(everything_answers)


async def test_a_transaction_in_which_the_server_falls_silent_ends(
    impatient: Database, postgres: EmbeddedPostgres
) -> None:
    async def freeze_within() -> None:
        async with impatient.transaction() as session:
            await session.execute(text("SELECT 1"))
            postgres.suspend()
            await session.execute(text("SELECT 1"))

    began = time.monotonic()
    try:
        with pytest.raises(DATABASE_ERRORS):
            await freeze_within()
        assert time.monotonic() - began < TOLD_SECONDS
    finally:
        postgres.resume()
    async with impatient.transaction() as session:
        assert (await session.execute(text("SELECT 1"))).scalar() == 1


async def test_whoever_waits_for_a_lock_is_let_wait(impatient: Database, sql: asyncpg.Connection) -> None:
    async def take() -> None:
        async with impatient.transaction() as session:
            await session.execute(text("SELECT pg_advisory_xact_lock(7)"))

    held = sql.transaction()
    await held.start()
    await sql.execute("SELECT pg_advisory_xact_lock(7)")
    waiting = asyncio.create_task(take())
    await asyncio.wait({waiting}, timeout=2 * SILENT_AFTER_SECONDS)
    assert not waiting.done()
    await held.rollback()
    await waiting


async def test_a_process_that_is_too_busy_itself_takes_nobody_for_silent(impatient: Database) -> None:
    async def hog() -> None:
        for _ in range(16):
            time.sleep(0.3)  # noqa: ASYNC251  it is what is tested
            await asyncio.sleep(0)

    async with impatient.transaction() as session:
        hogging = asyncio.create_task(hog())
        assert (await session.execute(text("SELECT 1 FROM pg_sleep(3)"))).scalar() == 1
    await hogging
