"""All that is held about a conversation, table by table. A table that is new is in it without being asked for."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.models import DeadLetter, DeliveryAttempt
from app.consent.models import ConsentAudit, ConsentText, Suppression
from app.conversations.models import ChatConversation
from app.core.db import Base

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


async def of_conversation(session: AsyncSession, conversation_id: UUID) -> dict[str, Any] | None:
    """The conversation and every row about it; None when it is gone."""
    conversation = Base.metadata.tables[ChatConversation.__tablename__]
    facts = await _rows(session, conversation, conversation.c.id, [conversation_id])
    if not facts:
        return None
    held: dict[str, Any] = {"conversation": facts[0]}
    for table in held_tables():
        name = NAMES.get(table.name, str(table.name))
        held[name] = await _rows(session, table, table.c.conversation_id, [conversation_id])
    by_alert = [alert["id"] for alert in held["alerts"]]
    attempts = await _rows(session, _table(DeliveryAttempt), _table(DeliveryAttempt).c.alert_id, by_alert)
    letters = await _rows(session, _table(DeadLetter), _table(DeadLetter).c.alert_id, by_alert)
    for alert in held["alerts"]:
        alert["attempts_made"] = [row for row in attempts if row["alert_id"] == alert["id"]]
        alert["dead_letters"] = [row for row in letters if row["alert_id"] == alert["id"]]
    held["consent_history"] = await _history(session, conversation_id)
    return held


async def _history(session: AsyncSession, conversation_id: UUID) -> Rows:
    """The audit log's entries, each with the words that stood before the person's eyes."""
    audit, words = _table(ConsentAudit), _table(ConsentText)
    shown = (words.c.sha256 == audit.c.text_sha256) & (words.c.purpose == audit.c.purpose)
    shown &= (words.c.version == audit.c.text_version) & (words.c.locale == audit.c.locale)
    rows = await session.execute(
        select(audit, words.c.body.label("text"))
        .select_from(audit.outerjoin(words, shown))
        .where(audit.c.subject_ref == conversation_id)
        .order_by(audit.c.seq)
    )
    return [row._asdict() for row in rows]


async def suppressions(session: AsyncSession, digests: Sequence[bytes]) -> Rows:
    """What the suppression list says of a hashed address."""
    rows = await session.execute(
        select(Suppression.scope, Suppression.reason, Suppression.created_at, Suppression.renewed_at).where(
            Suppression.address_hmac.in_(digests)
        )
    )
    return [row._asdict() for row in rows]


async def _rows(session: AsyncSession, table: Table, key: Any, values: Sequence[Any]) -> Rows:
    if not values:
        return []
    columns = [column for column in table.c if column.name not in OMITTED.get(table.name, {})]
    rows = await session.execute(select(*columns).where(key.in_(values)).order_by(*table.primary_key.columns))
    return [row._asdict() for row in rows]


def _table(model: type[Base]) -> Table:
    return Base.metadata.tables[model.__tablename__]
