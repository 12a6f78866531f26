"""Every query the code makes finds its rows by an index, shown on filled tables."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import NoResultFound

from app.alerts.repository import alerts, dead_letters, gate, notices, queue, rounds
from app.consent import audit_repository as audit
from app.consent import repository as consent
from app.conversations import desk_repository as conversation_desk
from app.conversations import feedback_repository as feedback
from app.conversations import handoff_repository as handoffs
from app.conversations import questions_repository as questions
from app.conversations import repository as conversations
from app.conversations import unsubscribe_repository as unsubscribes
from app.core import clock
from app.core.db import Database
from app.devstack.postgres import EmbeddedPostgres
from app.followups import metrics_repository as followup_metrics
from app.leads import repository as leads
from app.operations import repository as operations
from app.privacy.repository import retention
from tests.plans import DriverQuery, Query, assert_reads_by_index, filled_database, in_session, on_driver, opened

ROWS = 20_000
SMALL = frozenset(
    {
        "consent_text",
        "channel_gate",
        "consent_audit_head",
        "scheduled_job",
        "operator_notice",
        "suppression",
        "unsubscribe_request",
    }
)
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
INSERT INTO operator_action (id, actor, action, target)
SELECT gen_random_uuid(), 'key:admin', 'dead_letter.retry', n::text FROM generate_series(1, {ROWS}) n;
INSERT INTO consent_audit_log (seq, at, event, subject_ref, surface, prev_hash, row_hash)
SELECT n, now(), 'consent.granted', md5(n::text)::uuid, 'chat', '', '' FROM generate_series(1, {ROWS}) n;
INSERT INTO consent_evidence (audit_seq, conversation_id, salt)
SELECT n, md5(n::text)::uuid, '' FROM generate_series(1, {ROWS}) n;
INSERT INTO idempotency_key (scope, key, fingerprint, status, body)
SELECT 'key:admin POST /v1/followups', md5(n::text), '', 201, '{{}}' FROM generate_series(1, {ROWS}) n;
INSERT INTO message_feedback (id, conversation_id, message_seq, rating, created_at)
SELECT md5('r' || n)::uuid, md5(n::text)::uuid, 1, CASE WHEN n % 100 > 0 THEN 'up' ELSE 'down' END,
       now() - interval '30 days' FROM generate_series(1, {ROWS}) n;
INSERT INTO handoff (id, conversation_id, released_at)
SELECT md5('h' || n)::uuid, md5(n::text)::uuid, CASE WHEN n % 100 > 0 THEN now() END FROM generate_series(1, {ROWS}) n;
INSERT INTO followup_event (id, conversation_id, followup_number, state, created_at, closed_at)
SELECT md5('f' || n)::uuid, md5(n::text)::uuid, 1, 'sent', now() - interval '30 days', now()
FROM generate_series(1, {ROWS}) n;
INSERT INTO unanswered_question (id, conversation_id, seq, language, asked_at, status, decided_at)
SELECT md5('q' || n)::uuid, md5(n::text)::uuid, 1, 'pl', now() - n * interval '1 min',
       CASE WHEN n % 10 = 0 THEN 'open' ELSE 'answered' END, CASE WHEN n % 10 > 0 THEN now() END
FROM generate_series(1, {ROWS}) n;
"""


def _id() -> UUID:
    """The id of one of the conversations that `_FILL` made."""
    return UUID("8f14e45f-ceea-167a-5a36-dedd4bea2543")


@pytest.fixture(scope="module")
def filled_url(postgres: EmbeddedPostgres) -> str:
    """A database with many rows of everything and fresh statistics."""
    return filled_database(postgres, "filled", _FILL)


@pytest.fixture
async def filled(filled_url: str) -> AsyncIterator[Database]:
    """The service's way into that database."""
    async with opened(filled_url) as own:
        yield own


async def _one_or_none(query: Awaitable[object]) -> None:
    with suppress(NoResultFound):
        await query


