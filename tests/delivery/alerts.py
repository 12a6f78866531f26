"""Alerts about leads `Lead 1`, `Lead 2`, … written straight into the tables, and what became of them."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core.jobs import Doorbell, arq_redis

_SEED: Final = """
WITH n AS MATERIALIZED (
    SELECT number, gen_random_uuid() AS conversation, gen_random_uuid() AS lead
    FROM generate_series($2::int, $2::int + $1::int - 1) AS number),
c AS (
    INSERT INTO chat_conversations (id, token_hash, locale, language, rodo_consent, last_seq)
    SELECT conversation, sha256(conversation::text::bytea), 'pl', 'pl', true, 1 FROM n),
m AS (
    INSERT INTO chat_messages (conversation_id, seq, id, role, type, text)
    SELECT conversation, 1, gen_random_uuid(), 'visitor', 'text', 'Mam 52 m2, Premium' FROM n),
l AS (
    INSERT INTO leads (id, conversation_id, score, language, name, phone, area_m2, package, city, rodo_consent)
    SELECT lead, conversation, 50, 'pl', 'Lead ' || number, '+48691222333', 52, 'premium', 'Warszawa', true FROM n),
s AS (
    INSERT INTO consent_state (conversation_id, purpose, granted, audit_seq, decided_at)
    SELECT conversation, 'rodo', true, 1, now() FROM n)
INSERT INTO outbound_alert (id, event, channel, subject_id, conversation_id, dedupe_key, next_attempt_at)
SELECT gen_random_uuid(), 'lead.captured', $3::text, lead, conversation, $3::text || ':' || lead,
    now() - interval '1 second' + number * interval '1 microsecond'
FROM n
"""
_OF_LEAD: Final = """
SELECT a.*, d.status AS letter, d.reason FROM outbound_alert a JOIN leads l ON l.id = a.subject_id
LEFT JOIN dead_letter_queue d ON d.alert_id = a.id WHERE l.name = $1
"""


async def seed(sql: asyncpg.Connection, count: int, *, first: int = 1, channel: str = "slack") -> None:
    """`count` alerts that are due, in the order of their leads' numbers, which begin with `first`. Nobody rings."""
    await sql.execute(_SEED, count, first, channel)


async def ring(redis_url: str, *channels: str) -> None:
    """Tell a worker, as a request does after its commit."""
    bell = Doorbell(arq_redis(redis_url, timeout_seconds=5, max_connections=1))
    await bell(channels)
    await bell.aclose()
    assert bell.failures == 0


async def about(sql: asyncpg.Connection, lead: str) -> Mapping[str, Any]:
    """The alert about a lead, with the `letter` and `reason` of its dead letter."""
    row = await sql.fetchrow(_OF_LEAD, lead)
    assert row is not None
    return dict(row)


async def states(sql: asyncpg.Connection) -> dict[str, int]:
    """How many alerts are in each state."""
    return {row[0]: row[1] for row in await sql.fetch("SELECT state, count(*) FROM outbound_alert GROUP BY state")}


async def letters(sql: asyncpg.Connection) -> dict[str, int]:
    """How many dead letters have each status."""
    return {row[0]: row[1] for row in await sql.fetch("SELECT status, count(*) FROM dead_letter_queue GROUP BY status")}


async def gate(sql: asyncpg.Connection, channel: str = "slack") -> Mapping[str, Any]:
    """What holds a channel back."""
    row = await sql.fetchrow("SELECT * FROM channel_gate WHERE channel = $1", channel)
    assert row is not None
    return dict(row)


async def attempts(sql: asyncpg.Connection) -> list[tuple[Any, ...]]:
    """Every attempt's number, outcome and error, in the order in which they began; without those of notices."""
    rows = await sql.fetch(
        "SELECT d.attempt, d.outcome, d.error FROM delivery_attempt d JOIN outbound_alert a ON a.id = alert_id "
        "WHERE event NOT LIKE 'notice.%' ORDER BY started_at, d.id"
    )
    return [tuple(row) for row in rows]


async def are(sql: asyncpg.Connection, **wanted: int) -> bool:
    """Whether alerts are in these states and no others."""
    return await states(sql) == wanted


async def conversation(sql: asyncpg.Connection) -> UUID:
    """A conversation whose visitor agreed to be contacted and of which nothing came yet; gives its id."""
    conversation_id: UUID = await sql.fetchval(
        """
        WITH c AS (
            INSERT INTO chat_conversations (id, token_hash, locale, language, rodo_consent)
            VALUES (gen_random_uuid(), sha256('token'), 'pl', 'pl', true) RETURNING id)
        INSERT INTO consent_state (conversation_id, purpose, granted, audit_seq, decided_at)
        SELECT id, 'rodo', true, 1, now() FROM c RETURNING conversation_id
        """
    )
    return conversation_id
