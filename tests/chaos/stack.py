"""What is killed: PostgreSQL, Redis and workers, each started again, beside one API process that is left alone."""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from signal import Signals

import httpx
import redis as redis_client
from alembic import command

from app.core import clock
from app.devstack.postgres import EmbeddedPostgres
from app.devstack.process import Process
from app.devstack.redis import EmbeddedRedis
from tests.conftest import alembic_config
from tests.processes import ROOT, api, inherited

QUICK = {
    "ALERT_LEASE_SECONDS": "4",
    "ALERT_SEND_SECONDS": "2",
    "ALERT_SWEEP_SECONDS": "1",
    "CB_RESET_TIMEOUT": "1",
    "DLQ_RETRY_MINUTES": "0.02",
    "DLQ_RETRY_DELAY_MINUTES": "0.003",
    "DLQ_MAX_RETRIES": "8",
    "MONDAY_API_KEY": "chaos",
    "MONDAY_BOARD_ID": "1",
}
"""An outage lasts a second here, so everything that waits for its end is shorter than in production."""
_RESTART_SECONDS = (0.05, 0.6)
_POLL_SECONDS = 0.02


@dataclass(slots=True)
class History:
    """When what was down."""

    killed: dict[str, datetime] = field(default_factory=dict)
    """Workers' incarnations."""
    postgres: list[tuple[datetime, datetime]] = field(default_factory=list)
    events: list[tuple[datetime, str]] = field(default_factory=list)
    blows: Counter[str] = field(default_factory=Counter)

    def note(self, what: str, *, blow: str | None = None) -> datetime:
        """Write down that this happens now, and count it as a blow."""
        now = clock.now()
        if blow is not None:
            self.blows[blow] += 1
        self.events.append((now, what))
        return now


class Worker:
    """One worker under a restart loop. Every incarnation has a name of its own, and the remotes hear it."""

    def __init__(
        self,
        number: int,
        environment: Callable[[str], dict[str, str]],
        folder: Path,
        *,
        command: Sequence[str] = ("arq", "worker.settings.WorkerSettings"),
    ) -> None:
        self.wanted = asyncio.Event()
        """Cleared: once it has ended, it stays so."""
        self.wanted.set()
        self._number = number
        self._environment = environment
        self._command = command
        self._log = folder / f"worker-{number}.log"
        self._incarnation = 0
        self._seen_ready = ""  # a process tells its latest output only
        self._process: Process | None = None

    @property
    def name(self) -> str:
        """The present incarnation's name."""
        return f"w{self._number}-{self._incarnation}"

    @property
    def ready(self) -> bool:
        """Whether it runs and delivers."""
        process = self._process
        if process is None or process.exit_code() is not None:
            return False
        if self._seen_ready != self.name and "worker_ready" in process.output():
            self._seen_ready = self.name
        return self._seen_ready == self.name

    @property
    def last_line(self) -> str:
        """What it said last."""
        return "" if self._process is None else self._process.last_line()

    async def run(self, rng: random.Random) -> None:
        """Start it again whenever it ends, for ever."""
        while await self.wanted.wait():
            self._incarnation += 1
            self._process = Process(
                self.name,
                [sys.executable, "-m", *self._command],
                log=self._log,
                env=self._environment(self.name),
                cwd=ROOT,
            )
            while self._process.exit_code() is None:  # noqa: ASYNC110  a process has no event
                await asyncio.sleep(_POLL_SECONDS)
            self._process.kill()
            await asyncio.sleep(rng.uniform(*_RESTART_SECONDS))

    def kill(self, history: History) -> None:
        """kill -9, if it delivers."""
        if self.ready and self._process is not None:
            history.killed[self.name] = history.note(f"kill {self.name}", blow="worker")
            self._process.send(Signals.SIGKILL)

    def end(self) -> None:
        """Leave nothing behind."""
        if self._process is not None:
            self._process.kill()


class Stack:
    """The servers and processes of one run. Servers live as long as the one thread that starts them."""

    def __init__(self, postgres: EmbeddedPostgres, redis: EmbeddedRedis, thread: ThreadPoolExecutor) -> None:
        self.postgres = postgres
        self.redis = redis
        self.history = History()
        self.workers: list[Worker] = []
        self.client: httpx.AsyncClient
        self._thread = thread
        self._postgres_turn = asyncio.Lock()

    async def in_thread(self, work: Callable[[], object]) -> None:
        """Run something that blocks where servers are started."""
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def crash_postgres(self, *, immediate: bool) -> None:
        """End PostgreSQL without a checkpoint and start it again."""
        async with self._postgres_turn:
            went = self.history.note(f"postgres {'immediate' if immediate else 'kill -9'}", blow="postgres")
            await self.in_thread(partial(self.postgres.stop, "immediate") if immediate else self.postgres.kill)
            await self.in_thread(self.postgres.start)
            self.history.postgres.append((went, self.history.note("postgres answers")))

    async def crash_redis(self, *, flush: bool) -> None:
        """Empty Redis, by command or by killing it and starting it again."""
        self.history.note(f"redis {'flushall' if flush else 'kill -9'}", blow="redis")
        await self.in_thread(self._flush if flush else self._restart_redis)

    def _restart_redis(self) -> None:
        self.redis.kill()
        self.redis.start()

    def _flush(self) -> None:
        with redis_client.Redis.from_url(self.redis.url) as client:
            client.flushall()


@asynccontextmanager
async def stack(folder: Path, *, workers: int, receiver_port: int, rng: random.Random) -> AsyncIterator[Stack]:
    """Everything started, migrated and delivering to the receiver; all of it gone at the end."""
    postgres, redis = EmbeddedPostgres(folder / "postgres", durable=True), EmbeddedRedis(folder / "redis")
    with ThreadPoolExecutor(max_workers=1) as thread:
        running = Stack(postgres, redis, thread)
        tasks: list[asyncio.Task[None]] = []
        try:
            await running.in_thread(postgres.start)
            await running.in_thread(redis.start)
            await running.in_thread(lambda: command.upgrade(alembic_config(postgres.url), "head"))
            environment = partial(_environment, postgres.url, redis.url, receiver_port)
            async with api(environment("api"), folder / "api.log") as (_, running.client):
                running.workers = [Worker(number, environment, folder) for number in range(1, workers + 1)]
                tasks = [asyncio.create_task(worker.run(rng)) for worker in running.workers]
                yield running
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for worker in running.workers:
                worker.end()
            await running.in_thread(redis.stop)
            await running.in_thread(postgres.stop)


def _environment(postgres_url: str, redis_url: str, receiver_port: int, name: str) -> dict[str, str]:
    return {
        **inherited(),
        **QUICK,
        "DATABASE_URL": postgres_url,
        "REDIS_URL": redis_url,
        "SLACK_WEBHOOK_URL": f"http://127.0.0.1:{receiver_port}/slack/{name}",
        "MONDAY_API_URL": f"http://127.0.0.1:{receiver_port}/monday/{name}",
    }
