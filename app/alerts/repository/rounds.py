"""What operators do about dead letters: lock them, give them a new round of attempts, discard them."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import and_, case, func, not_, select, true, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.models import DeadLetter, OutboundAlert
from app.core.db import AnyRow

REFUSALS: Final = ("payload_permanent", "destination_permanent")
"""Outcomes that prove that the remote created nothing."""

_NO_SYNC: Final = {"synchronize_session": False}
_AWAITS_ITS_ROUND: Final = and_(
    OutboundAlert.state == "pending", OutboundAlert.attempts == OutboundAlert.attempts_before
)
"""Due, or due soon, and not tried since its round began."""
_NEW_ROUND: Final[dict[str, Any]] = {
    "state": "pending",
    "attempts_before": OutboundAlert.attempts,
    "crashes": 0,
    "lease_token": None,
    "generation": OutboundAlert.generation + case((OutboundAlert.last_outcome.in_(REFUSALS), 1), else_=0),
}


async def lock(session: AsyncSession, dead_letter_id: UUID) -> AnyRow | None:
    """Keep workers and other operators off a dead letter until the caller commits; None when it is not there.

    The alert is locked first, as workers do.
    """
    alert_id = select(DeadLetter.alert_id).where(DeadLetter.id == dead_letter_id).scalar_subquery()
    locked = (
        await session.execute(
            select(
                OutboundAlert.id.label("alert_id"),
                OutboundAlert.channel,
                OutboundAlert.state,
                _AWAITS_ITS_ROUND.label("round_begun"),
            )
            .where(OutboundAlert.id == alert_id)
            .with_for_update()
        )
    ).one_or_none()
    if locked is None:
        return None
    still = await session.scalar(select(DeadLetter.id).where(DeadLetter.id == dead_letter_id).with_for_update())
    return locked if still else None


async def begin_round(session: AsyncSession, alert_id: UUID) -> None:
    """Make a locked dead letter's alert due now, with all its attempts before it."""
    await session.execute(
        update(OutboundAlert).where(OutboundAlert.id == alert_id).values(**_NEW_ROUND, next_attempt_at=func.now()),
        execution_options=_NO_SYNC,
    )
    await _reopen(session, [alert_id])


async def resume(
    session: AsyncSession, *, conversation_id: UUID, events: Collection[str], reasons: Collection[str]
) -> list[str]:
    """Give alerts of these events that were cancelled for one of these reasons a new round; gives their channels."""
    resumed = (
        await session.execute(
            update(OutboundAlert)
            .where(
                OutboundAlert.conversation_id == conversation_id,
                OutboundAlert.event.in_(events),
                OutboundAlert.state == "cancelled",
                OutboundAlert.last_error.in_(reasons),
            )
            .values(**_NEW_ROUND, next_attempt_at=func.now())
            .returning(OutboundAlert.id, OutboundAlert.channel),
            execution_options=_NO_SYNC,
        )
    ).all()
    await _reopen(session, [row.id for row in resumed])
    return [row.channel for row in resumed]


async def hasten(session: AsyncSession, alert_id: UUID) -> bool:
    """Make a locked alert due now that would be due later; whether it was."""
    hastened = await session.scalar(
        update(OutboundAlert)
        .where(OutboundAlert.id == alert_id, OutboundAlert.next_attempt_at > func.clock_timestamp())
        .values(next_attempt_at=func.clock_timestamp())
        .returning(OutboundAlert.id),
        execution_options=_NO_SYNC,
    )
    return hastened is not None


async def discard(session: AsyncSession, alert_id: UUID) -> None:
    """Close a locked dead letter and its alert for good."""
    await session.execute(
        update(OutboundAlert).where(OutboundAlert.id == alert_id).values(state="discarded", lease_token=None),
        execution_options=_NO_SYNC,
    )
    await session.execute(
        update(DeadLetter).where(DeadLetter.alert_id == alert_id).values(status="discarded", closed_at=func.now()),
        execution_options=_NO_SYNC,
    )


async def lock_many(
    session: AsyncSession,
    *,
    statuses: Collection[str],
    channel: str | None,
    since: datetime | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[AnyRow]:
    """Lock the next dead letters, oldest first after the position `after`, whose alerts may begin a new round.

    Those that a worker or another operator holds at this moment are left out: it is being dealt with.
    """
    return (
        await session.execute(
            select(DeadLetter.id, DeadLetter.created_at, DeadLetter.alert_id, DeadLetter.channel)
            .join(OutboundAlert, OutboundAlert.id == DeadLetter.alert_id)
            .where(
                DeadLetter.status.in_(statuses),
                OutboundAlert.state.in_(("pending", "retrying", "failed", "discarded")),
                not_(_AWAITS_ITS_ROUND),
                DeadLetter.channel == channel if channel else true(),
                DeadLetter.created_at >= since if since else true(),
                tuple_(DeadLetter.created_at, DeadLetter.id) > after if after else true(),
            )
            .order_by(DeadLetter.created_at, DeadLetter.id)
            .limit(limit)
            .with_for_update(skip_locked=True, of=OutboundAlert)
        )
    ).all()


async def begin_rounds(session: AsyncSession, alert_ids: Sequence[UUID], *, first: int, apart: timedelta) -> datetime:
    """Make locked alerts due one after the other, `apart`, from the interval `first` on; gives the last one's time."""
    number = func.array_position(list(alert_ids), OutboundAlert.id)
    due = func.now() + (number - 1 + first) * apart
    times = await session.scalars(
        update(OutboundAlert)
        .where(OutboundAlert.id.in_(alert_ids))
        .values(**_NEW_ROUND, next_attempt_at=due)
        .returning(OutboundAlert.next_attempt_at),
        execution_options=_NO_SYNC,
    )
    await _reopen(session, alert_ids)
    return max(times)


async def _reopen(session: AsyncSession, alert_ids: Sequence[UUID]) -> None:
    await session.execute(
        update(DeadLetter)
        .where(DeadLetter.alert_id.in_(alert_ids))
        .values(status="pending", closed_at=None, escalation_id=None),
        execution_options=_NO_SYNC,
    )
