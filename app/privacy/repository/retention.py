"""What is too old to be kept: for each kind of row one statement that deletes a batch, and one that counts.

Every batch finds its rows by an index on time, takes those that nobody else holds (SKIP LOCKED) and is small enough to
keep nobody waiting.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

TERMINAL: Final = "('delivered', 'cancelled', 'failed', 'discarded')"
_CUTOFF: Final = "now() - CAST(:age AS interval)"
_QUIET: Final = f"created_at < {_CUTOFF} AND last_message_at < {_CUTOFF}"
_NO_CONTACT: Final = (
    "email IS NULL AND phone IS NULL AND NOT EXISTS (SELECT FROM leads l WHERE l.conversation_id = t.id)"
)
_UNTOUCHED: Final = f"NOT EXISTS (SELECT FROM leads l WHERE l.conversation_id = t.id AND l.updated_at >= {_CUTOFF})"
_CONVERSATIONS: Final = """
WITH due AS MATERIALIZED (
    SELECT id, last_seq FROM chat_conversations t WHERE {which} ORDER BY created_at, id
    LIMIT GREATEST(CAST(:limit AS integer) / 4, 1) FOR UPDATE SKIP LOCKED
), doomed AS MATERIALIZED (
    SELECT id FROM (
        SELECT id, sum(last_seq + 1) OVER (ORDER BY id) AS rows, row_number() OVER (ORDER BY id) AS place FROM due) s
    WHERE rows <= CAST(:limit AS integer) OR place = 1
), gone AS (
    DELETE FROM chat_conversations WHERE id = ANY (ARRAY(SELECT id FROM doomed)) RETURNING last_seq
)
SELECT count(*), COALESCE(sum(last_seq + 1), 0) FROM gone
"""
"""Their foreign keys take all else along; to delete the messages first, in bulk, was measured and is no faster."""
_ALERTS: Final = """
WITH due AS MATERIALIZED (
    SELECT id FROM outbound_alert t WHERE {which} ORDER BY created_at, id LIMIT :limit FOR UPDATE SKIP LOCKED
), attempts AS (
    DELETE FROM delivery_attempt WHERE alert_id = ANY (ARRAY(SELECT id FROM due)) RETURNING 1
), letters AS (
    DELETE FROM dead_letter_queue WHERE alert_id = ANY (ARRAY(SELECT id FROM due)) RETURNING 1
), alerts AS (
    DELETE FROM outbound_alert WHERE id = ANY (ARRAY(SELECT id FROM due)) RETURNING 1
)
SELECT (SELECT count(*) FROM alerts),
    (SELECT count(*) FROM attempts) + (SELECT count(*) FROM letters) + (SELECT count(*) FROM alerts)
"""
_PLAIN: Final = """
WITH due AS MATERIALIZED (
    SELECT {key} FROM {table} t WHERE {which} ORDER BY {time} LIMIT :limit FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM {table} WHERE {key} = ANY (ARRAY(SELECT {key} FROM due)) RETURNING 1
)
SELECT count(*), count(*) FROM gone
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of row. `delete` takes `age` and `limit` and gives how many of them went, and how many rows in all."""

    name: str
    delete: TextClause
    count: TextClause


def _rule(name: str, table: str, which: str, statement: str) -> Rule:
    counted = f"SELECT count(*) FROM {table} t WHERE {which}"  # noqa: S608  made of our own constants
    return Rule(name, text(statement.format(which=which)), text(counted))


def _plain(name: str, table: str, which: str, *, time: str, key: str = "id") -> Rule:
    return _rule(name, table, which, _PLAIN.format(key=key, table=table, which="{which}", time=time))


CHATS: Final = _rule("chats", "chat_conversations", f"{_QUIET} AND {_NO_CONTACT}", _CONVERSATIONS)
LEADS: Final = _rule("leads", "chat_conversations", f"{_QUIET} AND {_UNTOUCHED}", _CONVERSATIONS)
EVIDENCE: Final = _plain("evidence", "consent_evidence", f"created_at < {_CUTOFF}", time="created_at", key="audit_seq")
ALERTS: Final = _rule(
    "alerts",
    "outbound_alert",
    f"created_at < {_CUTOFF} AND state IN {TERMINAL} AND conversation_id IS NULL "
    "AND NOT EXISTS (SELECT FROM outbound_alert e WHERE e.event = 'lead.erased' AND e.subject_id = t.id "
    f"AND e.state NOT IN {TERMINAL})",
    _ALERTS,
)
"""Those of a conversation that is there stay with it: they keep its lead from being told of twice, and know where a
copy lies that an erasure must recall."""
NOTICES: Final = _plain("notices", "operator_notice", f"created_at < {_CUTOFF}", time="created_at")
ACTIONS: Final = _plain("operator_actions", "operator_action", f"at < {_CUTOFF}", time="at")
EXPIRED_REQUESTS: Final = _plain(
    "expired_requests",
    "privacy_request",
    f"closed_at IS NOT NULL AND closed_at < {_CUTOFF} AND state = 'expired'",
    time="closed_at",
)
ANSWERED_REQUESTS: Final = _plain(
    "answered_requests",
    "privacy_request",
    f"closed_at IS NOT NULL AND closed_at < {_CUTOFF}",
    time="closed_at",
)
QUESTIONS: Final = _plain("questions", "unanswered_question", f"decided_at < {_CUTOFF}", time="decided_at")
"""Decided ones; an open one goes with its conversation."""
REPEATS: Final = _plain("idempotency_keys", "idempotency_key", f"created_at < {_CUTOFF}", time="created_at", key="ctid")
"""`ctid`: its key has two columns, and nobody updates a row."""
ERASURES: Final = _plain("erasures", "erasure", f"at < {_CUTOFF}", time="at")

_BUSY: Final = text(
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND backend_type = 'client backend' AND state = 'active' "
    "AND pid <> pg_backend_pid()"
)


async def delete_batch(session: AsyncSession, rule: Rule, *, age: timedelta, limit: int) -> tuple[int, int]:
    """Delete up to `limit` rows of a kind; gives how many, and how many with all that belonged to them."""
    deleted, rows = (await session.execute(rule.delete, {"age": age, "limit": limit})).one()
    return int(deleted), int(rows)


async def count(session: AsyncSession, rule: Rule, *, age: timedelta) -> int:
    """How many rows of a kind are too old."""
    found: int = (await session.execute(rule.count, {"age": age})).scalar_one()
    return found


async def busy(session: AsyncSession) -> int:
    """How many statements of others the server is working on."""
    working: int = (await session.execute(_BUSY)).scalar_one()
    return working
