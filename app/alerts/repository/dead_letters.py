"""Dead letters: making due ones alerts again, telling people of failed ones, forgetting delivered ones."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.models import DeadLetter, OperatorNotice, OutboundAlert
from app.core.db import AnyRow

RELEASE_LIMIT: Final = 500
ESCALATE_LIMIT: Final = 10_000
CLEANUP_LIMIT: Final = 1_000


async def release_due(session: AsyncSession) -> list[str]:
    """Give dead letters whose time has come back to the queue, up to RELEASE_LIMIT; gives the channel of each."""
    due = (
        select(OutboundAlert.id)
        .where(OutboundAlert.state == "retrying", OutboundAlert.next_attempt_at <= func.now())
        .order_by(OutboundAlert.next_attempt_at)
        .limit(RELEASE_LIMIT)
        .with_for_update(skip_locked=True)
    )
    released = await session.scalars(
        update(OutboundAlert)
        .where(OutboundAlert.id.in_(due.scalar_subquery()))
        .values(state="pending")
        .returning(OutboundAlert.channel),
        execution_options={"synchronize_session": False},
    )
    return list(released)


async def unreported(session: AsyncSession) -> list[UUID]:
    """Failed dead letters that nobody was told of, locked until the caller commits.

    Those of notices are left out: that a mail about failures failed is not told by another mail.
    """
    failed = await session.scalars(
        select(DeadLetter.id)
        .join(OutboundAlert, OutboundAlert.id == DeadLetter.alert_id)
        .where(
            DeadLetter.status == "failed",
            DeadLetter.escalation_id.is_(None),
            OutboundAlert.event.not_like("notice.%"),
        )
        .limit(ESCALATE_LIMIT)
        .with_for_update(skip_locked=True, of=DeadLetter)
    )
    return list(failed)


async def mark_reported(session: AsyncSession, dead_letter_ids: Sequence[UUID]) -> UUID:
    """Make the one notice that tells of these dead letters, and give its id."""
    notice_id = uuid4()
    session.add(OperatorNotice(id=notice_id, kind="notice.dead_letters"))
    await session.flush()
    await session.execute(
        update(DeadLetter).where(DeadLetter.id.in_(dead_letter_ids)).values(escalation_id=notice_id),
        execution_options={"synchronize_session": False},
    )
    return notice_id


async def reported_by(session: AsyncSession, notice_id: UUID, *, limit: int) -> tuple[int, Sequence[AnyRow]]:
    """How many dead letters a notice tells of, and the first of them."""
    told = DeadLetter.escalation_id == notice_id
    count = (await session.execute(select(func.count()).where(told))).scalar_one()
    rows = await session.execute(
        select(
            DeadLetter.id,
            DeadLetter.alert_id,
            DeadLetter.channel,
            DeadLetter.status,
            DeadLetter.reason,
            DeadLetter.created_at,
            DeadLetter.closed_at,
            OutboundAlert.event,
            OutboundAlert.attempts,
            OutboundAlert.ambiguous_since,
        )
        .join(OutboundAlert, OutboundAlert.id == DeadLetter.alert_id)
        .where(told)
        .order_by(DeadLetter.created_at, DeadLetter.id)
        .limit(limit)
    )
    return count, rows.all()


async def delete_delivered(session: AsyncSession, *, older_than: timedelta) -> int:
    """Forget dead letters that were delivered after all, up to CLEANUP_LIMIT; gives how many."""
    old = (
        select(DeadLetter.id)
        .where(DeadLetter.status == "delivered", DeadLetter.closed_at < func.now() - older_than)
        .limit(CLEANUP_LIMIT)
        .with_for_update(skip_locked=True)
    )
    deleted = await session.execute(
        delete(DeadLetter).where(DeadLetter.id.in_(old.scalar_subquery())).returning(DeadLetter.id),
        execution_options={"synchronize_session": False},
    )
    return len(deleted.all())
