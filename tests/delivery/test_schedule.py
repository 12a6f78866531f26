"""Scheduled jobs: whoever rings, however often and from wherever, a run is one worker's."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from app.core.db import Database
from app.core.settings import Settings
from worker.schedule import Job, Schedule, cron_jobs, slot

EVERY = timedelta(minutes=5)


class _Work:
    """Counts its runs."""

    def __init__(self) -> None:
        self.runs = 0
        self.fails = False

    async def __call__(self) -> int:
        self.runs += 1
        if self.fails:
            raise TimeoutError
        return 7


@pytest.fixture
async def databases(settings: Settings) -> AsyncIterator[tuple[Database, Database]]:
    """The database as two workers have it."""
    both = Database(settings.database_url, pool_size=4), Database(settings.database_url, pool_size=4)
    yield both
    for one in both:
        await one.dispose()


def _schedules(databases: tuple[Database, Database], work: _Work) -> list[Schedule]:
    return [Schedule([Job("work", EVERY, work)], database=database) for database in databases]


async def _ago(sql: asyncpg.Connection, interval: timedelta) -> None:
    assert await sql.execute("UPDATE scheduled_job SET started_at = now() - $1::interval", interval) == "UPDATE 1"


async def test_twenty_rings_at_two_workers_are_one_run(
    databases: tuple[Database, Database], sql: asyncpg.Connection
) -> None:
    work = _Work()
    first, second = _schedules(databases, work)
    for runs in (1, 2):
        await asyncio.gather(*(schedule.ring("work") for schedule in (first, second) for _ in range(10)))
        assert work.runs == runs
        await _ago(sql, EVERY)


@pytest.mark.parametrize(("slots_ago", "runs"), [(0.4, 1), (0.6, 2), (1.0, 2)])
async def test_a_ring_half_a_slot_early_counts_and_an_earlier_one_does_not(
    databases: tuple[Database, Database], sql: asyncpg.Connection, slots_ago: float, runs: int
) -> None:
    work = _Work()
    first, second = _schedules(databases, work)
    await first.ring("work")
    await _ago(sql, slots_ago * EVERY)
    await second.ring("work")
    assert work.runs == runs


async def test_an_overdue_run_is_caught_up_on_without_a_ring(
    databases: tuple[Database, Database], sql: asyncpg.Connection
) -> None:
    work = _Work()
    first, second = _schedules(databases, work)
    await first.catch_up()
    await _ago(sql, EVERY - timedelta(seconds=10))
    await asyncio.gather(*(schedule.catch_up() for schedule in (first, second)))
    assert work.runs == 1
    await _ago(sql, EVERY)
    await asyncio.gather(*(schedule.catch_up() for schedule in (first, second) for _ in range(10)))
    assert work.runs == 2


async def test_what_a_run_came_to_is_written_down(
    databases: tuple[Database, Database], sql: asyncpg.Connection
) -> None:
    work = _Work()
    schedule, _ = _schedules(databases, work)
    await schedule.ring("work")
    done = await sql.fetchrow("SELECT * FROM scheduled_job")
    assert done is not None
    assert (done["last_count"], done["last_error"], done["failed_at"]) == (7, None, None)
    work.fails = True
    await _ago(sql, EVERY)
    await schedule.ring("work")
    failed = await sql.fetchrow("SELECT * FROM scheduled_job")
    assert failed is not None
    assert (failed["last_error"], failed["succeeded_at"]) == ("TimeoutError", done["succeeded_at"])
    assert failed["failed_at"] > done["succeeded_at"]


async def test_a_ring_for_a_job_of_another_release_is_ignored(databases: tuple[Database, Database]) -> None:
    work = _Work()
    await _schedules(databases, work)[0].ring("unheard of")
    assert work.runs == 0


@pytest.mark.parametrize(
    ("every", "rings_every"),
    [
        (timedelta(seconds=0.3), timedelta(seconds=1)),
        (timedelta(seconds=1.2), timedelta(seconds=1)),
        (timedelta(seconds=30), timedelta(seconds=30)),
        (timedelta(minutes=5), timedelta(minutes=5)),
        (timedelta(minutes=7), timedelta(minutes=1)),
        (timedelta(minutes=1.5), timedelta(minutes=1)),
        (timedelta(hours=1), timedelta(hours=1)),
        (timedelta(hours=24), timedelta(minutes=1)),
    ],
)
def test_a_cron_rings_as_often_as_a_clock_face_can_say(every: timedelta, rings_every: timedelta) -> None:
    assert slot(every) == rings_every


def test_a_cron_rings_at_the_marks_of_the_clock_face() -> None:
    seconds, minutes, hours = cron_jobs(
        {"a": timedelta(seconds=20), "b": timedelta(minutes=20), "c": timedelta(hours=1)}
    )
    assert (seconds.second, seconds.minute) == ({0, 20, 40}, None)
    assert (minutes.second, minutes.minute) == (0, {0, 20, 40})
    assert (hours.second, hours.minute) == (0, {0})


async def test_a_job_s_mistake_is_noted_and_stops_neither_the_other_jobs_nor_the_sweep(
    database: Database, sql: asyncpg.Connection
) -> None:
    async def mistaken() -> int:
        raise ValueError("not the database's fault")

    async def right() -> int:
        return 7

    every = timedelta(minutes=5)
    await Schedule([Job("mistaken", every, mistaken), Job("right", every, right)], database=database).catch_up()
    rows = await sql.fetch("SELECT name, last_error, last_count FROM scheduled_job ORDER BY name")
    assert [tuple(row) for row in rows] == [("mistaken", "ValueError", None), ("right", None, 7)]
