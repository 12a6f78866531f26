"""Scheduled jobs: arq's cron rings for them, PostgreSQL decides whose run is due, the sweep catches up on missed ones.

arq alone would run a slot twice when two workers are 1.5 s apart, would miss slots while Redis is away and would not
catch up on them (docs/decisions/0005-delivery.md).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog
from arq import cron
from arq.cron import CronJob

from app.core.db import DATABASE_ERRORS, Database
from app.operations import repository as operations
from worker import metrics

HOUR_MINUTES: Final = 60
MINUTE_SECONDS: Final = 60
JOB_SECONDS: Final = 30

_log = structlog.stdlib.get_logger(__name__)


class JobError(Exception):
    """A run failed for a reason of its own, which it has logged. The name of the class is what `status` shows."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do at intervals. `run` gives how many rows it touched; running it twice does no harm."""

    name: str
    every: timedelta
    run: Callable[[], Awaitable[int]]


class Schedule:
    """The jobs of this process; every worker has the same ones, and each run is one worker's."""

    def __init__(self, jobs: Sequence[Job], *, database: Database) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._database = database

    async def ring(self, name: str) -> None:
        """A cron says it is time; half a slot early counts, since clocks differ."""
        if name in self._jobs:
            await self._run_if_due(self._jobs[name], slack=slot(self._jobs[name].every) / 2)

    async def catch_up(self) -> None:
        """Run whatever is overdue: nobody rang for it, or it never ran."""
        for job in self._jobs.values():
            await self._run_if_due(job, slack=timedelta(0))

    async def _run_if_due(self, job: Job, *, slack: timedelta) -> None:
        async with self._database.transaction() as session:
            if not await operations.begin_run(session, name=job.name, every=job.every, slack=slack):
                return
        count, failure = None, None
        try:
            count = await job.run()
        except Exception as error:  # noqa: BLE001  one job's mistake must not stop the others, nor the sweep
            failure = type(error).__name__
            metrics.JOB_FAILURES.labels(job.name).inc()
            expected = isinstance(error, (*DATABASE_ERRORS, JobError))
            _log.warning("job_failed", job=job.name, error=failure, exc_info=None if expected else error)
        else:
            metrics.JOB_SUCCEEDED.labels(job.name).set_to_current_time()
            _log.info("job_done", job=job.name, count=count)
        async with self._database.transaction() as session:
            await operations.end_run(session, name=job.name, count=count, error=failure)


def slot(every: timedelta) -> timedelta:
    """How often a cron rings for a job: as often as it runs, where a clock face can say that."""
    seconds = every.total_seconds()
    if seconds < MINUTE_SECONDS:
        return timedelta(seconds=max(1, round(seconds)))
    minutes = seconds / MINUTE_SECONDS
    if minutes.is_integer() and HOUR_MINUTES % int(minutes) == 0:
        return every
    return timedelta(minutes=1)


def cron_jobs(intervals: dict[str, timedelta]) -> list[CronJob]:
    """arq's crons that ring for jobs, by name and interval."""
    return [_cron(name, slot(every)) for name, every in intervals.items()]


def _cron(name: str, every: timedelta) -> CronJob:
    async def ring(ctx: dict[str, Any]) -> None:
        await ctx["context"].schedule.ring(name)

    seconds = int(every.total_seconds())
    faces: dict[str, set[int] | int | None] = (
        {"second": set(range(0, MINUTE_SECONDS, seconds)), "minute": None}
        if seconds < MINUTE_SECONDS
        else {"second": 0, "minute": set(range(0, HOUR_MINUTES, seconds // MINUTE_SECONDS))}
    )
    return cron(ring, name=f"ring-{name}", **faces, timeout=JOB_SECONDS, keep_result=0, max_tries=1)  # type: ignore[arg-type]
