"""Canaries: a person whose address, number and words would be noticed anywhere, planted in every table."""

from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx

from tests.talk import CONSENT, open_session, say

ADDRESS: Final = "kanarek.unikalny@przyklad-testowy.pl"
PHONE: Final = "+48691987654"
NATIONAL: Final = "691987654"
WORDS: Final = (ADDRESS, NATIONAL, "691 987 654", "Zdzisław")
SPOKEN: Final = f"Nazywam się Zdzisław Kanarek, mam 52m2 w Warszawie, pakiet Premium, 691 987 654, {ADDRESS}"


async def captured(client: httpx.AsyncClient, text: str = SPOKEN) -> dict[str, str]:
    """A visitor who says all about themselves and agrees to be contacted; gives the session's headers."""
    token = await open_session(client)
    for words in (text, CONSENT):
        response = await say(client, token, words)
        assert response.status_code == 201, response.text
    return token


async def conversation_of(sql: asyncpg.Connection, address: str = ADDRESS) -> UUID:
    """The id of the one conversation that holds an address."""
    found: UUID = await sql.fetchval("SELECT id FROM chat_conversations WHERE email = $1", address)
    assert found is not None
    return found


async def is_there(sql: asyncpg.Connection, address: str = ADDRESS) -> bool:
    """Whether a conversation holds an address."""
    found: bool = await sql.fetchval("SELECT EXISTS (SELECT FROM chat_conversations WHERE email = $1)", address)
    return found


async def plant(sql: asyncpg.Connection, conversation_id: UUID) -> None:
    """What the chat alone does not cause: evidence, a follow-up, a question, attempts, a dead letter, a request id."""
    await sql.execute(
        "INSERT INTO consent_evidence (audit_seq, conversation_id, salt, ip, user_agent) "
        "SELECT -1, $1, '\\x00', '198.51.100.0', 'Canary/1.0 (' || $2 || ')'",
        conversation_id,
        ADDRESS,
    )
    await sql.execute(
        "INSERT INTO followup_event (id, conversation_id, followup_number, message) "
        "VALUES (gen_random_uuid(), $1, 1, $2)",
        conversation_id,
        f"Dzień dobry {ADDRESS}",
    )
    await sql.execute(
        "INSERT INTO unanswered_question (id, conversation_id, seq, language, asked_at) "
        "VALUES (gen_random_uuid(), $1, 2, 'pl', now())",
        conversation_id,
    )
    await sql.execute(
        "INSERT INTO idempotency_key (scope, key, fingerprint, status, body) "
        "VALUES ('operator', 'k', '\\x00', 201, jsonb_build_object('conversation_id', $1::text, 'message', $2::text))",
        str(conversation_id),
        ADDRESS,
    )
    await sql.execute(
        "UPDATE outbound_alert SET request_id = $2 WHERE conversation_id = $1", conversation_id, f"req-{NATIONAL}"
    )
    await sql.execute(
        "INSERT INTO delivery_attempt (alert_id, attempt, outcome, error, started_at) "
        "SELECT id, 1, 'ambiguous', 'refused ' || $2, now() FROM outbound_alert WHERE conversation_id = $1",
        conversation_id,
        ADDRESS,
    )
    await sql.execute(
        "INSERT INTO dead_letter_queue (id, alert_id, channel, reason) "
        "SELECT gen_random_uuid(), id, channel, 'about ' || $2 FROM outbound_alert WHERE conversation_id = $1 "
        "ON CONFLICT DO NOTHING",
        conversation_id,
        NATIONAL,
    )


async def dump(sql: asyncpg.Connection) -> dict[str, str]:
    """Every row of every table that the database has, as text, by table."""
    tables = await sql.fetch(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
    )
    found = {}
    for (name,) in tables:
        found[name] = await sql.fetchval(f"SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {name} t")
    return found


def holding(tables: dict[str, str], *words: str) -> set[str]:
    """The tables that hold one of these words."""
    return {name for name, rows in tables.items() if any(word.lower() in rows.lower() for word in words)}


async def counts(sql: asyncpg.Connection, *tables: str) -> dict[str, int]:
    """How many rows these tables have."""
    return {table: await sql.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


async def one(sql: asyncpg.Connection, query: str, *arguments: Any) -> dict[str, Any]:
    """The one row of a query."""
    rows = await sql.fetch(query, *arguments)
    assert len(rows) == 1
    return dict(rows[0])
