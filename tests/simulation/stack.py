"""PostgreSQL, Redis, one API process and the workers, all under the simulation's clock."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import asyncpg
import httpx
from alembic import command

from app.devstack.postgres import EmbeddedPostgres
from app.devstack.redis import EmbeddedRedis
from tests.chaos.stack import History, Worker
from tests.conftest import alembic_config
from tests.processes import api, inherited
from tests.simulation.leaps import Leaps
from tests.simulation.visitors import ADMIN_KEY

SEND_SECONDS: Final = 1.5
QUICK: Final = {
    "ADMIN_API_KEY": ADMIN_KEY,
    "ALERT_LEASE_SECONDS": "3",
    "ALERT_SEND_SECONDS": str(SEND_SECONDS),
    "ALERT_SWEEP_SECONDS": "0.25",
    "DLQ_RETRY_DELAY_MINUTES": "1",
    "DLQ_MAX_RETRIES": "9",
    "CHAT_RATE_LIMIT": "1000000 per minute",
    "API_RATE_LIMIT_MINUTE": "1000000 per minute",
    "API_RATE_LIMIT_HOUR": "10000000 per hour",
}
"""A claim lasts a few seconds of ours, since the clock runs at our pace between its leaps."""


class Stack:
    """What one simulation runs on."""

    def __init__(
        self, client: httpx.AsyncClient, sql: asyncpg.Pool, workers: Sequence[Worker], history: History
    ) -> None:
        self.client = client
        self.sql = sql
        self.workers = workers
        self.history = history

    def kill(self, name: str) -> None:
        """kill -9 the worker of this name, if it is still that one."""
        for worker in self.workers:
            if worker.name == name:
                worker.kill(self.history)

    def go_out(self) -> None:
        """Every worker dies and stays away."""
        for worker in self.workers:
            worker.wanted.clear()
            self.history.killed[worker.name] = self.history.note(f"kill {worker.name}", blow="worker")
            worker.end()

    def come_back(self) -> None:
        """They are started again."""
        for worker in self.workers:
            worker.wanted.set()


@asynccontextmanager
async def stack(
    folder: Path, leaps: Leaps, history: History, *, workers: int, mail_port: int, rng: random.Random
) -> AsyncIterator[Stack]:
    """Everything started and migrated; all of it gone at the end."""
    postgres, redis = EmbeddedPostgres(folder / "postgres", durable=False), EmbeddedRedis(folder / "redis")
    through = ("tests.simulation.clocked", str(leaps.file))
    tasks: list[asyncio.Task[None]] = []
    made: list[Worker] = []
    with ThreadPoolExecutor(max_workers=1) as thread:
        in_thread = partial(asyncio.get_running_loop().run_in_executor, thread)
        try:
            await in_thread(postgres.start)
            await in_thread(redis.start)
            await leaps.install(postgres.url)
            await in_thread(partial(_migrate, postgres.url))
            environment = partial(_environment, {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url}, mail_port)
            async with (
                api(environment("api"), folder / "api.log", through=through) as (_, client),
                asyncpg.create_pool(postgres.url, min_size=1, max_size=4) as sql,
            ):
                made = [
                    Worker(number, environment, folder, command=(*through, "arq", "worker.settings.WorkerSettings"))
                    for number in range(1, workers + 1)
                ]
                tasks = [asyncio.create_task(worker.run(rng)) for worker in made]
                yield Stack(client, sql, made, history)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for worker in made:
                worker.end()
            await in_thread(redis.stop)
            await in_thread(postgres.stop)


def _migrate(url: str) -> None:
    command.upgrade(alembic_config(url), "head")


def _environment(servers: dict[str, str], mail_port: int, name: str) -> dict[str, str]:
    mail = {
        "SMTP_URL": f"smtp://{name}:simulation@127.0.0.1:{mail_port}",
        "MAIL_FROM": "NovaHouse <czat@novahouse.example>",
    }
    return {**inherited(), **QUICK, **servers, **mail}
