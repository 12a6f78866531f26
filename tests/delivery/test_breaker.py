"""The circuit breaker as the remote sees it, with several workers, restarts and time zones."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
import redis as redis_client

from app.alerts.repository import queue
from tests.delivery import alerts
from tests.delivery.fleet import workers
from tests.delivery.receiver import BROKEN, YES, Answer, Receiver, Request
from tests.processes import eventually, worker

FAIL_MAX = 2
RESET_SECONDS = 3.0


async def test_an_open_breaker_lets_one_trial_through_for_all_workers_and_outlives_them(
    environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    opening = 2 * FAIL_MAX
    trial_over = asyncio.Event()

    async def breaks_for_both_workers_and_for_the_trial(request: Request) -> Answer:
        if request.number <= opening:
            both = request.number + request.number % 2
            await eventually(lambda: receiver.came(both))
            return BROKEN
        if request.number == opening + 1:
            await trial_over.wait()
            return BROKEN
        return YES

    receiver.scripts["slack"] = breaks_for_both_workers_and_for_the_trial
    careful = environment | {
        "ALERT_CONCURRENCY": "1",
        "CB_FAIL_MAX": str(FAIL_MAX),
        "CB_RESET_TIMEOUT": str(RESET_SECONDS),
    }

    async def is_open() -> bool:
        return (await alerts.gate(sql))["open_until"] is not None

    async def untried() -> int:
        tried = sorted({request.who for request in receiver.requests})
        count: int = await sql.fetchval(
            "SELECT count(*) FROM outbound_alert JOIN leads ON leads.id = subject_id "
            "WHERE state = 'pending' AND attempts = 0 AND name <> ALL ($1::text[])",
            tried,
        )
        return count

    await alerts.seed(sql, 50)
    async with workers(2, careful, tmp_path / "first.log"):
        await eventually(is_open)

        async def the_others_are_given_back() -> bool:
            return await untried() == 50 - opening

        await eventually(the_others_are_given_back)
    half_open_at = (await alerts.gate(sql))["open_until"].timestamp()
    assert len(receiver.requests) == opening
    with redis_client.Redis.from_url(environment["REDIS_URL"]) as redis:
        redis.flushall()

    async with workers(2, careful, tmp_path / "second.log"):
        await eventually(lambda: receiver.came(opening + 1))
        trial = receiver.requests[opening]
        assert trial.at >= half_open_at
        await _nothing_comes(receiver, seconds=1)
        assert await untried() + len({request.who for request in receiver.requests}) == 50
        trial_over.set()
        await eventually(lambda: receiver.came(opening + 2))
        second = receiver.requests[opening + 1]
        assert trial.over_at is not None
        assert second.at >= trial.over_at + RESET_SECONDS
        await eventually(lambda: alerts.are(sql, delivered=50))
    assert len(receiver.requests) == opening + 1 + 50
    closed = await alerts.gate(sql)
    assert (closed["open_until"], closed["failures"], closed["probe_token"]) == (None, 0, None)


async def _nothing_comes(receiver: Receiver, *, seconds: float) -> None:
    before = len(receiver.requests)
    await asyncio.sleep(seconds)
    assert len(receiver.requests) == before


@pytest.mark.parametrize("zone", ["Europe/Warsaw", "America/New_York"])
async def test_the_breaker_half_opens_after_its_timeout_in_every_time_zone(
    environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, tmp_path: Path, zone: str
) -> None:
    async def breaks_at_first(request: Request) -> Answer:
        return BROKEN if request.number <= FAIL_MAX else YES

    receiver.scripts["slack"] = breaks_at_first
    there = environment | {
        "TZ": zone,
        "ALERT_CONCURRENCY": "1",
        "CB_FAIL_MAX": str(FAIL_MAX),
        "CB_RESET_TIMEOUT": "1.5",
    }
    await alerts.seed(sql, 10)
    began = time.time()
    async with worker(there, tmp_path / "worker.log"):
        await eventually(lambda: alerts.are(sql, delivered=10), seconds=30)
    assert len(receiver.requests) == FAIL_MAX + 10
    last_failure, trial = receiver.requests[FAIL_MAX - 1], receiver.requests[FAIL_MAX]
    assert last_failure.over_at is not None
    assert 1.5 <= trial.at - last_failure.over_at < 30
    assert last_failure.at > began


async def test_what_is_claimed_before_the_gate_hears_of_the_last_failure_is_not_sent(
    environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    async def breaks_at_first(request: Request) -> Answer:
        return BROKEN if request.number <= FAIL_MAX else YES

    receiver.scripts["slack"] = breaks_at_first
    careful = environment | {
        "ALERT_CONCURRENCY": str(FAIL_MAX),
        "CB_FAIL_MAX": str(FAIL_MAX),
        "CB_RESET_TIMEOUT": str(RESET_SECONDS),
    }
    holder = await asyncpg.connect(environment["DATABASE_URL"])
    async with worker(careful, tmp_path / "worker.log"):
        async with holder.transaction():
            await holder.execute("SELECT FROM channel_gate WHERE channel = 'slack' FOR UPDATE")
            await alerts.seed(sql, FAIL_MAX)
            await alerts.ring(careful["REDIS_URL"], "slack")
            await eventually(lambda: receiver.came(FAIL_MAX))
            await alerts.seed(sql, 4, first=FAIL_MAX + 1)
            await eventually(lambda: alerts.are(sql, sending=FAIL_MAX + 4))
        await eventually(lambda: alerts.are(sql, delivered=FAIL_MAX + 4))
    await holder.close()
    assert len(receiver.requests) == FAIL_MAX + FAIL_MAX + 4
    last_failure, trial = receiver.requests[FAIL_MAX - 1 : FAIL_MAX + 1]
    assert last_failure.over_at is not None
    assert trial.at >= last_failure.over_at + RESET_SECONDS


async def test_twenty_who_ask_for_the_trial_at_once_get_one_and_another_when_its_worker_is_lost(
    database_url: str, sql: asyncpg.Connection
) -> None:
    await alerts.seed(sql, 30)
    await sql.execute(
        "UPDATE channel_gate SET open_until = now(), opened_at = now(), epoch = 1 WHERE channel = 'slack'"
    )

    async def ask() -> queue.Claimed | None:
        own = await asyncpg.connect(database_url)
        try:
            return await queue.claim_probe(
                own, "slack", token=uuid4(), lease=timedelta(minutes=2), probe_lease=timedelta(minutes=1)
            )
        finally:
            await own.close()

    for _ in range(2):
        trials = await asyncio.gather(*(ask() for _ in range(20)))
        assert len([trial for trial in trials if trial is not None]) == 1
        assert await sql.execute("UPDATE channel_gate SET probe_until = now() WHERE channel = 'slack'") == "UPDATE 1"
    assert await alerts.are(sql, pending=28, sending=2)
    assert await queue.claim(sql, "slack", token=uuid4(), lease=timedelta(minutes=2), limit=5, pace=None) == []
