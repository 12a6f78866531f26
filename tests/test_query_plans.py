"""Every query the code makes finds its rows by an index, shown on filled tables."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from alembic import command
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import repository as alerts
from app.consent import repository as consent
from app.conversations import repository as conversations
from app.core import clock
from app.core.db import Database
from app.core.settings import Settings
from app.devstack.postgres import EmbeddedPostgres
from app.leads import repository as leads
from tests.conftest import alembic_config, new_database, run_sql

ROWS = 20_000
SMALL = frozenset({"consent_text", "channel_gate", "consent_audit_head"})
"""Tables that hold a handful of rows: reading them whole is right."""

_FILL = f"""
INSERT INTO chat_conversations (id, token_hash, locale, language)
SELECT md5(n::text)::uuid, sha256(n::text::bytea), 'pl', 'pl' FROM generate_series(1, {ROWS}) n;
INSERT INTO chat_messages (conversation_id, seq, id, role, type, text)
SELECT md5(n::text)::uuid, s, gen_random_uuid(), 'visitor', 'text', 'x'
FROM generate_series(1, {ROWS}) n, generate_series(1, 3) s;
INSERT INTO leads (id, conversation_id, score, language)
SELECT md5('lead' || n)::uuid, md5(n::text)::uuid, 50, 'pl' FROM generate_series(1, {ROWS}) n;
INSERT INTO consent_state (conversation_id, purpose, granted, audit_seq, decided_at)
SELECT md5(n::text)::uuid, 'rodo', true, n, now() FROM generate_series(1, {ROWS}) n;
INSERT INTO outbound_alert (id, event, channel, subject_id, conversation_id, dedupe_key, state, delivered_at)
SELECT md5('alert' || n)::uuid, 'lead.captured', 'slack', md5('lead' || n)::uuid, md5(n::text)::uuid, n::text,
       'delivered', now() FROM generate_series(1, {ROWS}) n;
INSERT INTO delivery_attempt (alert_id, attempt, outcome, started_at, duration_ms)
SELECT md5('alert' || n)::uuid, 1, 'delivered', now(), 5 FROM generate_series(1, {ROWS}) n;
INSERT INTO dead_letter_queue (id, alert_id, channel, reason)
SELECT gen_random_uuid(), md5('alert' || n)::uuid, 'slack', 'http_500' FROM generate_series(1, {ROWS}) n;
"""

Query = Callable[[AsyncSession], Awaitable[Any]]


def _id() -> UUID:
    """The id of one of the conversations that `_FILL` made."""
    return UUID("8f14e45f-ceea-167a-5a36-dedd4bea2543")


@pytest.fixture(scope="module")
def filled_url(postgres: EmbeddedPostgres) -> str:
    """A database with many rows of everything and fresh statistics."""
    url = new_database(postgres, "filled")
    command.upgrade(alembic_config(url), "head")
    run_sql(url, _FILL, "VACUUM ANALYZE")
    return url


@pytest.fixture
async def filled(filled_url: str) -> AsyncIterator[Database]:
    """The service's way into that database."""
    own = Database(Settings(database_url=filled_url).database_url, pool_size=2)
    yield own
    await own.dispose()


def _claimed() -> alerts.Claimed:
    return alerts.Claimed(
        id=_id(),
        event="lead.captured",
        channel="slack",
        subject_id=_id(),
        conversation_id=_id(),
        attempt=1,
        possible_repeat=False,
        lease_token=uuid4(),
    )


QUERIES: dict[str, Query] = {
    "open a session": lambda s: conversations.create(
        s, conversation_id=uuid4(), token_hash=b"x", locale="pl", greeting={"id": uuid4(), "type": "text", "text": "x"}
    ),
    "who has this token": lambda s: conversations.find(s, b"x"),
    "history": lambda s: conversations.messages(s, _id(), after=1, limit=50),
    "last words": lambda s: conversations.last_words(s, [_id()]),
    "leads page": lambda s: leads.page(s, before=(clock.now(), _id()), limit=50),
    "one lead": lambda s: leads.get(s, _id()),
    "several leads": lambda s: leads.many(s, [_id(), uuid4()]),
    "capture": lambda s: leads.upsert(s, conversation_id=_id(), values={"score": 1, "language": "pl"}),
    "consent of": lambda s: consent.granted(s, conversation_id=_id(), purpose="rodo"),
    "set consent": lambda s: consent.set_state(s, conversation_id=_id(), purpose="rodo", granted=True, audit_seq=1),
    "consent texts": consent.current_texts,
    "alerts page": lambda s: alerts.page(s, channel=None, state=None, before=(clock.now(), _id()), limit=50),
    "claim": lambda s: alerts.claim(s, alert_ids=[_id()], lease=timedelta(seconds=60), max_attempts=6),
    "due": lambda s: alerts.due(s, limit=200),
    "bury crashed": lambda s: alerts.bury_crashed(s, max_attempts=6),
    "settle": lambda s: alerts.settle(s, _claimed(), state="delivered"),
    "close dead letter": lambda s: alerts.close_dead_letter(s, _id(), status="delivered"),
    "hold channel": lambda s: alerts.hold_channel(s, "slack", seconds=5, reason="x"),
}


async def _plans(database: Database, query: Query) -> list[str]:
    """The plans of every statement that `query` makes."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        statements.append((statement, parameters))

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        async with database.transaction() as session:
            await query(session)
            await session.rollback()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    plans = []
    async with database.driver() as connection:
        for statement, parameters in statements:
            rows = await connection.fetch(f"EXPLAIN {statement}", *parameters)
            plans.append("\n".join(row[0] for row in rows))
    return plans


@pytest.mark.parametrize("name", QUERIES)
async def test_no_query_reads_a_growing_table_whole(filled: Database, name: str) -> None:
    plans = await _plans(filled, QUERIES[name])
    assert plans
    for plan in plans:
        scanned = set(re.findall(r"Seq Scan on (\w+)", plan))
        assert scanned <= SMALL, plan


async def test_the_turn_is_read_and_written_by_index(filled: Database) -> None:
    for statement in (conversations.READ_TURN_SQL, conversations.WRITE_TURN_SQL):
        async with filled.driver() as connection:
            prepared = await connection.prepare(statement)
            arguments = [None] * len(prepared.get_parameters())
            rows = await connection.fetch(f"EXPLAIN {statement}", *arguments)
        plan = "\n".join(row[0] for row in rows)
        assert "Seq Scan" not in plan, plan
