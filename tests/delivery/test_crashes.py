"""Processes that die in the middle of a send, and what the next one makes of it."""

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
import redis as redis_client

from app.devstack.postgres import EmbeddedPostgres
from tests.delivery import alerts
from tests.delivery.receiver import YES, Answer, Receiver, Request
from tests.processes import Running, eventually, running, worker


async def test_a_send_whose_worker_is_killed_is_repeated_once_and_says_so(
    environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    async def hangs_once(request: Request) -> Answer | None:
        return None if request.number == 1 else YES

    receiver.scripts["slack"] = hangs_once
    short = environment | {"ALERT_LEASE_SECONDS": "3", "ALERT_SEND_SECONDS": "2.5"}
    await alerts.seed(sql, 1)
    async with worker(short, tmp_path / "first.log") as first:
        await eventually(lambda: receiver.came(1))
        first.send(signal.SIGKILL)
        await first.exit_code()
    async with worker(short, tmp_path / "second.log"):
        await eventually(lambda: alerts.are(sql, delivered=1))
    assert [request.says_repeat for request in receiver.requests] == [False, True]
    assert (await alerts.about(sql, "Lead 1"))["attempts"] == 2
    assert await alerts.attempts(sql) == [(1, "ambiguous", "worker_lost"), (2, "delivered", None)]
    assert await alerts.letters(sql) == {}


@contextmanager
def crashed(postgres: EmbeddedPostgres) -> Iterator[None]:
    """PostgreSQL as after a crash, and back at the end."""
    postgres.stop("immediate")
    try:
        yield
    finally:
        postgres.start()


class _LateYes:
    """Takes what comes and says so when it is told to."""

    def __init__(self) -> None:
        self.now = asyncio.Event()

    async def __call__(self, _request: Request) -> Answer:
        await self.now.wait()
        return YES


async def test_a_yes_that_postgresql_did_not_live_to_hear_is_settled_when_it_is_back(
    environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    receiver.scripts["slack"] = says = _LateYes()
    await alerts.seed(sql, 1)
    async with worker(environment, tmp_path / "worker.log") as process:
        await eventually(lambda: receiver.came(1))
        with crashed(postgres):
            says.now.set()
            await eventually(lambda: _wrote(process, "settle_failed"))
        again = await asyncpg.connect(environment["DATABASE_URL"])
        await eventually(lambda: alerts.are(again, delivered=1))
        assert await alerts.attempts(again) == [(1, "delivered", None)]
        await again.close()
    assert len(receiver.requests) == 1


async def test_a_yes_that_neither_postgresql_nor_the_worker_survived_is_known_by_its_receipt(
    environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    receiver.scripts["slack"] = says = _LateYes()
    await alerts.seed(sql, 1)
    alert_id = (await alerts.about(sql, "Lead 1"))["id"]
    with redis_client.Redis.from_url(environment["REDIS_URL"]) as redis:

        async def noted() -> bool:
            return bool(redis.exists(f"novahouse:receipt:{alert_id}"))

        async with worker(environment, tmp_path / "first.log") as first:
            await eventually(lambda: receiver.came(1))
            with crashed(postgres):
                says.now.set()
                await eventually(noted)
                first.send(signal.SIGKILL)
                await first.exit_code()
    again = await asyncpg.connect(environment["DATABASE_URL"])
    assert await again.execute("UPDATE outbound_alert SET lease_until = now() WHERE state = 'sending'") == "UPDATE 1"
    async with worker(environment, tmp_path / "second.log"):
        await eventually(lambda: alerts.are(again, delivered=1))
    assert (await alerts.about(again, "Lead 1"))["last_error"] == "known_by_receipt"
    await again.close()
    assert len(receiver.requests) == 1


async def _wrote(process: Running, words: str) -> bool:
    return words in process.output


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_message_that_kills_its_worker_is_given_up_and_takes_no_neighbour_along(
    environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, tmp_path: Path, concurrency: int
) -> None:
    attempts, poison = 3, "Lead 2"
    own = await asyncpg.connect(environment["DATABASE_URL"])
    current: list[Running] = []

    async def what_came_is_settled() -> bool:
        came = {request.who for request in receiver.requests} - {poison}
        return (await alerts.states(own)).get("delivered", 0) == len(came)

    async def kills(request: Request) -> Answer | None:
        if request.who != poison:
            return YES
        if concurrency == 1:
            await eventually(what_came_is_settled)
        current[0].send(signal.SIGKILL)
        return None

    async def supervise() -> None:
        for life in itertools.count():
            arguments = ("arq", "worker.settings.WorkerSettings")
            async with running(*arguments, environment=mortal, log=tmp_path / f"{life}.log") as process:
                current[:] = [process]
                await process.exit_code(seconds=60)

    receiver.scripts["slack"] = kills
    mortal = environment | {
        "ALERT_CONCURRENCY": str(concurrency),
        "DLQ_MAX_RETRIES": str(attempts - 1),
        "ALERT_LEASE_SECONDS": "2",
        "ALERT_SEND_SECONDS": "1.5",
        "SCHEDULER_ENABLED": "false",
    }
    await alerts.seed(sql, 21)
    supervisor = asyncio.create_task(supervise())
    try:
        await eventually(lambda: alerts.are(sql, delivered=20, failed=1), seconds=60)
    finally:
        supervisor.cancel()
        await asyncio.gather(supervisor, return_exceptions=True)
        await own.close()
    came = Counter(request.who for request in receiver.requests)
    assert came.pop(poison) == attempts
    assert len(came) == 20
    assert set(came.values()) <= ({1} if concurrency == 1 else {1, 2, 3}), "in flight beside two crashes at most"
    victim = await alerts.about(sql, poison)
    assert (victim["attempts"], victim["last_error"], victim["letter"]) == (attempts, "crash_loop", "failed")
    assert await alerts.letters(sql) == {"failed": 1}


async def test_workers_that_are_ended_politely_again_and_again_send_everything_once(
    environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    async def takes_its_time(request: Request) -> Answer:
        await asyncio.sleep(0.02 + request.number % 7 * 0.005)
        return YES

    receiver.scripts["slack"] = takes_its_time
    await alerts.seed(sql, 300)
    for enough in (60, 120, 180, 240):
        async with worker(environment | {"ALERT_CONCURRENCY": "4"}, tmp_path / f"{enough}.log") as process:
            await eventually(lambda enough=enough: receiver.came(enough))  # type: ignore[misc]
            process.send(signal.SIGTERM)
            assert await process.exit_code() == 0
        assert set(await alerts.states(sql)) == {"pending", "delivered"}
    async with worker(environment, tmp_path / "last.log"):
        await eventually(lambda: alerts.are(sql, delivered=300))
    assert Counter(request.who for request in receiver.requests) == {f"Lead {n}": 1 for n in range(1, 301)}


async def test_no_sigterm_is_lost_in_a_poll_of_redis(environment: dict[str, str], tmp_path: Path) -> None:
    async with running("tests.delivery.cancelled_polls", environment=environment, log=tmp_path / "polls.log") as polls:
        assert await polls.exit_code() == 0, polls.output