LEASE = timedelta(seconds=60)
PACE = queue.Pace(interval=timedelta(seconds=1), burst=10)
SETTLEMENTS = [
    queue.Settlement(id=_id(), token=_id(), attempt=1, state="failed", letter="failed", started_at=clock.now())
]

QUERIES: dict[str, Query] = {
    "open a session": lambda s: conversations.create(
        s, conversation_id=uuid4(), token_hash=b"x", locale="pl", greeting={"id": uuid4(), "type": "text", "text": "x"}
    ),
    "who has this token": lambda s: conversations.find(s, b"x"),
    "history": lambda s: conversations.messages(s, _id(), after=1, limit=50),
    "leads page": lambda s: leads.page(s, before=(clock.now(), _id()), limit=50),
    "conversations page": lambda s: conversation_desk.page(s, before=(clock.now(), _id()), limit=50),
    "conversations of a state": lambda s: conversation_desk.page(
        s, before=(clock.now(), _id()), limit=50, state="handoff"
    ),
    "lock for a handoff": lambda s: handoffs.lock_by_token(s, b"x"),
    "take a handoff": lambda s: handoffs.take(s, _id(), actor="x", at=clock.now()),
    "open handoff": lambda s: _one_or_none(handoffs.open_handoff(s, _id())),
    "release a handoff": lambda s: _one_or_none(handoffs.release(s, _id(), at=clock.now())),
    "feedback on a message": lambda s: feedback.seq_of_ours(s, _id(), uuid4()),
    "rate a message": lambda s: feedback.rate(s, _id(), 1, rating="up", comment=None, at=clock.now()),
    "feedback page": lambda s: feedback.page(s, rating=None, before=(clock.now(), _id()), limit=50),
    "feedback of a kind": lambda s: feedback.page(s, rating="down", before=(clock.now(), _id()), limit=50),
    "feedback by rating": lambda s: feedback.counts(s, days=7),
    "waiting handoffs": feedback.waiting_handoffs,
    "one conversation": lambda s: conversation_desk.get(s, _id()),
    "status of a lead": lambda s: leads.set_status(s, _id(), "won"),
    "stored answer": lambda s: operations.answer(s, scope="key:admin POST /v1/followups", key="x" * 16),
    "purge of stored answers": lambda s: retention.delete_batch(s, retention.REPEATS, age=LEASE, limit=500),
    "follow-ups by number": lambda s: followup_metrics.counts(s, days=7),
    "oldest follow-up": followup_metrics.oldest_pending_seconds,
    "one lead": lambda s: leads.get(s, _id()),
    "capture": lambda s: leads.upsert(s, conversation_id=_id(), values={"score": 1, "language": "pl"}),
    "set consent": lambda s: consent.set_state(s, conversation_id=_id(), purpose="rodo", granted=True, audit_seq=1),
    "consent texts": consent.current_texts,
    "current answers": lambda s: consent.current(s, _id()),
    "last decision": lambda s: consent.last_event(s, _id()),
    "is suppressed": lambda s: consent.is_suppressed(s, [b"x"]),
    "lock by token": lambda s: conversations.lock_by_token(s, b"x"),
    "lock conversations": lambda s: conversations.lock(s, [_id(), uuid4()]),
    "consents of a lead": lambda s: leads.set_consents(s, _id(), rodo=True, marketing=None),
    "resume": lambda s: rounds.resume(s, conversation_id=_id(), events=["lead.captured"], reasons=["consent_refused"]),
    "ask to unsubscribe": lambda s: unsubscribes.ask(s, address="a@b.pl", address_hmac=b"x", key_id="x"),
    "next to unsubscribe": unsubscribes.next_request,
    "who has this address": lambda s: unsubscribes.with_address(s, "a@b.pl", granted_until=None, limit=20),
    "who agreed with this address": lambda s: unsubscribes.with_address(s, "a@b.pl", granted_until=9, limit=20),
    "alerts page": lambda s: alerts.page(s, channel=None, state=None, before=(clock.now(), _id()), limit=50),
    "dead letters due": dead_letters.release_due,
    "dead letters to tell of": dead_letters.unreported,
    "dead letters told of": lambda s: dead_letters.reported_by(s, _id(), limit=25),
    "old dead letters": lambda s: dead_letters.delete_delivered(s, older_than=LEASE),
    "notices": lambda s: notices.many(s, [_id()]),
    "waiting": lambda s: notices.waiting(s, "slack"),
    "begin a run": lambda s: operations.begin_run(s, name="x", every=LEASE, slack=LEASE),
    "end a run": lambda s: operations.end_run(s, name="x", count=1, error=None),
    "audit of a person": lambda s: audit.page(
        s, subject_refs=conversations.ids_of_address("a@b.pl"), before=9, limit=50
    ),
    "questions page": lambda s: questions.page(s, status="open", language="pl", before=(clock.now(), _id()), limit=50),
    "one question": lambda s: questions.get(s, _id()),
    "decide on a question": lambda s: questions.decide(s, [_id()], status="answered", now=clock.now(), actor="x"),
    "note a question": lambda s: questions.add(
        s, conversation_id=_id(), seq=2, language="pl", asked_at=clock.now(), most=20
    ),
    "open questions": questions.count_open,
    "operators' actions": lambda s: operations.actions(s, target="x", before=(clock.now(), _id()), limit=50),
}

