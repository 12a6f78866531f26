"""The queries of follow-ups find their rows by an index."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.core import clock
from app.core.db import Database
from app.devstack.postgres import EmbeddedPostgres
from app.followups import mail_repository, quiet, quiet_repository, repository
from app.followups.timing import Timing
from tests.plans import DriverQuery, Query, assert_reads_by_index, filled_database, in_session, on_driver, opened, plans

ROWS = 20_000
RARE = 500
"""One of so many waits, one has failed, one was cancelled; the others were sent."""
PAGE = 50
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
SELECT md5('f' || n)::uuid, md5(n::text)::uuid, 1,
    CASE n % {RARE} WHEN 0 THEN 'pending' WHEN 1 THEN 'failed' WHEN 2 THEN 'cancelled' ELSE 'sent' END,
    CASE WHEN n % {RARE} > 0 THEN now() END, sha256(n::text::bytea), 2 FROM generate_series(1, {ROWS}) n;
INSERT INTO outbound_alert (id, event, channel, subject_id, conversation_id, dedupe_key, state, delivered_at)
SELECT gen_random_uuid(), 'followup.due', 'email', md5('f' || n)::uuid, md5(n::text)::uuid,
    'followup.due:' || md5('f' || n)::uuid || ':email',
    CASE n % {RARE} WHEN 0 THEN 'pending' WHEN 1 THEN 'failed' WHEN 2 THEN 'cancelled' ELSE 'delivered' END,
    CASE WHEN n % {RARE} > 2 THEN now() END FROM generate_series(1, {ROWS}) n;
INSERT INTO delivery_attempt (alert_id, attempt, outcome, started_at)
SELECT id, 1, 'delivered', now() FROM outbound_alert;
"""
TIMING = Timing()


@pytest.fixture(scope="module")
def busy_url(postgres: EmbeddedPostgres) -> str:
    """A database with many follow-ups and fresh statistics."""
    return filled_database(postgres, "followups", _FILL)


@pytest.fixture
async def busy(busy_url: str) -> AsyncIterator[Database]:
    """The service's way into that database."""
    async with opened(busy_url) as own:
        yield own


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
DRIVER_QUERIES: dict[str, DriverQuery] = {
    "for sending": lambda c: mail_repository.for_sending(c, [SOMEBODY]),
    "follow": lambda c: mail_repository.follow_alerts(c, [SOMEBODY]),
    "catch up": mail_repository.catch_up_with_alerts,
}


@pytest.mark.parametrize("name", QUERIES)
async def test_no_query_reads_a_growing_table_whole(busy: Database, name: str) -> None:
    await assert_reads_by_index(busy, await in_session(busy, QUERIES[name]))


@pytest.mark.parametrize("name", DRIVER_QUERIES)
async def test_no_query_of_the_worker_does_either(busy: Database, name: str) -> None:
    await assert_reads_by_index(busy, await on_driver(busy, DRIVER_QUERIES[name]))


@pytest.mark.parametrize("state", ["pending", "sent", "cancelled", "failed"])
async def test_a_page_of_one_state_reads_no_more_than_it_shows_however_rare_the_state(
    busy: Database, state: str
) -> None:
    position = (clock.now() + timedelta(days=1), uuid4())
    statements = await in_session(busy, lambda s: repository.page(s, state=state, before=position, limit=PAGE))
    await assert_reads_by_index(busy, statements)
    [plan] = await plans(busy, statements, how="(ANALYZE, FORMAT JSON)")
    for node in nodes(json.loads(plan)[0]["Plan"]):
        read = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        assert read <= PAGE + 3 * ROWS // RARE, plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every step of a plan."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)
