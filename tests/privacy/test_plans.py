"""Privacy's queries find their rows by an index; the residue search reads whole only what is small."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.repository import erasure
from app.consent import repository as consent
from app.conversations import repository as conversations
from app.core import clock
from app.core.db import Database
from app.devstack.postgres import EmbeddedPostgres
from app.privacy.repository import clocks, holdings, requests, residue, retention, subjects
from app.privacy.repository.residue import Traces
from tests.plans import Query, assert_reads_by_index, filled_database, in_session, opened

ROWS = 20_000
SOMEBODY = UUID("8f14e45f-ceea-167a-5a36-dedd4bea2543")  # md5 of 7
AGE = timedelta(days=90)
SMALL = frozenset({"consent_text", "suppression", "operator_notice", "unsubscribe_request", "opt_in_check", "erasure"})

_FILL = f"""
INSERT INTO chat_conversations (id, token_hash, locale, language, email, created_at, last_message_at)
SELECT md5(n::text)::uuid, sha256(n::text::bytea), 'pl', 'pl', n || '@x.pl', now() - n * interval '1 minute', now()
FROM generate_series(1, {ROWS}) n;
INSERT INTO chat_messages (conversation_id, seq, id, role, type, text)
SELECT md5(n::text)::uuid, s, gen_random_uuid(), 'visitor', 'text', 'x'
FROM generate_series(1, {ROWS}) n, generate_series(1, 2) s;
INSERT INTO leads (id, conversation_id, score, language, email)
SELECT md5('lead' || n)::uuid, md5(n::text)::uuid, 50, 'pl', n || '@x.pl' FROM generate_series(1, {ROWS}) n;
INSERT INTO consent_state (conversation_id, purpose, granted, audit_seq, decided_at)
SELECT md5(n::text)::uuid, 'rodo', true, n, now() FROM generate_series(1, {ROWS}) n;
INSERT INTO consent_evidence (audit_seq, conversation_id, salt) SELECT n, md5(n::text)::uuid, '' FROM
generate_series(1, {ROWS}) n;
INSERT INTO followup_event (id, conversation_id, followup_number)
SELECT gen_random_uuid(), md5(n::text)::uuid, 1 FROM generate_series(1, {ROWS}) n;
INSERT INTO unanswered_question (id, conversation_id, seq, language, asked_at, status, decided_at)
SELECT gen_random_uuid(), md5(n::text)::uuid, 1, 'pl', now() - n * interval '1 min', 'answered',
    now() - n * interval '1 min' FROM generate_series(1, {ROWS}) n;
INSERT INTO handoff (id, conversation_id)
SELECT gen_random_uuid(), md5(n::text)::uuid FROM generate_series(1, {ROWS}) n;
INSERT INTO message_feedback (id, conversation_id, message_seq, rating)
SELECT gen_random_uuid(), md5(n::text)::uuid, 1, 'up' FROM generate_series(1, {ROWS}) n;
INSERT INTO mailed_address (message_id, conversation_id, address_hmac, key_id)
SELECT gen_random_uuid(), md5(n::text)::uuid, sha256(n::text::bytea), 'k' FROM generate_series(1, {ROWS}) n;
INSERT INTO outbound_alert (
    id, event, channel, subject_id, conversation_id, dedupe_key, state, delivered_at, created_at)
SELECT md5('alert' || n)::uuid, 'lead.captured', 'slack', md5('lead' || n)::uuid, md5(n::text)::uuid, n::text,
       'delivered', now(), now() - n * interval '1 minute' FROM generate_series(1, {ROWS}) n;
INSERT INTO delivery_attempt (alert_id, attempt, outcome, started_at, duration_ms)
SELECT md5('alert' || n)::uuid, 1, 'delivered', now() - n * interval '1 minute', 5 FROM generate_series(1, {ROWS}) n;
INSERT INTO dead_letter_queue (id, alert_id, channel, reason, created_at)
SELECT gen_random_uuid(), md5('alert' || n)::uuid, 'slack', 'http_500', now() - n * interval '1 minute'
FROM generate_series(1, {ROWS}) n;
INSERT INTO operator_action (id, actor, action, target, at)
SELECT gen_random_uuid(), 'key:admin', 'dead_letter.retry', n::text, now() - n * interval '1 minute'
FROM generate_series(1, {ROWS}) n;
INSERT INTO consent_audit_log (seq, at, event, subject_ref, surface, prev_hash, row_hash)
SELECT n, now() - n * interval '1 minute', 'consent.granted', md5(n::text)::uuid, 'chat', '', ''
FROM generate_series(1, {ROWS}) n;
INSERT INTO privacy_request (id, type, address_hmac, key_id, due_at, state, closed_at, created_at)
SELECT md5(n::text)::uuid, 'access', sha256(n::text::bytea), 'k', now(), 'done', now(), now() - n * interval '1 minute'
FROM generate_series(1, {ROWS}) n;
"""


@pytest.fixture(scope="module")
def crowd_url(postgres: EmbeddedPostgres) -> str:
    """A database with many rows of everything and fresh statistics."""
    return filled_database(postgres, "privacy_crowd", _FILL)


@pytest.fixture
async def crowd(crowd_url: str) -> AsyncIterator[Database]:
    """The service's way into that database."""
    async with opened(crowd_url) as own:
        yield own


