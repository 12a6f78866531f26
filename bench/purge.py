"""The purge against one plain DELETE of as many rows, and the chat beside it."""

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Final

import asyncpg

from app.core.db import Database
from app.core.settings import Settings
from app.privacy import purge
from app.privacy.purge import Retention
from bench import wrk
from bench.chat import Target, message, open_sessions, target
from bench.messages import TYPICAL
from bench.processes import BenchError, http_server
from bench.report import Report, progress

MESSAGES: Final = 9
"""Of each conversation; with its own row ten."""
CONNECTIONS: Final = 20
"""Enough to keep the service busy and few enough that its queue does not hide what the purge costs."""
_ROUNDS: Final = 5
_SECONDS: Final = 5
_CALM_SECONDS: Final = 10
"""After the rows are there, until what PostgreSQL still does about them is no more in the chat's way."""
_KEPT: Final = Retention(
    chat=timedelta(days=90), lead=timedelta(days=365), evidence=timedelta(days=365), alert=timedelta(days=90)
)

_FILL: Final = """
WITH c AS (
    INSERT INTO chat_conversations (id, token_hash, locale, language, last_seq, created_at, last_message_at)
    SELECT gen_random_uuid(), sha256((random()::text || n)::bytea), 'pl', 'pl', $2::int,
        now() - interval '200 days' + n * interval '1 second', now() - interval '100 days'
    FROM generate_series(1, $1::int) n RETURNING id)
INSERT INTO chat_messages (conversation_id, seq, id, role, type, text)
SELECT id, seq, gen_random_uuid(), 'visitor', 'text', 'Mam 52m2 w Warszawie, pakiet Premium'
FROM c, generate_series(1, $2::int) seq
"""
_PLAIN: Final = "DELETE FROM chat_conversations WHERE created_at < now() - interval '90 days'"


async def measure(environment: Mapping[str, str], report: Report, *, rows: int) -> None:
    """Delete `rows` expired rows in one statement, then as many in batches; report rows a second and their ratio."""
    url = environment["DATABASE_URL"]
    connection = await asyncpg.connect(url)
    database = Database(Settings(database_url=url).database_url, pool_size=2)
    try:
        plain = await _plain_delete(connection, rows)
        progress(f"plain DELETE {plain:,.0f} rows/s")
        await _fill(connection, rows)
        began = time.monotonic()
        counts = await purge.purge(database, _KEPT, budget_seconds=float("inf"))
        batched = counts["chats"] / (time.monotonic() - began)
        if counts["chats"] != _conversations(rows) * (MESSAGES + 1):
            raise BenchError(f"the purge deleted {counts['chats']} rows")
        progress(f"in batches   {batched:,.0f} rows/s")
    finally:
        await database.dispose()
        await connection.close()
    report.add("purge: plain DELETE, rows/s", plain)
    report.add("purge: in batches, rows/s", batched)
    report.add("purge / plain DELETE, rows/s", batched / plain, at_least=0.5)


def measure_chat(environment: Mapping[str, str], folder: Path, report: Report, *, rows: int, sessions: int) -> None:
    """The chat's p99 alternately without and with the purge; report both and their ratio."""
    url = environment["DATABASE_URL"]
    with http_server(
        "app.main:app", environment=environment, log=folder / "purge-chat.log", path="/health/ready"
    ) as ours:
        tokens = open_sessions(ours.base, sessions)
        chat = target(folder / "purge.lua", f"{ours.base}/v1/chat/messages", heads=tokens, talks=[[message(TYPICAL)]])
        asyncio.run(_fill_url(url, rows))
        chat.load(_CALM_SECONDS, connections=CONNECTIONS)
        quiet, purging = [], []
        for _ in range(_ROUNDS):
            quiet.append(chat.load(_SECONDS, connections=CONNECTIONS))
            purging.append(asyncio.run(_load_while_purging(url, chat)))
            progress(f"chat p99 {quiet[-1].p99_ms:.1f} ms, beside the purge {purging[-1].p99_ms:.1f} ms")
    report.add_rounds("chat p99 ms, alone", [load.p99_ms for load in quiet])
    report.add_rounds("chat p99 ms, beside the purge", [load.p99_ms for load in purging])
    ratios = [beside.p99_ms / alone.p99_ms for beside, alone in zip(purging, quiet, strict=True)]
    report.add_rounds("chat p99, beside the purge / alone", ratios, at_most=1.5)
    rates = [
        beside.requests_per_second / alone.requests_per_second for beside, alone in zip(purging, quiet, strict=True)
    ]
    progress(f"chat requests/s beside the purge / alone: {median(rates):.2f}")


async def _load_while_purging(url: str, chat: Target) -> wrk.Load:
    """One load with the purge at work for as long as it lasts."""
    database = Database(Settings(database_url=url).database_url, pool_size=2)
    try:
        purging = asyncio.create_task(purge.purge(database, _KEPT, budget_seconds=_SECONDS))
        load = await asyncio.to_thread(chat.load, _SECONDS, connections=CONNECTIONS)
        counts = await purging
    finally:
        await database.dispose()
    if not counts["chats"]:
        raise BenchError("there was nothing to purge beside the chat")
    progress(f"purged {counts['chats']:,} rows meanwhile")
    return load


async def _plain_delete(connection: asyncpg.Connection, rows: int) -> float:
    await _fill(connection, rows)
    began = time.monotonic()
    await connection.execute(_PLAIN)
    return _conversations(rows) * (MESSAGES + 1) / (time.monotonic() - began)


async def _fill_url(url: str, rows: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        await _fill(connection, rows)
    finally:
        await connection.close()


async def _fill(connection: asyncpg.Connection, rows: int) -> None:
    await connection.execute(_FILL, _conversations(rows), MESSAGES)
    await connection.execute("VACUUM ANALYZE chat_conversations")
    await connection.execute("VACUUM ANALYZE chat_messages")


def _conversations(rows: int) -> int:
    return rows // (MESSAGES + 1)
