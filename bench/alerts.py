"""How many alerts one worker delivers a second, against arq's own empty jobs, alternating on the same servers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from arq.connections import ArqRedis

from app.core.jobs import Doorbell, arq_redis
from app.devstack.process import Process
from bench.empty_worker import QUEUE
from bench.processes import BenchError, module
from bench.report import Report, progress

WARM_UP_JOBS = 100
_WAIT_SECONDS = 60
_POLL_SECONDS = 0.01
_AT_ONCE = 10

SEED = """
WITH c AS (
    INSERT INTO chat_conversations (id, token_hash, locale, language, rodo_consent, last_seq)
    SELECT gen_random_uuid(), sha256(gen_random_uuid()::text::bytea), 'pl', 'pl', true, 1
    FROM generate_series(1, $1::int) RETURNING id),
m AS (
    INSERT INTO chat_messages (conversation_id, seq, id, role, type, text)
    SELECT id, 1, gen_random_uuid(), 'visitor', 'text', 'Mam 52 m2, Premium' FROM c),
l AS (
    INSERT INTO leads (id, conversation_id, score, language, phone, area_m2, package, city, rodo_consent)
    SELECT gen_random_uuid(), id, 50, 'pl', '+48691222333', 52, 'premium', 'Warszawa', true FROM c
    RETURNING id, conversation_id),
s AS (
    INSERT INTO consent_state (conversation_id, purpose, granted, audit_seq, decided_at)
    SELECT id, 'rodo', true, 1, now() FROM c)
INSERT INTO outbound_alert (id, event, channel, subject_id, conversation_id, dedupe_key)
SELECT gen_random_uuid(), 'lead.captured', 'slack', id, conversation_id, 'bench:' || id FROM l
"""
_OPEN = "SELECT EXISTS (SELECT FROM outbound_alert WHERE state = 'pending' OR state = 'sending')"
_NOT_DELIVERED = "SELECT count(*) FROM outbound_alert WHERE state <> 'delivered'"


@dataclass(frozen=True, slots=True)
class _Queue:
    """One worker, how to give it work, and how to see that it has none left."""

    process: Process
    fill: Callable[[int], Awaitable[None]]
    is_empty: Callable[[], Awaitable[bool]]

    async def rate(self, jobs: int) -> float:
        """Jobs a second. The worker stands still while its queue is filled, so that filling costs it nothing."""
        self.process.suspend()
        try:
            await self.fill(jobs)
        finally:
            self.process.resume()
        started = time.perf_counter()
        await until(self.is_empty, f"{jobs} jobs are done")
        return jobs / (time.perf_counter() - started)


async def measure(environment: Mapping[str, str], folder: Path, report: Report, *, rounds: int, alerts: int) -> None:
    """Alternate `rounds` rounds of empty jobs and of alerts, and report medians and their ratio.

    `environment` names a Slack webhook that takes what it gets.
    """
    redis = arq_redis(environment["REDIS_URL"], timeout_seconds=5, max_connections=_AT_ONCE)
    connection = await asyncpg.connect(environment["DATABASE_URL"])
    try:
        with (
            module(
                "arq", "bench.empty_worker.WorkerSettings", environment=environment, log=folder / "empty.log"
            ) as arq,
            module("arq", "worker.settings.WorkerSettings", environment=environment, log=folder / "worker.log") as ours,
        ):
            await until(lambda: _says(arq, "redis_version"), "arq's worker starts")
            await until(lambda: _says(ours, "worker_ready"), "the worker starts")
            queues = {"arq": _empty_jobs(arq, redis), "worker": _alerts(ours, redis, connection)}
            rates: dict[str, list[float]] = {name: [] for name in queues}
            for queue in queues.values():
                await queue.rate(WARM_UP_JOBS)
            for _ in range(rounds):
                for name, queue in queues.items():
                    rates[name].append(await queue.rate(alerts))
                    progress(f"{name:<6} {rates[name][-1]:7.0f} jobs/s")
        if undelivered := await connection.fetchval(_NOT_DELIVERED):
            raise BenchError(f"{undelivered} alerts were not delivered")
    finally:
        await connection.close()
        await redis.aclose(close_connection_pool=True)
    report.add_rounds("arq: empty jobs/s", rates["arq"])
    report.add_rounds("worker: alerts/s", rates["worker"])
    ratios = [ours / empty for ours, empty in zip(rates["worker"], rates["arq"], strict=True)]
    report.add_rounds("alerts / empty jobs", ratios, at_least=0.4)


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Return when `condition` holds. Raises BenchError when it never does."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while not await condition():
        if time.monotonic() > deadline:
            raise BenchError(f"not within {_WAIT_SECONDS} s: {what}")
        await asyncio.sleep(_POLL_SECONDS)


async def _says(process: Process, words: str) -> bool:
    said = process.output()
    if process.exit_code() is not None:
        raise BenchError(f"the worker ended: {said.strip()[-400:]}")
    return words in said


async def _spread(task: Callable[[int], Awaitable[object]], count: int) -> None:
    async def every_nth(first: int) -> None:
        for number in range(first, count, _AT_ONCE):
            await task(number)

    await asyncio.gather(*(every_nth(first) for first in range(_AT_ONCE)))


def _empty_jobs(process: Process, redis: ArqRedis) -> _Queue:
    async def fill(jobs: int) -> None:
        await _spread(lambda _: redis.enqueue_job("nothing", ["0" * 36], _queue_name=QUEUE), jobs)

    async def is_empty() -> bool:
        return bool(await redis.zcard(QUEUE) == 0)

    return _Queue(process, fill, is_empty)


def _alerts(process: Process, redis: ArqRedis, connection: asyncpg.Connection) -> _Queue:
    ring = Doorbell(redis)

    async def fill(jobs: int) -> None:
        await connection.execute(SEED, jobs)
        await _spread(lambda _: ring(["slack"]), jobs)
        if ring.failures:
            raise BenchError(f"{ring.failures} rings did not reach Redis")

    async def is_empty() -> bool:
        return not await connection.fetchval(_OPEN)

    return _Queue(process, fill, is_empty)
