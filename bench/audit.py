"""How many entries of the audit log a second are verified, and how many are appended by writers at once."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import uuid4

import asyncpg

from app.consent.audit import verify
from app.consent.chain import Row, Walk, canonical
from app.consent.service import Evidence
from app.core.db import Database
from app.core.settings import Settings
from bench.processes import BenchError
from bench.report import Report, progress

WRITERS: Final = 20
EVIDENCE_EVERY: Final = 10
_SECONDS: Final = 3.0
_FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)
_APPEND: Final = "SELECT consent_audit_append('consent.granted', $1, 'rodo', 1, repeat('0', 64), 'pl', 'chat', 7)"
_COLUMNS: Final = Row._fields[:13]


async def measure(url: str, report: Report, *, rounds: int, rows: int) -> None:
    """Append with WRITERS connections, fill up to `rows` entries and verify them `rounds` times.

    `url` names a database whose log is empty.
    """
    report.add(f"audit: appends/s, {WRITERS} writers", await _appends(url))
    connection = await asyncpg.connect(url)
    try:
        await fill(connection, rows)
    finally:
        await connection.close()
    database = Database(Settings(database_url=url).database_url, pool_size=1)
    rates = []
    try:
        for _ in range(rounds):
            verdict = await verify(database, anchor=None)
            if not verdict.ok:
                raise BenchError(f"the audit log is broken at {verdict.broken_at}: {verdict.reason}")
            rates.append(float(verdict.rows_per_second))
            progress(f"audit  {rates[-1]:7.0f} entries/s")
    finally:
        await database.dispose()
    report.add_rounds("audit: entries verified/s", rates)


async def _appends(url: str) -> float:
    until = time.perf_counter() + _SECONDS

    async def write() -> int:
        connection, count = await asyncpg.connect(url), 0
        try:
            while time.perf_counter() < until:
                await connection.execute(_APPEND, uuid4())
                count += 1
        finally:
            await connection.close()
        return count

    began = time.perf_counter()
    counts = await asyncio.gather(*(write() for _ in range(WRITERS)))
    return sum(counts) / (time.perf_counter() - began)


async def fill(connection: asyncpg.Connection, rows: int) -> None:
    """Append `rows` entries in one go, each with its evidence where EVIDENCE_EVERY says so, as if people had decided.

    Ten thousand appends a second would be a minute of waiting; this is a COPY of what they would have written.
    """
    head = await connection.fetchrow("SELECT seq, row_hash FROM consent_audit_head")
    assert head is not None  # noqa: S101  the first migration writes it
    made = list(_rows(Walk(*head), rows))
    evidence = [row for row in made if row.salt is not None]
    async with connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.executemany(
            "INSERT INTO chat_conversations (id, token_hash, locale, language) VALUES ($1, $2, 'pl', 'pl')",
            [(row.subject_ref, row.row_hash) for row in evidence],
        )
        await connection.copy_records_to_table(
            "consent_audit_log", records=[row[:13] for row in made], columns=_COLUMNS
        )
        await connection.copy_records_to_table(
            "consent_evidence",
            records=[(row.seq, row.conversation_id, row.salt, row.ip, row.user_agent) for row in evidence],
            columns=("audit_seq", "conversation_id", "salt", "ip", "user_agent"),
        )
        await connection.execute(
            "UPDATE consent_audit_head SET seq = $1, row_hash = $2", made[-1].seq, made[-1].row_hash
        )


def _rows(walk: Walk, count: int) -> Iterator[Row]:
    for seq in range(walk.seq + 1, walk.seq + count + 1):
        kept = Evidence(uuid4().bytes, "192.0.2.0", "Mozilla/5.0") if seq % EVIDENCE_EVERY == 0 else None
        subject_ref = uuid4()
        row = Row(
            seq=seq,
            at=_FIRST + timedelta(milliseconds=seq),
            event="consent.granted",
            subject_ref=subject_ref,
            purpose="rodo",
            text_version=1,
            text_sha256="0" * 64,
            locale="pl",
            surface="chat",
            message_seq=7,
            evidence_hash=kept.commitment if kept else None,
            prev_hash=walk.row_hash,
            row_hash=b"",
            salt=kept.salt if kept else None,
            ip=kept.ip if kept else None,
            user_agent=kept.user_agent if kept else None,
            conversation_id=subject_ref if kept else None,
        )
        row = row._replace(row_hash=sha256(row.prev_hash + canonical(row)).digest())
        walk.seq, walk.row_hash = row.seq, row.row_hash
        yield row
