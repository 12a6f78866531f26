"""Entries of the audit log, and what somebody with every right in the database could do to them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg

from app.consent.service import Origin, record_decision
from app.core.db import Database

ORIGIN = Origin(ip="203.0.113.77", user_agent="Mozilla/5.0")

REWRITE = """
DO $$
DECLARE previous bytea; row consent_audit_log%ROWTYPE;
BEGIN
    SELECT coalesce((SELECT row_hash FROM consent_audit_log WHERE seq = FROM_SEQ - 1), decode(repeat('00', 32), 'hex'))
    INTO previous;
    FOR row IN SELECT * FROM consent_audit_log WHERE seq >= FROM_SEQ ORDER BY seq LOOP
        UPDATE consent_audit_log SET prev_hash = previous, row_hash = sha256(previous || convert_to(
            consent_audit_canonical(seq, at, event, subject_ref, purpose, text_version, text_sha256, locale, surface,
                                    message_seq, evidence_hash), 'UTF8'))
        WHERE seq = row.seq RETURNING row_hash INTO previous;
    END LOOP;
    UPDATE consent_audit_head SET (seq, row_hash) =
        (SELECT l.seq, l.row_hash FROM consent_audit_log l ORDER BY l.seq DESC LIMIT 1);
END $$
"""


async def append(connection: asyncpg.Connection, count: int = 1, *, subject_ref: UUID | None = None) -> None:
    """Append entries without evidence."""
    for number in range(count):
        await connection.execute(
            "SELECT consent_audit_append('consent.granted', $1, 'rodo', 1, repeat('0', 64), 'pl', 'chat', $2)",
            subject_ref or uuid4(),
            number,
        )


async def conversation(connection: asyncpg.Connection, *, email: str | None = None) -> UUID:
    """A conversation, with an address or without."""
    made = uuid4()
    await connection.execute(
        "INSERT INTO chat_conversations (id, token_hash, locale, language, email) VALUES ($1, $2, 'pl', 'pl', $3)",
        *(made, made.bytes, email),
    )
    return made


async def decide(database: Database, conversation_id: UUID, *, granted: bool = True) -> None:
    """Decide as the service does, with evidence."""
    async with database.transaction() as session:
        await record_decision(
            session,
            conversation_id=conversation_id,
            purpose="rodo",
            granted=granted,
            surface="api",
            seen=None,
            message_seq=None,
            origin=ORIGIN,
        )


@asynccontextmanager
async def tampering(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """The owner means it: it gives itself the rights back and switches the triggers off."""
    await connection.execute("GRANT UPDATE, DELETE ON consent_audit_log TO CURRENT_USER")
    await connection.execute("ALTER TABLE consent_audit_log DISABLE TRIGGER ALL")
    try:
        yield
    finally:
        for trigger in ("consent_audit_rows", "consent_audit_truncate"):
            await connection.execute(f"ALTER TABLE consent_audit_log ENABLE ALWAYS TRIGGER {trigger}")
        await connection.execute("REVOKE UPDATE, DELETE ON consent_audit_log FROM CURRENT_USER")


async def rewrite(connection: asyncpg.Connection, *, seq: int) -> None:
    """Compute every hash from `seq` on anew, and the head's, so that the chain holds by itself."""
    async with tampering(connection):
        await connection.execute(REWRITE.replace("FROM_SEQ", str(seq)))


async def cut(connection: asyncpg.Connection, *, seq: int) -> None:
    """Take away `seq` and everything behind it, and make the head fit."""
    async with tampering(connection):
        await connection.execute("DELETE FROM consent_audit_log WHERE seq >= $1", seq)
        await connection.execute(
            "UPDATE consent_audit_head SET (seq, row_hash) = "
            "(SELECT l.seq, l.row_hash FROM consent_audit_log l ORDER BY l.seq DESC LIMIT 1)"
        )


def read(path: Path) -> str:
    """What a file holds; nothing when it is not there."""
    return path.read_text() if path.exists() else ""


def write(path: Path, text: str) -> None:
    """Make a file hold this and nothing else."""
    path.write_text(text)
