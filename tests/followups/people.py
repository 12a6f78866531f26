"""Visitors who told us something, went quiet and agreed to hear from us, written straight into the tables."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg

from app.followups.calendar import WARSAW

NOON: Final = datetime(2026, 11, 26, 12, tzinfo=WARSAW)
"""A Thursday."""
DAY: Final = timedelta(days=1)
ANNA: Final = "anna.nowak@example.com"

_VISITOR: Final = """
WITH c AS (
    INSERT INTO chat_conversations (id, token_hash, locale, language, area_m2, package, city, property_type, email,
        phone, marketing_consent, last_seq, visitor_messages, created_at, last_message_at)
    VALUES ($1::uuid, sha256($1::uuid::text::bytea), $2, $2, 52, 'premium', 'Warszawa', 'apartment', $3, $4, $5, 2, 1,
        $6, $6)),
m AS (
    INSERT INTO chat_messages (conversation_id, seq, id, role, type, text, created_at)
    VALUES ($1, 1, gen_random_uuid(), 'bot', 'text', 'Dzień dobry', $6),
           ($1, 2, gen_random_uuid(), 'visitor', 'text', 'Mam 52 m2 w Warszawie', $6)),
l AS (
    INSERT INTO leads (id, conversation_id, score, language, email, phone)
    VALUES (gen_random_uuid(), $1, 50, $2, $3, $4))
INSERT INTO consent_state (conversation_id, purpose, granted, audit_seq, decided_at)
SELECT $1, 'marketing_email', $5::boolean, 1, $6 WHERE $5 IS NOT NULL
"""


async def visitor(
    sql: asyncpg.Connection,
    *,
    quiet_since: datetime,
    email: str | None = ANNA,
    phone: str | None = None,
    consent: bool | None = True,
    language: str = "pl",
) -> UUID:
    """Somebody who was last heard of at this instant; gives the conversation's id."""
    conversation_id = uuid4()
    await sql.execute(_VISITOR, conversation_id, language, email, phone, consent, quiet_since)
    return conversation_id


async def writes(sql: asyncpg.Connection, conversation_id: UUID, at: datetime, text: str = "Mam pytanie") -> None:
    """The visitor writes again."""
    await sql.execute(
        """
        WITH c AS (
            UPDATE chat_conversations SET last_seq = last_seq + 1, last_message_at = $2 WHERE id = $1
            RETURNING id, last_seq)
        INSERT INTO chat_messages (conversation_id, seq, id, role, type, text, created_at)
        SELECT id, last_seq, gen_random_uuid(), 'visitor', 'text', $3, $2 FROM c
        """,
        conversation_id,
        at,
        text,
    )


async def written(sql: asyncpg.Connection) -> list[tuple[UUID, int, str, str | None]]:
    """Every follow-up as conversation, number, state and reason."""
    rows = await sql.fetch(
        "SELECT conversation_id, followup_number, state, reason FROM followup_event ORDER BY created_at, id"
    )
    return [tuple(row) for row in rows]


async def alert(sql: asyncpg.Connection) -> Mapping[str, Any]:
    """The one alert that carries a follow-up."""
    rows = await sql.fetch("SELECT * FROM outbound_alert WHERE event = 'followup.due'")
    assert len(rows) == 1
    return dict(rows[0])
