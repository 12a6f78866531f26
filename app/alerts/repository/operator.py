"""What operators look at: one alert, its attempts, dead letters."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, case, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.models import DeadLetter, DeliveryAttempt, OutboundAlert
from app.alerts.repository.alerts import SHOWN
from app.core.db import AnyRow

ATTEMPTS_SHOWN: Final = 100


async def alert(session: AsyncSession, alert_id: UUID) -> AnyRow | None:
    """One alert, or None."""
    return (
        await session.execute(
            select(
                *SHOWN,
                OutboundAlert.request_id,
                OutboundAlert.trace_id,
                DeadLetter.id.label("dead_letter_id"),
            )
            .outerjoin(DeadLetter, DeadLetter.alert_id == OutboundAlert.id)
            .where(OutboundAlert.id == alert_id)
        )
    ).one_or_none()


async def alert_id_of(session: AsyncSession, dedupe_key: str) -> UUID:
    """The alert that was recorded under this key."""
    found: UUID = (
        await session.execute(select(OutboundAlert.id).where(OutboundAlert.dedupe_key == dedupe_key))
    ).scalar_one()
    return found


async def attempts(session: AsyncSession, alert_id: UUID) -> Sequence[AnyRow]:
    """The last attempts of an alert, up to ATTEMPTS_SHOWN, the first of them first."""
    rows = await session.execute(
        select(
            DeliveryAttempt.attempt,
            DeliveryAttempt.outcome,
            DeliveryAttempt.status,
            DeliveryAttempt.error,
            DeliveryAttempt.started_at,
            DeliveryAttempt.duration_ms,
        )
        .where(DeliveryAttempt.alert_id == alert_id)
        .order_by(DeliveryAttempt.id.desc())
        .limit(ATTEMPTS_SHOWN)
    )
    return rows.all()[::-1]


def _dead_letters() -> Select[*tuple[Any, ...]]:
    waits = OutboundAlert.state.in_(("pending", "retrying"))
    return select(
        DeadLetter.id,
        DeadLetter.alert_id,
        OutboundAlert.event,
        DeadLetter.channel,
        OutboundAlert.subject_id,
        DeadLetter.status,
        DeadLetter.reason,
        OutboundAlert.attempts,
        OutboundAlert.ambiguous_since.is_not(None).label("possible_repeat"),
        case((waits, OutboundAlert.next_attempt_at)).label("next_attempt_at"),
        DeadLetter.created_at,
        DeadLetter.closed_at,
        DeadLetter.escalation_id.is_not(None).label("escalated"),
    ).join(OutboundAlert, OutboundAlert.id == DeadLetter.alert_id)


async def dead_letter(session: AsyncSession, dead_letter_id: UUID) -> AnyRow | None:
    """One dead letter, or None."""
    return (await session.execute(_dead_letters().where(DeadLetter.id == dead_letter_id))).one_or_none()


async def dead_letters(
    session: AsyncSession,
    *,
    status: str | None,
    channel: str | None,
    since: datetime | None,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[AnyRow]:
    """One page of dead letters, newest first, after the keyset position `before`."""
    return (
        await session.execute(
            _dead_letters()
            .where(
                DeadLetter.status == status if status else true(),
                DeadLetter.channel == channel if channel else true(),
                DeadLetter.created_at >= since if since else true(),
                tuple_(DeadLetter.created_at, DeadLetter.id) < before if before else true(),
            )
            .order_by(DeadLetter.created_at.desc(), DeadLetter.id.desc())
            .limit(limit)
        )
    ).all()
