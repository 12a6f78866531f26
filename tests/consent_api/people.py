"""Visitors with an address, their consents, and what became of them."""

from collections.abc import Mapping
from hashlib import sha256
from uuid import UUID, uuid4

import asyncpg
import httpx

from tests.talk import open_session, say

JAN = "jan.kowalski@example.com"
Token = dict[str, str]


async def visitor(client: httpx.AsyncClient, email: str | None = JAN, locale: str = "pl") -> Token:
    """Somebody who gave an address in the chat and agreed to nothing."""
    token = await open_session(client, locale)
    if email is not None:
        said = await say(client, token, f"mój mail to {email}" if locale == "pl" else f"my email is {email}")
        assert said.json()["context"]["email"] == email
    return token


async def put(
    client: httpx.AsyncClient,
    token: Token,
    texts: Mapping[tuple[str, str], Mapping[str, object]],
    purpose: str = "marketing_email",
    decision: str = "granted",
    locale: str = "pl",
) -> httpx.Response:
    """Answer the published text."""
    text = texts[purpose, locale]
    body = {"decision": decision, "text_version": text["version"], "sha256": text["sha256"]}
    return await client.put(f"/v1/consent/{purpose}", json=body, headers=token)


async def conversation(sql: asyncpg.Connection, token: Token) -> UUID:
    """The conversation that a token opens."""
    digest = sha256(token["Authorization"].removeprefix("Bearer ").encode()).digest()
    found: UUID = await sql.fetchval("SELECT id FROM chat_conversations WHERE token_hash = $1", digest)
    return found


async def events(sql: asyncpg.Connection) -> list[tuple[str, str | None, str]]:
    """The audit log as event, purpose and surface."""
    rows = await sql.fetch("SELECT event, purpose, surface FROM consent_audit_log ORDER BY seq")
    return [tuple(row) for row in rows]


async def answer(sql: asyncpg.Connection, conversation_id: UUID, purpose: str = "marketing_email") -> bool | None:
    """The answer that sends rely on."""
    granted: bool | None = await sql.fetchval(
        "SELECT granted FROM consent_state WHERE conversation_id = $1 AND purpose = $2", conversation_id, purpose
    )
    return granted


async def queue_followups(sql: asyncpg.Connection, conversation_id: UUID, count: int = 1) -> None:
    """Marketing that waits to be sent."""
    await sql.executemany(
        """
        INSERT INTO outbound_alert (id, event, channel, subject_id, conversation_id, dedupe_key)
        VALUES ($1::uuid, 'followup.due', 'email', $1::uuid, $2, $1::uuid::text)
        """,
        [(uuid4(), conversation_id) for _ in range(count)],
    )


async def waiting(sql: asyncpg.Connection, event: str = "followup.due") -> int:
    """How many alerts of an event may still be sent."""
    found: int = await sql.fetchval(
        "SELECT count(*) FROM outbound_alert WHERE event = $1 AND state IN ('pending', 'sending', 'retrying')", event
    )
    return found


async def chain_is_whole(sql: asyncpg.Connection) -> bool:
    """Whether every entry of the audit log follows from the one before, and the head from the last."""
    broken: bool = await sql.fetchval(
        """
        SELECT EXISTS (
            SELECT FROM (
                SELECT l.*, lag(row_hash, 1, decode(repeat('00', 32), 'hex')) OVER (ORDER BY seq) AS expected,
                    row_number() OVER (ORDER BY seq) AS number
                FROM consent_audit_log l) l
            WHERE prev_hash <> expected OR seq <> number OR row_hash <> sha256(prev_hash || convert_to(
                consent_audit_canonical(seq, at, event, subject_ref, purpose, text_version, text_sha256, locale,
                    surface, message_seq, evidence_hash), 'UTF8')))
        OR (SELECT (seq, row_hash) FROM consent_audit_head) IS DISTINCT FROM
           (SELECT (seq, row_hash) FROM consent_audit_log ORDER BY seq DESC LIMIT 1)
        """
    )
    return not broken


async def everything(sql: asyncpg.Connection) -> dict[str, str]:
    """A digest of every row of every table."""
    tables = await sql.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {
        table: await sql.fetchval(f"SELECT md5(coalesce(string_agg(t::text, '' ORDER BY t::text), '')) FROM {table} t")
        for (table,) in tables
    }


async def rows(sql: asyncpg.Connection) -> dict[str, str]:
    """Every row of every table as text, bytes as hexadecimal digits."""
    tables = await sql.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {
        table: await sql.fetchval(f"SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {table} t")
        for (table,) in tables
    }
