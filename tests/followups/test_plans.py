"""The queries of follow-ups find their rows by an index."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from alembic import command

from app.core import clock
from app.core.db import Database
from app.core.settings import Settings
from app.devstack.postgres import EmbeddedPostgres
from app.followups import mail_repository, quiet, quiet_repository, repository
from app.followups.timing import Timing
from tests.conftest import alembic_config, new_database, run_sql
from tests.privacy.test_plans import Query, read_whole

ROWS = 20_000
SOMEBODY = UUID("8f14e45f-ceea-167a-5a36-dedd4bea2543")  # md5 of 7
_FILL = f"""
INSERT INTO chat_conversations (id, token_hash, locale, language, email, marketing_consent, last_message_at)
SELECT md5(n::text)::uuid, sha256(n::text::bytea), 'pl', 'pl', n || '@x.pl', n % 20 = 0, now() - n * interval '5 min'
FROM generate_series(1, {ROWS}) n;
INSERT INTO chat_messages (conversation_id, seq, id, role, type, text)
SELECT md5(n::text)::uuid, s, gen_random_uuid(), 'visitor', 'text', 'x'
FROM generate_series(1, {ROWS}) n, generate_series(1, 2) s;
INSERT INTO leads (id, conversation_id, score, language)
SELECT md5('lead' || n)::uuid, md5(n::text)::uuid, 50, 'pl' FROM generate_series(1, {ROWS}) n;
INSERT INTO consent_state (conversation_id, purpose, granted, audit_seq, decided_at)
SELECT md5(n::text)::uuid, 'marketing_email', n % 20 = 0, n, now() FROM generate_series(1, {ROWS}) n;
INSERT INTO followup_event (id, conversation_id, followup_number, state, closed_at, person_hmac, message_seq)
SELECT md5('f' || n)::uuid, md5(n::text)::uuid, 1, CASE WHEN n % 500 = 0 THEN 'pending' ELSE 'sent' END,
    CASE WHEN n % 500 > 0 THEN now() END, sha256(n::text::bytea), 2 FROM generate_series(1, {ROWS}) n;
INSERT INTO outbound_alert (id, event, channel, subject_id, conversation_id, dedupe_key)
SELECT gen_random_uuid(), 'followup.due', 'email', md5('f' || n)::uuid, md5(n::text)::uuid,
    'followup.due:' || md5('f' || n)::uuid || ':email' FROM generate_series(1, {ROWS}) n;
"""
TIMING = Timing()


@pytest.fixture(scope="module")
def busy_url(postgres: EmbeddedPostgres) -> str:
    """A database with many follow-ups and fresh statistics."""
    url = new_database(postgres, "followups")
    command.upgrade(alembic_config(url), "head")
    run_sql(url, _FILL, "VACUUM ANALYZE")
    return url


@pytest.fixture
async def busy(busy_url: str) -> AsyncIterator[Database]:
    """The service's way into that database."""
    own = Database(Settings(database_url=busy_url).database_url, pool_size=2)
    yield own
    await own.dispose()


def values() -> dict[str, Any]:
    now = clock.now()
    return {"delays": TIMING.delays, "earliest": quiet.earliest(TIMING, now), "now": now}


QUERIES: dict[str, Query] = {
    "lock": lambda s: repository.lock_conversation(s, SOMEBODY),
    "get": lambda s: repository.get(s, SOMEBODY),
    "find": lambda s: repository.find(s, SOMEBODY, 1),
    "page": lambda s: repository.page(s, state=None, before=(clock.now(), uuid4()), limit=50),
    "cancel one": lambda s: repository.cancel(
        s, reason="x", now=clock.now(), followup_id=SOMEBODY, conversation_ids=()
    ),
    "cancel many": lambda s: repository.cancel(
        s, reason="x", now=clock.now(), followup_id=None, conversation_ids=[SOMEBODY]
    ),
    "quiet": lambda s: quiet_repository.quiet(s, **values(), after=None, limit=100),
    "still quiet": lambda s: quiet_repository.still_quiet(s, SOMEBODY, **values()),
    "claim": lambda s: quiet_repository.claim(s, SOMEBODY),
    "last written": lambda s: quiet_repository.last_written(s, [b"x", b"y"]),
}
DRIVER_QUERIES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "for sending": (mail_repository.FOR_SENDING_SQL, ([SOMEBODY],)),
    "follow": (mail_repository.FOLLOW_SQL, ([SOMEBODY],)),
    "catch up": (mail_repository.CATCH_UP_SQL, ()),
}


@pytest.mark.parametrize("name", QUERIES)
async def test_no_query_reads_a_growing_table_whole(busy: Database, name: str) -> None:
    assert await read_whole(busy, QUERIES[name]) == set()


@pytest.mark.parametrize("name", DRIVER_QUERIES)
async def test_no_query_of_the_worker_does_either(busy_url: str, name: str) -> None:
    query, arguments = DRIVER_QUERIES[name]
    connection = await asyncpg.connect(busy_url)
    try:
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {query}", *arguments))
    finally:
        await connection.close()
    assert "Seq Scan" not in plan, plan