def purge_of(rule: retention.Rule) -> Query:
    return lambda session: retention.delete_batch(session, rule, age=AGE, limit=500)


async def parts_of(session: AsyncSession, conversation_id: UUID) -> None:
    await holdings.conversation(session, conversation_id)
    for kind in holdings.kinds():
        await holdings.part(session, conversation_id, kind)


async def more_of(session: AsyncSession, conversation_id: UUID) -> None:
    for kind in holdings.kinds():
        found = await holdings.part(session, conversation_id, kind)
        await holdings.more(session, conversation_id, kind, [row[kind.key.name] for row in found.rows])


QUERIES: dict[str, Query] = {
    "lock by address": lambda s: subjects.lock(s, conversation_ids=(), address="7@x.pl"),
    "lock by id": lambda s: subjects.lock(s, conversation_ids=(SOMEBODY,), address=None),
    "delete": lambda s: subjects.delete_conversations(s, [SOMEBODY]),
    "sever": lambda s: erasure.sever(s, [SOMEBODY]),
    "forget refs": erasure.forget_remote_refs,
    "conversations of": lambda s: subjects.conversations_of(s, "7@x.pl", limit=9),
    "export": lambda s: parts_of(s, SOMEBODY),
    "more of an export": lambda s: more_of(s, SOMEBODY),
    "take a try": lambda s: requests.take_try(s, SOMEBODY),
    "mailed": lambda s: requests.mailed(s, [b"x"], but=SOMEBODY, within=AGE),
    "requests of": lambda s: requests.of_address(s, [b"x"], after=(clock.now(), uuid4()), limit=50),
    "close all": lambda s: requests.close_all(s, [b"x"], but=None),
    "page": lambda s: requests.page(s, state=None, before=(clock.now(), uuid4()), limit=50),
    "expire": lambda s: clocks.expire_unproved(s, age=AGE),
    "expire opt-ins": lambda s: clocks.expire_opt_ins(s, unmailed=AGE),
    "open opt-ins": lambda s: requests.open_opt_ins(s, [b"x"], again_after=AGE),
    "close opt-ins": lambda s: requests.close_opt_ins(s, [b"x"]),
    "address of": lambda s: requests.address_of(s, SOMEBODY),
    "mailed to": lambda s: consent.mailed_to(s, conversation_id=SOMEBODY, message_id=SOMEBODY),
    "forget mailed": lambda s: consent.forget_mailed(s, [b"x"]),
    "refused since": lambda s: consent.refused_since(
        s, conversations.ids_of_address("7@x.pl"), since=clock.now(), but="address"
    ),
    "close answered": clocks.close_answered,
    "warn": lambda s: clocks.warn_of_due(s, ahead=AGE),
    "due": lambda s: clocks.due(s, ahead=AGE, limit=5),
    "purge chats": purge_of(retention.CHATS),
    "purge leads": purge_of(retention.LEADS),
    "purge evidence": purge_of(retention.EVIDENCE),
    "purge alerts": purge_of(retention.ALERTS),
    "purge questions": purge_of(retention.QUESTIONS),
    "purge actions": purge_of(retention.ACTIONS),
    "purge expired": purge_of(retention.EXPIRED_REQUESTS),
    "purge answered": purge_of(retention.ANSWERED_REQUESTS),
}


@pytest.mark.parametrize("name", QUERIES)
async def test_no_query_reads_a_growing_table_whole(crowd: Database, name: str) -> None:
    await assert_reads_by_index(crowd, await in_session(crowd, QUERIES[name]), small=SMALL)


async def test_the_search_reads_by_id_and_by_time_wherever_it_can(crowd: Database) -> None:
    traces = Traces(
        conversation_ids=[uuid4()],
        addresses=["nobody@x.pl"],
        words=["nobody@x.pl"],
        since=clock.now() - timedelta(minutes=5),
        answering=None,
        whole=True,
    )
    searched = await in_session(crowd, lambda session: residue.search(session, traces))
    small = {"alembic_version", "api_key", "channel_gate", "consent_audit_head", "rate_limit", "scheduled_job"}
    await assert_reads_by_index(crowd, searched, small=SMALL | small | {"idempotency_key"})  # the last is empty here
