"""Repeated requests over real API processes, in parallel and past a `kill -9`: one row, whatever happens."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest

from tests.conftest import ADMIN_KEY
from tests.followups_api.people import visitor, write
from tests.processes import api, eventually

CROWD = 100
KILLS = 3
WRITTEN = "SELECT count(*) FROM followup_event WHERE conversation_id = $1"


@pytest.fixture
def environment(database_url: str, redis_url: str) -> dict[str, str]:
    """An API without a worker; mail is off."""
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "ADMIN_API_KEY": ADMIN_KEY, "LOG_LEVEL": "WARNING"}


@pytest.fixture
async def two(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Clients of two API processes on the same database."""
    async with (
        api(environment, tmp_path / "a.log") as (_, first),
        api(environment, tmp_path / "b.log") as (_, second),
    ):
        yield [first, second]


async def insistent(ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """Ask until there is an answer, as the problem says."""
    while True:
        response = await ask()
        if response.status_code == 409:
            assert response.json()["code"] == "idempotency-key-in-progress", response.text
            assert response.headers["Retry-After"] == "1"
        elif response.status_code != 503:
            return response
        await asyncio.sleep(random.uniform(0.01, 0.1))  # noqa: S311


async def crowd(ask: Callable[[int], Awaitable[httpx.Response]]) -> list[httpx.Response]:
    """The answers of CROWD callers at once."""
    return await asyncio.gather(*(insistent(partial(ask, number)) for number in range(CROWD)))


async def test_a_hundred_identical_requests_to_two_processes_write_one(
    two: list[httpx.AsyncClient], sql: asyncpg.Connection
) -> None:
    conversation_id, _ = await visitor(two[0])
    answers = await crowd(lambda n: write(two[n % 2], conversation_id))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: CROWD - 1}
    assert Counter(answer.headers.get("Idempotent-Replayed") for answer in answers) == {None: 1, "true": CROWD - 1}
    assert len({answer.content for answer in answers}) == 1
    assert await sql.fetchval("SELECT count(*) FROM followup_event") == 1
    assert await sql.fetchval("SELECT count(*) FROM operator_action") == 1


async def test_a_hundred_under_one_key_write_one_and_get_the_first_answer(
    two: list[httpx.AsyncClient], sql: asyncpg.Connection
) -> None:
    conversation_id, _ = await visitor(two[0])
    key = str(uuid4())
    answers = await crowd(lambda n: write(two[n % 2], conversation_id, key=key))
    assert Counter(answer.status_code for answer in answers) == {201: CROWD}
    assert Counter(answer.headers.get("Idempotent-Replayed") for answer in answers) == {None: 1, "true": CROWD - 1}
    assert len({answer.content for answer in answers}) == 1
    assert await sql.fetchval("SELECT count(*) FROM followup_event") == 1


async def test_a_key_makes_one_of_what_nothing_else_does(two: list[httpx.AsyncClient], sql: asyncpg.Connection) -> None:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Idempotency-Key": str(uuid4())}
    answers = await crowd(lambda n: two[n % 2].post("/v1/channels/slack/reset", headers=headers))
    assert len({answer.content for answer in answers}) == 1
    assert await sql.fetchval("SELECT count(*) FROM operator_action") == 1


@dataclass(frozen=True)
class Batch:
    """A conversation's follow-ups 1 to CROWD, each asked for under its own key or none."""

    conversation_id: str
    keyed: bool
    answers: dict[int, bytes] = field(default_factory=dict)

    async def ask(self, client: httpx.AsyncClient, number: int) -> None:
        """Ask for one, and keep the answer if there is one."""
        key = f"{self.conversation_id}-{number}" if self.keyed else None
        response = await insistent(lambda: write(client, self.conversation_id, number, key=key))
        assert response.status_code in {200, 201}, response.text
        self.answers[number] = response.content

    async def ask_all(self, client: httpx.AsyncClient) -> None:
        """Ask for all at once; those that get no answer go without."""
        asked = (self.ask(client, number) for number in range(1, CROWD + 1))
        for result in await asyncio.gather(*asked, return_exceptions=True):
            assert result is None or isinstance(result, httpx.TransportError)


@pytest.mark.parametrize("keyed", [True, False])
async def test_a_retry_after_a_kill_finds_all_or_nothing(
    environment: dict[str, str], sql: asyncpg.Connection, tmp_path: Path, keyed: bool
) -> None:
    batch = None
    for attempt in range(KILLS + 1):
        async with api(environment, tmp_path / f"{attempt}.log") as (process, client):
            if batch is not None:
                answered = dict(batch.answers)
                assert len(answered) < CROWD, "killed too late to show anything"
                assert len(answered) <= await sql.fetchval(WRITTEN, batch.conversation_id) <= CROWD
                await batch.ask_all(client)
                assert await sql.fetchval(WRITTEN, batch.conversation_id) == CROWD
                assert {number: batch.answers[number] for number in answered} == answered
                assert await sql.fetchval("SELECT count(*) FROM operator_action") == CROWD * attempt
            if attempt < KILLS:
                batch = Batch((await visitor(client))[0], keyed)
                asking = asyncio.create_task(batch.ask_all(client))
                wanted = random.randint(1, CROWD // 2)  # noqa: S311
                await eventually(partial(_reached, batch, wanted), every=0.001)
                process.send(signal.SIGKILL)
                await process.exit_code()
                await asking


async def _reached(batch: Batch, wanted: int) -> bool:
    return len(batch.answers) >= wanted
