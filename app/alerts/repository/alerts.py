"""Recording alerts and listing them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select, true, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.models import DeadLetter, OutboundAlert
from app.core.db import AnyRow

SHOWN: Final = (
    OutboundAlert.id,
    OutboundAlert.event,
    OutboundAlert.channel,
    OutboundAlert.subject_id,
    OutboundAlert.state,
    OutboundAlert.attempts,
    OutboundAlert.ambiguous_since.is_not(None).label("possible_repeat"),
    OutboundAlert.last_outcome,
    OutboundAlert.last_error,
    OutboundAlert.next_attempt_at,
    OutboundAlert.created_at,
    OutboundAlert.delivered_at,
)
"""What operators see of an alert, in lists and alone."""


async def insert_new(session: AsyncSession, *, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Record alerts; those whose dedupe key exists already are left alone. Gives the channels of the new ones."""
    inserted = await session.scalars(
        upsert(OutboundAlert)
        .values(list(rows))
        .on_conflict_do_nothing(index_elements=["dedupe_key"])
        .returning(OutboundAlert.channel)
    )
    return list(inserted)


async def cancel(
    session: AsyncSession,
    *,
    conversation_ids: Sequence[UUID],
    events: Sequence[str] | None,
    reason: str,
    subject_ids: Sequence[UUID] | None = None,
    but: Sequence[str] = (),
) -> int:
    """Cancel unclaimed alerts and their dead letters, but not of the events `but`; gives how many alerts."""
    cancelled = await session.scalars(
        update(OutboundAlert)
        .where(
            OutboundAlert.conversation_id.in_(conversation_ids),
            OutboundAlert.state.in_(("pending", "retrying", "failed")),
            OutboundAlert.event.in_(events) if events is not None else true(),
            OutboundAlert.event.not_in(but) if but else true(),
            OutboundAlert.subject_id.in_(subject_ids) if subject_ids is not None else true(),
        )
        .values(state="cancelled", last_outcome="cancelled", last_error=reason, lease_token=None)
        .returning(OutboundAlert.id),
        execution_options={"synchronize_session": False},
    )
    alert_ids = list(cancelled)
    await session.execute(
        update(DeadLetter)
        .where(DeadLetter.alert_id.in_(alert_ids), DeadLetter.status.in_(("pending", "failed")))
        .values(status="cancelled", closed_at=func.now()),
        execution_options={"synchronize_session": False},
    )
    return len(alert_ids)


async def page(
    session: AsyncSession, *, channel: str | None, state: str | None, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[AnyRow]:
    """One page of alerts, newest first, after the keyset position `before`."""
    key = tuple_(OutboundAlert.created_at, OutboundAlert.id)
    return (
        await session.execute(
            select(*SHOWN)
            .where(
                OutboundAlert.channel == channel if channel else true(),
                OutboundAlert.state == state if state else true(),
                key < before if before else true(),
            )
            .order_by(OutboundAlert.created_at.desc(), OutboundAlert.id.desc())
            .limit(limit)
        )
    ).all()
