"""The worker process: `arq worker.settings.WorkerSettings`."""

import asyncio
import os
import sys
from typing import Any, ClassVar, NoReturn

import arq.worker
import structlog
import uvloop
from arq.cron import CronJob
from arq.worker import Function, Worker, func
from redis.exceptions import RedisError

from app.core.jobs import DELIVER_ALERTS, arq_redis, deserialize_job, serialize_job
from app.core.logging import configure_logging, log_uncaught
from app.core.settings import SettingsError, read_settings
from worker import context, jobs
from worker.context import Context, StartError
from worker.schedule import JOB_SECONDS, cron_jobs
from worker.tasks import deliver_alerts

MAX_JOBS = 50
FINISH_SECONDS = 20
POLL_SECONDS = 0.05
REDIS_TIMEOUT_SECONDS = 5.0
REDIS_RETRY_SECONDS = 1.0

_log = structlog.stdlib.get_logger(__name__)


def _give_up(error: Exception) -> NoReturn:
    """End the process with one line and exit code 1."""
    sys.stderr.write(f"novahouse worker: {error}\n")
    sys.stderr.flush()
    os._exit(1)


class SteadyWorker(Worker):
    """arq's worker, which ends when Redis does, made to wait for Redis instead; rows are swept meanwhile.

    At the very start an absent Redis is an error: then the address is wrong rather than the weather bad.
    """

    async def main(self) -> None:
        """Run until stopped."""
        try:
            await self.pool.ping()
        except (RedisError, OSError, TimeoutError) as error:
            _give_up(StartError(f"Redis does not answer at REDIS_URL: {type(error).__name__}"))
        try:
            await super().main()
        except StartError as error:
            _give_up(error)
        except (RedisError, OSError, TimeoutError) as error:  # once it polls, Redis may come and go
            _give_up(StartError(f"Redis does not answer as it should at REDIS_URL: {type(error).__name__}"))

    async def _poll_iteration(self) -> None:
        try:
            await super()._poll_iteration()
        except (RedisError, OSError, TimeoutError) as error:
            _log.warning("redis_unavailable", error=type(error).__name__)
            self._forget_failed_starts()
            await asyncio.sleep(REDIS_RETRY_SECONDS)
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise asyncio.CancelledError  # Python 3.11's wait_for, inside the Redis client, may swallow a SIGTERM's

    def _forget_failed_starts(self) -> None:
        """Give back the job slots of starts that Redis interrupted, and drop tasks that ended with its error."""
        self.tasks = {job_id: task for job_id, task in self.tasks.items() if not task.done()}
        while self.job_counter > len(self.tasks):
            self._release_sem_dec_counter_on_complete()

    async def close(self) -> None:
        """Finish, and leave Redis alone when it is away."""
        try:
            await super().close()
        except (RedisError, OSError, TimeoutError) as error:
            _log.warning("redis_unavailable", error=type(error).__name__)
            if self.on_shutdown:
                await self.on_shutdown(self.ctx)


asyncio.set_event_loop(uvloop.new_event_loop())  # the one that arq's worker takes
arq.worker.Worker = SteadyWorker  # type: ignore[misc]  # the arq command makes its worker from this name

try:
    _settings = read_settings()
except SettingsError as _error:
    _give_up(_error)


async def _on_startup(ctx: dict[str, Any]) -> None:
    configure_logging(
        level=_settings.log_level, json=_settings.environment == "production", secrets=_settings.secret_values
    )
    log_uncaught()
    ctx["context"] = await context.start(_settings)
    _log.info("worker_ready", channels=_settings.configured_channels)


async def _on_shutdown(ctx: dict[str, Any]) -> None:
    started: Context | None = ctx.pop("context", None)
    if started is not None:
        await started.aclose()


class WorkerSettings:
    """What the arq command reads. Retries are ours, so arq keeps no results and tries nothing twice."""

    functions: ClassVar[list[Function]] = [
        func(deliver_alerts, name=DELIVER_ALERTS, keep_result=0, timeout=JOB_SECONDS, max_tries=1)
    ]
    cron_jobs: ClassVar[list[CronJob]] = cron_jobs(jobs.intervals(_settings))
    redis_pool = arq_redis(_settings.redis_url, timeout_seconds=REDIS_TIMEOUT_SECONDS, max_connections=100)
    job_serializer = staticmethod(serialize_job)
    job_deserializer = staticmethod(deserialize_job)
    on_startup = staticmethod(_on_startup)
    on_shutdown = staticmethod(_on_shutdown)
    max_jobs = MAX_JOBS
    job_timeout = JOB_SECONDS
    job_completion_wait = FINISH_SECONDS
    keep_result = 0
    max_tries = 1
    poll_delay = POLL_SECONDS
    health_check_interval = 10
    log_results = False
