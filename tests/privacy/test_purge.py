"""The purge: what is too old goes, what is not stays, a little at a time, and a dry run changes nothing."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import event

from app.core.db import Database
from app.privacy import purge
from app.privacy.purge import Retention
from app.privacy.repository import retention
from tests.privacy.people import counts, dump

DAYS = timedelta(days=1)
KEPT = Retention(chat=90 * DAYS, lead=365 * DAYS, evidence=365 * DAYS, alert=90 * DAYS)

_CHATS = """
WITH c AS (
    INSERT INTO chat_conversations (id, token_hash, locale, language, email, last_seq, created_at, last_message_at)
    SELECT gen_random_uuid(), sha256((random()::text || n)::bytea), 'pl', 'pl', $2, $5,
        now() - ($4 + 1) * interval '1 day', now() - $4 * interval '1 day' FROM generate_series(1, $1::int) n
    RETURNING id),
m AS (
    INSERT INTO chat_messages (conversation_id, seq, id, role, type, text)
    SELECT id, seq, gen_random_uuid(), 'visitor', 'text', 'x' FROM c, generate_series(1, $5::int) seq)
INSERT INTO leads (id, conversation_id, score, language, email, updated_at)
SELECT gen_random_uuid(), id, 50, 'pl', $2, now() - $3 * interval '1 day' FROM c WHERE $2::text IS NOT NULL
"""


async def chats(
    sql: asyncpg.Connection,
    count: int = 1,
    *,
    quiet_days: float,
    email: str | None = None,
    lead_days: float = 0,
    messages: int = 2,
) -> None:
    """Conversations whose last message is so old, with leads that were touched so long ago."""
    await sql.execute(_CHATS, count, email, float(lead_days), float(quiet_days), messages)


async def left(sql: asyncpg.Connection) -> int:
    found: int = await sql.fetchval("SELECT count(*) FROM chat_conversations")
    return found


async def test_a_chat_without_contact_goes_after_its_last_message(database: Database, sql: asyncpg.Connection) -> None:
    await chats(sql, 3, quiet_days=91)
    await chats(sql, 2, quiet_days=89)
    await sql.execute(
        "UPDATE chat_conversations SET created_at = now() - interval '200 days' "
        "WHERE last_message_at > now() - interval '90 days'"
    )
    assert (await purge.purge(database, KEPT))["chats"] == 3 + 6
    assert await counts(sql, "chat_conversations", "chat_messages") == {"chat_conversations": 2, "chat_messages": 4}


async def test_a_lead_goes_after_the_last_activity_of_anybody(database: Database, sql: asyncpg.Connection) -> None:
    await chats(sql, quiet_days=200, email="kept@x.pl", lead_days=200)
    await chats(sql, quiet_days=400, email="worked.on@x.pl", lead_days=10)
    await chats(sql, quiet_days=10, email="spoke@x.pl", lead_days=400)
    await chats(sql, quiet_days=366, email="goes@x.pl", lead_days=366)
    await purge.purge(database, KEPT)
    assert {row["email"] for row in await sql.fetch("SELECT email FROM leads")} == {
        "kept@x.pl",
        "worked.on@x.pl",
        "spoke@x.pl",
    }


async def test_evidence_goes_before_its_conversation(database: Database, sql: asyncpg.Connection) -> None:
    await chats(sql, quiet_days=10)
    for seq, days in ((1, 364), (2, 366)):
        await sql.execute(
            "INSERT INTO consent_evidence (audit_seq, conversation_id, salt, ip, created_at) "
            "SELECT $1, id, '\\x00', '198.51.100.0', now() - $2 * interval '1 day' FROM chat_conversations",
            seq,
            float(days),
        )
    assert (await purge.purge(database, KEPT))["evidence"] == 1
    assert await sql.fetchval("SELECT audit_seq FROM consent_evidence") == 1


_ALERTS = """
WITH a AS (
    INSERT INTO outbound_alert (id, event, channel, subject_id, dedupe_key, state, attempts, created_at, delivered_at,
        remote_ref)
    SELECT gen_random_uuid(), 'lead.captured', 'monday', gen_random_uuid(), random()::text, $1, 1,
        now() - $2 * interval '1 day', CASE WHEN $1 = 'delivered' THEN now() END, '1' RETURNING id),
