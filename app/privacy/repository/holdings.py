"""All that is held about a conversation, table by table. A table that is new is in it without being asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self
from uuid import UUID

from sqlalchemy import Column, Select, Table, any_, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.models import DeadLetter, DeliveryAttempt, OutboundAlert
from app.consent.models import ConsentAudit, ConsentText, Suppression
from app.conversations.models import ChatConversation
from app.core.db import Base

BATCH_ROWS: Final = 100
"""Rows that are read at once: some milliseconds of work, also when each holds a message of the longest."""
OMITTED: Final[Mapping[str, Mapping[str, str]]] = {
    "chat_conversations": {"token_hash": "opens the conversation"},
    "outbound_alert": {
        "lease_token": "names a worker's claim",
        "dedupe_key": "made of the columns beside it",
    },
}
"""Columns that an export leaves out, and why."""
NAMES: Final[Mapping[str, str]] = {
    "chat_messages": "messages",
    "leads": "leads",
    "consent_state": "consents",
    "consent_evidence": "evidence",
    "followup_event": "followups",
    "mailed_address": "mailed_addresses",
    "opt_in_check": "opt_in_checks",
    "outbound_alert": "alerts",
    "unanswered_question": "unanswered_questions",
    "handoff": "handoffs",
    "message_feedback": "feedback",
}
"""What tables are called in an export; any other has its own name."""

Rows = list[dict[str, Any]]


def held_tables() -> list[Table]:
    """Every table whose rows say which conversation they are about."""
    return [table for table in Base.metadata.sorted_tables if "conversation_id" in table.c]


@dataclass(frozen=True, slots=True)
class Kind:
    """Rows of one table about a conversation, in the order of `key`, which tells them apart."""

    name: str
    table: Table
    about: Column[Any]
    key: Column[Any]

    @classmethod
    def of(cls, table: Table) -> Self:
        """Of a table whose rows say which conversation they are about."""
        about = table.c.conversation_id
        (key,) = (column for column in table.primary_key if column is not about)
        return cls(NAMES.get(table.name, str(table.name)), table, about, key)


@dataclass(frozen=True, slots=True)
class Part:
    """What is held of one kind: its first BATCH_ROWS rows, and the keys of all others."""

    kind: Kind
    rows: Rows
    others: Sequence[Any]


def kinds() -> list[Kind]:
    """Everything that there may be about a conversation."""
    history = _table(ConsentAudit)
    return [
        *(Kind.of(table) for table in held_tables()),
        Kind("consent_history", history, history.c.subject_ref, history.c.seq),
    ]


async def conversation(session: AsyncSession, conversation_id: UUID) -> dict[str, Any] | None:
    """The conversation's own row; None when it is gone."""
    table = _table(ChatConversation)
    facts = await session.execute(select(*_shown(table)).where(table.c.id == conversation_id))
    row = facts.one_or_none()
    return None if row is None else row._asdict()


async def part(session: AsyncSession, conversation_id: UUID, kind: Kind) -> Part:
    """What is held of one kind."""
    about = kind.about == conversation_id
    rows = await _rows(session, kind, _select(kind).where(about).order_by(kind.key).limit(BATCH_ROWS + 1))
    if len(rows) <= BATCH_ROWS:
        return Part(kind, rows, ())
    keys = (await session.scalars(select(kind.key).where(about).order_by(kind.key))).all()
    return Part(kind, rows[:BATCH_ROWS], keys[BATCH_ROWS:])


async def more(session: AsyncSession, conversation_id: UUID, kind: Kind, keys: Sequence[Any]) -> Rows:
    """Those of a kind's rows with these keys that are still there."""
    chosen = kind.key == any_(literal(keys, ARRAY(kind.key.type)))
    return await _rows(session, kind, _select(kind).where(kind.about == conversation_id, chosen).order_by(kind.key))


def _select(kind: Kind) -> Select[Any]:
    """The rows of a kind. Of the audit log, each with the words that stood before the person's eyes."""
    if kind.table is not (audit := _table(ConsentAudit)):
        return select(*_shown(kind.table))
    words = _table(ConsentText)
    shown = (words.c.sha256 == audit.c.text_sha256) & (words.c.purpose == audit.c.purpose)
    shown &= (words.c.version == audit.c.text_version) & (words.c.locale == audit.c.locale)
    return select(audit, words.c.body.label("text")).select_from(audit.outerjoin(words, shown))


async def _rows(session: AsyncSession, kind: Kind, query: Select[Any]) -> Rows:
    found = [row._asdict() for row in await session.execute(query)]
    if found and kind.table is _table(OutboundAlert):
        by_alert = [alert["id"] for alert in found]
        attempts = await _of_alerts(session, _table(DeliveryAttempt), by_alert)
        letters = await _of_alerts(session, _table(DeadLetter), by_alert)
        for alert in found:
            alert["attempts_made"] = [row for row in attempts if row["alert_id"] == alert["id"]]
            alert["dead_letters"] = [row for row in letters if row["alert_id"] == alert["id"]]
    return found


async def _of_alerts(session: AsyncSession, table: Table, alert_ids: Sequence[UUID]) -> Rows:
    rows = await session.execute(
        select(*_shown(table)).where(table.c.alert_id.in_(alert_ids)).order_by(*table.primary_key.columns)
    )
    return [row._asdict() for row in rows]


def _shown(table: Table) -> list[Column[Any]]:
    return [column for column in table.c if column.name not in OMITTED.get(table.name, {})]


async def suppressions(session: AsyncSession, digests: Sequence[bytes]) -> Rows:
    """What the suppression list says of a hashed address."""
    rows = await session.execute(
        select(Suppression.scope, Suppression.reason, Suppression.created_at, Suppression.renewed_at).where(
            Suppression.address_hmac.in_(digests)
        )
    )
    return [row._asdict() for row in rows]


def _table(model: type[Base]) -> Table:
    return Base.metadata.tables[model.__tablename__]