DRIVER_QUERIES: dict[str, DriverQuery] = {
    "last words": lambda c: conversations.last_words(c, [_id()]),
    "handoffs that wait": lambda c: handoffs.waiting(c, [_id(), uuid4()]),
    "several leads": lambda c: leads.many(c, [_id(), uuid4()]),
    "consent of": lambda c: consent.granted(c, conversation_ids=[_id()]),
    "an audit entry": lambda c: audit.row_hash(c, 5),
    "stray evidence": lambda c: audit.stray_evidence(c, last=ROWS),
    "suppressed": lambda c: consent.suppressed(c, [b"x"]),
    "claim": lambda c: queue.claim(c, "slack", token=uuid4(), lease=LEASE, limit=10, pace=None),
    "paced claim": lambda c: queue.claim(c, "slack", token=uuid4(), lease=LEASE, limit=10, pace=PACE),
    "claim a suspect": lambda c: queue.claim_suspect(c, "slack", token=uuid4(), lease=LEASE),
    "suspected": queue.suspected,
    "claim a trial": lambda c: queue.claim_probe(c, "slack", token=uuid4(), lease=LEASE, probe_lease=LEASE),
    "settle": lambda c: queue.settle(c, SETTLEMENTS, healed=("slack", 1)),
    "recover": lambda c: queue.recover(c, lease=LEASE, max_attempts=6),
    "expire": lambda c: queue.expire(c, age=LEASE),
    "look": lambda c: queue.look(c, "slack", pace=PACE),
    "next lapse": queue.seconds_until_lapse,
    "pause": lambda c: gate.pause(c, "slack", reason="x", trial_every=LEASE, pager="email"),
}


@pytest.mark.parametrize("name", QUERIES)
async def test_no_query_reads_a_growing_table_whole(filled: Database, name: str) -> None:
    await assert_reads_by_index(filled, await in_session(filled, QUERIES[name]), small=SMALL)


@pytest.mark.parametrize("name", DRIVER_QUERIES)
async def test_no_query_on_the_driver_reads_a_growing_table_whole(filled: Database, name: str) -> None:
    await assert_reads_by_index(filled, await on_driver(filled, DRIVER_QUERIES[name]), small=SMALL)


async def test_the_turn_is_read_and_written_by_index(filled: Database) -> None:
    for statement in (conversations.READ_TURN_SQL, conversations.WRITE_TURN_SQL):
        async with filled.driver() as connection:
            prepared = await connection.prepare(statement)
            arguments = [None] * len(prepared.get_parameters())
            rows = await connection.fetch(f"EXPLAIN {statement}", *arguments)
        plan = "\n".join(row[0] for row in rows)
        assert "Seq Scan" not in plan, plan