t AS (
    INSERT INTO delivery_attempt (alert_id, attempt, outcome, started_at) SELECT id, 1, 'x', now() FROM a)
INSERT INTO dead_letter_queue (id, alert_id, channel, reason) SELECT gen_random_uuid(), id, 'monday', 'x' FROM a
"""


async def test_alerts_that_are_over_go_with_their_attempts_and_dead_letters(
    database: Database, sql: asyncpg.Connection
) -> None:
    for state in ("delivered", "cancelled", "failed", "discarded", "pending", "retrying"):
        for days in (89, 91):
            await sql.execute(_ALERTS, state, float(days))
    assert (await purge.purge(database, KEPT))["alerts"] == 4 * 3
    tables = ("outbound_alert", "delivery_attempt", "dead_letter_queue")
    assert set((await counts(sql, *tables)).values()) == {8}
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert WHERE state IN ('pending', 'retrying')") == 4


async def test_an_alert_stays_with_its_conversation_and_until_its_copies_are_deleted(
    database: Database, sql: asyncpg.Connection
) -> None:
    """Its dedupe key keeps sales from hearing of the lead twice, and an erasure must find what to recall."""
    for _ in range(3):
        await sql.execute(_ALERTS, "delivered", 400.0)
    conversation = await sql.fetchval(
        "INSERT INTO chat_conversations (id, token_hash, locale, language) "
        "VALUES (gen_random_uuid(), sha256('x'), 'pl', 'pl') RETURNING id"
    )
    living, recalled, _ = [row[0] for row in await sql.fetch("SELECT id FROM outbound_alert ORDER BY id")]
    await sql.execute("UPDATE outbound_alert SET conversation_id = $1 WHERE id = $2", conversation, living)
    await sql.execute(
        "INSERT INTO outbound_alert (id, event, channel, subject_id, dedupe_key) "
        "VALUES (gen_random_uuid(), 'lead.erased', 'monday', $1, 'x')",
        recalled,
    )
    await purge.purge(database, KEPT)
    kept = {row[0] for row in await sql.fetch("SELECT id FROM outbound_alert WHERE event = 'lead.captured'")}
    assert kept == {living, recalled}


async def test_the_remotes_id_goes_once_the_copy_there_is_deleted(database: Database, sql: asyncpg.Connection) -> None:
    for state in ("pending", "delivered"):
        await sql.execute(_ALERTS, "delivered", 1.0)
        await sql.execute(
            "INSERT INTO outbound_alert (id, event, channel, subject_id, dedupe_key, state, delivered_at) "
            "SELECT gen_random_uuid(), 'lead.erased', 'monday', id, id::text, $1, "
            "CASE WHEN $1 = 'delivered' THEN now() END FROM outbound_alert a WHERE event = 'lead.captured' "
            "AND NOT EXISTS (SELECT FROM outbound_alert e WHERE e.subject_id = a.id)",
            state,
        )
    assert (await purge.purge(database, KEPT))["remote_refs"] == 1
    rows = await sql.fetch(
        "SELECT e.state, a.remote_ref FROM outbound_alert e JOIN outbound_alert a ON a.id = e.subject_id"
    )
    assert {tuple(row) for row in rows} == {("pending", "1"), ("delivered", None)}


async def test_proofs_are_kept_for_three_years_and_lapsed_requests_for_a_month(
    database: Database, sql: asyncpg.Connection
) -> None:
    for state, days in (("expired", 29), ("expired", 31), ("done", 1000), ("done", 1100)):
        await sql.execute(
            "INSERT INTO privacy_request (id, type, state, address_hmac, key_id, due_at, closed_at) "
            "VALUES (gen_random_uuid(), 'access', $1, '\\x00', 'k', now(), now() - $2 * interval '1 day')",
            state,
            float(days),
        )
    for days in (1000, 1100):
        old = f"now() - interval '{days} days'"
        await sql.execute(
            "INSERT INTO operator_action (id, at, actor, action, target) "
            f"VALUES (gen_random_uuid(), {old}, 'a', 'b', 'c')"
        )
        await sql.execute(
            f"INSERT INTO erasure (id, at, subject_refs, counts) VALUES (gen_random_uuid(), {old}, '[]', '{{}}')"
        )
    found = await purge.purge(database, KEPT)
    assert (found["expired_requests"], found["answered_requests"]) == (1, 1)
    assert (found["operator_actions"], found["erasures"]) == (1, 1)
    assert set((await counts(sql, "operator_action", "erasure")).values()) == {1}


async def test_a_dry_run_tells_and_changes_nothing(database: Database, sql: asyncpg.Connection) -> None:
    await chats(sql, 3, quiet_days=91)
    await chats(sql, 2, quiet_days=400, email="a@x.pl", lead_days=400)
    await sql.execute(_ALERTS, "delivered", 91.0)
    before = await dump(sql)
    found = await purge.preview(database, KEPT)
    assert (found["chats"], found["leads"], found["alerts"]) == (3, 2, 1)
    assert await dump(sql) == before


async def test_a_batch_is_bounded_by_rows_and_each_is_a_transaction_of_its_own(
    database: Database, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "PAUSE_SECONDS", 0)
    await chats(sql, 20, quiet_days=91, messages=9)
    await chats(sql, 1, quiet_days=91, messages=300)
    commits: list[int] = []
    sizes: list[tuple[int, int]] = []
    original = retention.delete_batch

    async def noted(session: Any, rule: Any, **how: Any) -> tuple[int, int]:
        found = await original(session, rule, **how)
        sizes.append(found)
        return found

    monkeypatch.setattr(retention, "delete_batch", noted)
    event.listen(database.engine.sync_engine, "commit", lambda _connection: commits.append(1))
    assert (await purge.purge(database, KEPT, batch=50))["chats"] == 20 * 10 + 301
    chats_only = [size for size in sizes if size[0]]
    assert len(chats_only) >= 5
    assert all(rows <= 50 or conversations == 1 for conversations, rows in chats_only), chats_only
    assert len(commits) >= len(sizes)


async def test_what_somebody_holds_is_left_for_the_next_run(database: Database, sql: asyncpg.Connection) -> None:
    await chats(sql, 3, quiet_days=91)
    async with sql.transaction():
        await sql.execute("SELECT id FROM chat_conversations LIMIT 1 FOR UPDATE")
        await purge.purge(database, KEPT)
        assert await left(sql) == 1
    await purge.purge(database, KEPT)
    assert await left(sql) == 0


async def test_a_run_ends_when_its_time_is_over(database: Database, sql: asyncpg.Connection) -> None:
    await chats(sql, 10, quiet_days=91)
    await purge.purge(database, KEPT, budget_seconds=0)
    assert await left(sql) == 10


@pytest.mark.parametrize("others", [0, 3])
async def test_it_gives_way_only_while_others_work(
    database: Database, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    rests: list[float] = []

    async def busy(_session: Any) -> int:
        return others

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr(retention, "busy", busy)
    monkeypatch.setattr(asyncio, "sleep", rest)
    await chats(sql, 4, quiet_days=91)
    await purge.purge(database, KEPT, batch=3)
    assert bool(rests) == bool(others)


async def test_the_servers_own_count_of_others_leaves_us_out(database: Database, sql: asyncpg.Connection) -> None:
    async with database.transaction() as session:
        quiet = await retention.busy(session)
    async with database.transaction() as session:
        task = asyncio.create_task(sql.fetchval("SELECT pg_sleep(1)"))
        await asyncio.sleep(0.3)
        assert await retention.busy(session) == quiet + 1
        await task
