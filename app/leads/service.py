"""Capturing a lead from what a conversation knows, and reading it back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import service as alerts
from app.core.db import AnyRow
from app.core.errors import NotFoundError
from app.leads import repository
from app.operations import service as journal

LEAD_CAPTURED: Final = "lead.captured"
LEAD_HOT: Final = "lead.hot"
HOT_CHANNELS: Final = ("slack",)
"""Where somebody looks at once. On a board it would be a second item of the same lead."""


class LeadNotFoundError(NotFoundError):
    """No lead has this id."""

    code = "lead-not-found"
    title = "There is no such lead."


@dataclass(frozen=True, slots=True)
class LeadFacts:
    """What a conversation knows about its visitor at this moment."""

    language: str
    score: int
    name: str | None
    phone: str | None
    email: str | None
    city: str | None
    property_type: str | None
    area_m2: Decimal | None
    package: str | None
    budget_pln: int | None
    rodo_consent: bool | None
    marketing_consent: bool | None


async def capture(
    session: AsyncSession, *, conversation_id: UUID, facts: LeadFacts, channels: Sequence[str], hot_score: int
) -> UUID:
    """Make or refresh the conversation's lead and, once its visitor agreed to be contacted, alert sales.

    Both happen in the caller's transaction. Each alert is recorded once in a lead's life, however often this runs:
    that there is a lead, and that its score has reached `hot_score`.
    """
    values = {name: getattr(facts, name) for name in LeadFacts.__slots__}
    lead_id = await repository.upsert(session, conversation_id=conversation_id, values=values)
    if facts.rodo_consent:
        await _alert_sales(
            session,
            lead_id,
            conversation_id=conversation_id,
            channels=channels,
            hot=facts.score >= hot_score,
        )
    return lead_id


async def follow_consents(
    session: AsyncSession,
    *,
    conversation_id: UUID,
    rodo: bool | None,
    marketing: bool | None,
    channels: Sequence[str],
    hot_score: int,
) -> None:
    """Repeat the conversation's answers on its lead, where there is one, and alert sales as `capture` does.

    Alerts that a withdrawal had ended before they were sent wait again.
    """
    lead = await repository.set_consents(session, conversation_id, rodo=rodo, marketing=marketing)
    if lead is not None and rodo:
        await alerts.resume(session, events=(LEAD_CAPTURED, LEAD_HOT), conversation_id=conversation_id)
        await _alert_sales(
            session, lead.id, conversation_id=conversation_id, channels=channels, hot=lead.score >= hot_score
        )


async def _alert_sales(
    session: AsyncSession, lead_id: UUID, *, conversation_id: UUID, channels: Sequence[str], hot: bool
) -> None:
    hot_channels = [channel for channel in HOT_CHANNELS if hot and channel in channels]
    for event, to in ((LEAD_CAPTURED, channels), (LEAD_HOT, hot_channels)):
        await alerts.record(session, event=event, subject_id=lead_id, conversation_id=conversation_id, channels=to)


async def get(session: AsyncSession, lead_id: UUID) -> AnyRow:
    """One lead. Raises LeadNotFoundError."""
    lead = await repository.get(session, lead_id)
    if lead is None:
        raise LeadNotFoundError
    return lead


async def page(session: AsyncSession, *, before: tuple[datetime, UUID] | None, limit: int) -> Sequence[AnyRow]:
    """One page of leads, newest first."""
    return await repository.page(session, before=before, limit=limit)


async def journal_export(session: AsyncSession, entry: UUID | None, *, actor: str, rows: int) -> UUID:
    """Journal that an operator takes `rows` leads out of the house, in `entry` where the export has one already.

    Gives the entry. Every export is one of all leads.
    """
    if entry is None:
        return await journal.note(session, actor=actor, action="leads.export", target="all", count=rows)
    await journal.add_to(session, entry, count=rows)
    return entry


async def set_status(session: AsyncSession, lead_id: UUID, status: str | None, *, actor: str) -> AnyRow:
    """Say how far sales has come with a lead; gives the lead. None leaves it as it is. Raises LeadNotFoundError."""
    if status is not None and await repository.set_status(session, lead_id, status):
        await journal.note(session, actor=actor, action=f"lead.{status}", target=str(lead_id))
    return await get(session, lead_id)
