"""Alerts: how many a worker delivers a second against arq's own empty jobs, and how long one takes end to end."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx

from app.core.jobs import Doorbell, arq_redis
from app.devstack.process import free_port
from bench.empty_worker import QUEUE
from bench.processes import BenchError, http_server, module, wait_for_http
from bench.report import Report, progress

RATE = 20
WAIT_SECONDS = 120
CONSENT = "tak, wyrażam zgodę na kontakt w sprawie oferty"

_SEED = """
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
SELECT gen_random_uuid(), 'lead.captured', 'slack', id, conversation_id, 'bench:' || id FROM l RETURNING id
"""


async def measure(environment: Mapping[str, str], folder: Path, report: Report, *, alerts: int, seconds: int) -> None:
    """Measure rate and latency, and report them."""
    port = free_port()
    receiver = f"http://127.0.0.1:{port}"
    environment = {**environment, "SLACK_WEBHOOK_URL": f"{receiver}/hook", "ALERT_SWEEP_SECONDS": "3600"}
    with module("bench.receiver", str(port), environment=environment, log=folder / "receiver.log") as process:
        wait_for_http(receiver, process, folder / "receiver.log")
        empty = await _empty_rate(environment, folder, jobs=alerts)
        progress(f"arq    {empty:7.0f} empty jobs/s")
        with module("arq", "worker.settings.WorkerSettings", environment=environment, log=folder / "worker.log"):
            ours = await _alert_rate(environment, folder, alerts=alerts)
            progress(f"worker {ours:7.0f} alerts/s")
            delays = await _delays(environment, folder, receiver, count=RATE * seconds)
    report.add("arq: empty jobs/s", empty)
    report.add("worker: alerts/s", ours)
    report.add("alerts / empty jobs", ours / empty, at_least=0.4)
    report.add(f"request to receiver at {RATE}/s, p50 ms", delays[len(delays) // 2], at_most=100)
    report.add(f"request to receiver at {RATE}/s, p99 ms", delays[int(len(delays) * 0.99)], at_most=500)


async def _until(condition: Callable[[], Awaitable[bool]], what: str) -> float:
    """Seconds until `condition` holds. Raises BenchError when it never does."""
    started = time.perf_counter()
    while not await condition():
        if time.perf_counter() - started > WAIT_SECONDS:
            raise BenchError(f"not within {WAIT_SECONDS} s: {what}")
        await asyncio.sleep(0.01)
    return time.perf_counter() - started


async def _empty_rate(environment: Mapping[str, str], folder: Path, *, jobs: int) -> float:
    redis = arq_redis(environment["REDIS_URL"], timeout_seconds=5, max_connections=20)

    async def queue_is_empty() -> bool:
        return bool(await redis.zcard(QUEUE) == 0)

    for _ in range(jobs):
        await redis.enqueue_job("nothing", ["0" * 36], _queue_name=QUEUE)
    with module("arq", "bench.empty_worker.WorkerSettings", environment=environment, log=folder / "empty.log"):
        await _until(lambda: _says(folder / "empty.log", "redis_version"), "arq's worker starts")
        seconds = await _until(queue_is_empty, "arq's queue is empty")
    await redis.aclose(close_connection_pool=True)
    return jobs / seconds


async def _says(log: Path, words: str) -> bool:
    return words in await asyncio.to_thread(log.read_text)


async def _alert_rate(environment: Mapping[str, str], folder: Path, *, alerts: int) -> float:
    await _until(lambda: _says(folder / "worker.log", "worker_ready"), "the worker starts")
    connection = await asyncpg.connect(environment["DATABASE_URL"])
    redis = arq_redis(environment["REDIS_URL"], timeout_seconds=5, max_connections=20)
    ring = Doorbell(redis)
    ids: list[UUID] = [row["id"] for row in await connection.fetch(_SEED, alerts)]

    async def all_delivered() -> bool:
        open_ones: int = await connection.fetchval("SELECT count(*) FROM outbound_alert WHERE state <> 'delivered'")
        return open_ones == 0

    started = time.perf_counter()
    for alert_id in ids:
        await ring([alert_id])
    await _until(all_delivered, "every alert is delivered")
    rate = alerts / (time.perf_counter() - started)
    await connection.close()
    await redis.aclose(close_connection_pool=True)
    return rate


async def _delays(environment: Mapping[str, str], folder: Path, receiver: str, *, count: int) -> list[float]:
    """Milliseconds from sending the consenting message to the receiver, sorted."""
    progress(f"{count} leads at {RATE} a second")
    sent: dict[str, float] = {}
    with http_server("app.main:app", environment=environment, log=folder / "api.log", path="/health/live") as base:
        async with httpx.AsyncClient(base_url=base, timeout=10) as client:

            async def lead(number: int) -> None:
                phone = f"+48691{number:06d}"
                opened = await client.post("/v1/chat/sessions")
                headers = {"Authorization": f"Bearer {opened.json()['session_token']}"}
                await client.post("/v1/chat/messages", json={"text": f"Mój telefon: {phone}"}, headers=headers)
                sent[phone] = time.time()
                said = await client.post("/v1/chat/messages", json={"text": CONSENT}, headers=headers)
                said.raise_for_status()

            tasks = []
            for number in range(count):
                tasks.append(asyncio.create_task(lead(number)))
                await asyncio.sleep(1 / RATE)
            await asyncio.gather(*tasks)

            async def all_arrived() -> bool:
                return set(sent) <= {phone for _, phone in (await client.get(receiver)).json()}

            await _until(all_arrived, "every alert arrives")
            arrived = {phone: at for at, phone in (await client.get(receiver)).json()}
    return sorted((arrived[phone] - at) * 1000 for phone, at in sent.items())
