"""Every query of the audit: the chain as a stream, and one person's entries as pages."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import asyncpg
from asyncpg.cursor import Cursor
from sqlalchemy import Select, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from app.consent.models import ConsentAudit
from app.core.db import AnyRow

ROWS_SQL: Final = """
SELECT l.seq, CASE WHEN l.at >= '0001-01-02 00:00+00' AND l.at < '9999-12-31 00:00+00' THEN l.at END,
       l.event, l.subject_ref, l.purpose, l.text_version, l.text_sha256, l.locale, l.surface, l.message_seq,
       l.evidence_hash, l.prev_hash, l.row_hash, e.salt, e.ip, e.user_agent, e.conversation_id
FROM consent_audit_log l LEFT JOIN consent_evidence e ON e.audit_seq = l.seq
WHERE l.seq > $1 ORDER BY l.seq
"""


@asynccontextmanager
async def snapshot(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """One unchanging view of the log for as long as it takes, without holding up those who write to it.

    Rows come by index from the first one on: a sort would first write the whole log to the server's disk.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL enable_sort = off")
        yield


async def stream(connection: asyncpg.Connection, *, after: int) -> "Cursor[Any]":
    """The rows after `after` with their evidence, in their order, to be fetched in batches (`chain.Row`)."""
    return await connection.cursor(ROWS_SQL, after)


async def head(connection: asyncpg.Connection) -> tuple[int, bytes] | None:
    """Where the chain ends, as its head row says; None without that row."""
    row = await connection.fetchrow("SELECT seq, row_hash FROM consent_audit_head WHERE id = 1")
    return None if row is None else (row[0], row[1])


async def row_hash(connection: asyncpg.Connection, seq: int) -> bytes | None:
    """The stored hash of one row; None when there is no such row."""
    found: bytes | None = await connection.fetchval("SELECT row_hash FROM consent_audit_log WHERE seq = $1", seq)
    return found


async def stray_evidence(connection: asyncpg.Connection, *, last: int) -> int | None:
    """Evidence for a row that the log, which ends at `last`, does not have; None when there is none."""
    found: int | None = await connection.fetchval(
        "SELECT audit_seq FROM consent_evidence WHERE audit_seq < 1 UNION ALL "
        "SELECT audit_seq FROM consent_evidence WHERE audit_seq > $1 LIMIT 1",
        last,
    )
    return found


async def page(
    session: AsyncSession, *, subject_refs: Select[UUID], before: int | None, limit: int
) -> Sequence[AnyRow]:
    """One page of what was recorded about these conversations, newest first, below the number `before`."""
    return (
        await session.execute(
            select(*ConsentAudit.__table__.columns)
            .where(ConsentAudit.subject_ref.in_(subject_refs), true() if before is None else ConsentAudit.seq < before)
            .order_by(ConsentAudit.seq.desc())
            .limit(limit)
        )
    ).all()
