"""Every query of delivery: recording, claiming, settling, finding what is due, listing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import CursorResult, func, insert, literal, or_, select, true, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.models import ChannelGate, DeadLetter, DeliveryAttempt, OutboundAlert
from app.core.db import AnyRow


@dataclass(frozen=True, slots=True)
class Claimed:
    """An alert that this worker alone may send until its lease ends."""

    id: UUID
    event: str
    channel: str
    subject_id: UUID
    conversation_id: UUID | None
    attempt: int
    possible_repeat: bool
    lease_token: UUID


async def insert_new(session: AsyncSession, *, rows: Sequence[dict[str, Any]]) -> list[UUID]:
    """Record alerts; those whose dedupe key exists already are left alone. Gives the ids of the new ones."""
    inserted = await session.scalars(
        upsert(OutboundAlert)
        .values(list(rows))
        .on_conflict_do_nothing(index_elements=["dedupe_key"])
        .returning(OutboundAlert.id)
    )
    return list(inserted)


def _may_be_claimed(max_attempts: int) -> Any:
    due = (OutboundAlert.state == "pending") & (OutboundAlert.next_attempt_at <= func.now())
    abandoned = (OutboundAlert.state == "sending") & (OutboundAlert.lease_until < func.now())
    return or_(due, abandoned) & (OutboundAlert.attempts < max_attempts)


def _held_back() -> Any:
    gate = select(literal(1)).where(
        ChannelGate.channel == OutboundAlert.channel, ChannelGate.blocked_until > func.now()
    )
    return gate.exists()


async def claim(
    session: AsyncSession, *, alert_ids: Sequence[UUID], lease: timedelta, max_attempts: int
) -> list[Claimed]:
    """Take those of `alert_ids` that are due and nobody else holds, and count the attempt.

    A row whose lease ran out is taken over: its attempt may have arrived, so it is marked as a possible repeat.
    """
    token = uuid4()
    free = (
        select(OutboundAlert.id, OutboundAlert.state.label("was"))
        .where(OutboundAlert.id.in_(alert_ids), _may_be_claimed(max_attempts), ~_held_back())
        .with_for_update(skip_locked=True, of=OutboundAlert)
        .cte("free")
        .prefix_with("MATERIALIZED")
    )
    rows = await session.execute(
        update(OutboundAlert)
        .where(OutboundAlert.id == free.c.id)
        .values(
            state="sending",
            attempts=OutboundAlert.attempts + 1,
            possible_repeat=or_(OutboundAlert.possible_repeat, free.c.was == "sending"),
            lease_token=token,
            lease_until=func.now() + lease,
        )
        .returning(
            OutboundAlert.id,
            OutboundAlert.event,
            OutboundAlert.channel,
            OutboundAlert.subject_id,
            OutboundAlert.conversation_id,
            OutboundAlert.attempts,
            OutboundAlert.possible_repeat,
        ),
        execution_options={"synchronize_session": False},
    )
    return [Claimed(*row, lease_token=token) for row in rows]


async def settle(session: AsyncSession, claimed: Claimed, *, state: str, **values: Any) -> bool:
    """Write what became of a claim. False when the lease was lost to another worker meanwhile (fenced)."""
    result: CursorResult[Any] = await session.execute(  # type: ignore[assignment]
        update(OutboundAlert)
        .where(
            OutboundAlert.id == claimed.id,
            OutboundAlert.state == "sending",
            OutboundAlert.lease_token == claimed.lease_token,
        )
        .values(
            state=state,
            lease_token=None,
            lease_until=None,
            delivered_at=func.now() if state == "delivered" else None,
            **values,
        ),
        execution_options={"synchronize_session": False},
    )
    return result.rowcount == 1


async def add_attempt(
    session: AsyncSession,
    claimed: Claimed,
    *,
    outcome: str,
    status: int | None,
    error: str | None,
    started_at: datetime,
    duration_ms: int,
) -> None:
    """Append what one attempt came to."""
    await session.execute(
        insert(DeliveryAttempt).values(
            alert_id=claimed.id,
            attempt=claimed.attempt,
            outcome=outcome,
            status=status,
            error=error,
            started_at=started_at,
            duration_ms=duration_ms,
        )
    )


async def open_dead_letter(session: AsyncSession, claimed: Claimed, *, status: str, reason: str) -> None:
    """Note a failed delivery for the operators; a later failure updates the same row."""
    await _dead_letter(session, alert_id=claimed.id, channel=claimed.channel, status=status, reason=reason)


async def _dead_letter(session: AsyncSession, *, alert_id: UUID, channel: str, status: str, reason: str) -> None:
    closed_at = None if status == "pending" else func.now()
    await session.execute(
        upsert(DeadLetter)
        .values(id=uuid4(), alert_id=alert_id, channel=channel, status=status, reason=reason, closed_at=closed_at)
        .on_conflict_do_update(
            index_elements=["alert_id"], set_={"status": status, "reason": reason, "closed_at": closed_at}
        )
    )


async def close_dead_letter(session: AsyncSession, alert_id: UUID, *, status: str) -> None:
    """Note that a dead letter, if there is one, needs nobody any more."""
    await session.execute(
        update(DeadLetter).where(DeadLetter.alert_id == alert_id).values(status=status, closed_at=func.now()),
        execution_options={"synchronize_session": False},
    )


async def hold_channel(session: AsyncSession, channel: str, *, seconds: float, reason: str) -> None:
    """Hold a channel back for every worker, for so many seconds from now; a longer hold is never shortened."""
    until = func.now() + timedelta(seconds=seconds)
    await session.execute(
        upsert(ChannelGate)
        .values(channel=channel, blocked_until=until, reason=reason)
        .on_conflict_do_update(
            index_elements=["channel"],
            set_={
                "blocked_until": func.greatest(ChannelGate.blocked_until, until),
                "reason": reason,
                "updated_at": func.now(),
            },
        )
    )


async def bury_crashed(session: AsyncSession, *, max_attempts: int) -> list[UUID]:
    """Give up alerts whose every attempt ended with the worker's death, as dead letters; gives their ids."""
    buried = await session.execute(
        update(OutboundAlert)
        .where(
            OutboundAlert.state == "sending",
            OutboundAlert.lease_until < func.now(),
            OutboundAlert.attempts >= max_attempts,
        )
        .values(
            state="failed",
            lease_token=None,
            lease_until=None,
            possible_repeat=True,
            last_outcome="ambiguous",
            last_error="crash_loop",
        )
        .returning(OutboundAlert.id, OutboundAlert.channel),
        execution_options={"synchronize_session": False},
    )
    rows = buried.all()
    for row in rows:
        await _dead_letter(session, alert_id=row.id, channel=row.channel, status="failed", reason="crash_loop")
    return [row.id for row in rows]


async def due(session: AsyncSession, *, limit: int) -> list[UUID]:
    """Ids of alerts that somebody should deliver now, the longest waiting first."""
    pending = select(OutboundAlert.id, OutboundAlert.next_attempt_at.label("since")).where(
        OutboundAlert.state == "pending", OutboundAlert.next_attempt_at <= func.now(), ~_held_back()
    )
    abandoned = select(OutboundAlert.id, OutboundAlert.lease_until.label("since")).where(
        OutboundAlert.state == "sending", OutboundAlert.lease_until < func.now()
    )
    both = pending.order_by("since").limit(limit).union_all(abandoned.order_by("since").limit(limit)).subquery()
    return list(await session.scalars(select(both.c.id).order_by(both.c.since).limit(limit)))


async def page(
    session: AsyncSession, *, channel: str | None, state: str | None, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[AnyRow]:
    """One page of alerts, newest first, after the keyset position `before`."""
    key = tuple_(OutboundAlert.created_at, OutboundAlert.id)
    return (
        await session.execute(
            select(
                OutboundAlert.id,
                OutboundAlert.event,
                OutboundAlert.channel,
                OutboundAlert.subject_id,
                OutboundAlert.state,
                OutboundAlert.attempts,
                OutboundAlert.possible_repeat,
                OutboundAlert.last_outcome,
                OutboundAlert.last_error,
                OutboundAlert.next_attempt_at,
                OutboundAlert.created_at,
                OutboundAlert.delivered_at,
            )
            .where(
                OutboundAlert.channel == channel if channel else true(),
                OutboundAlert.state == state if state else true(),
                key < before if before else true(),
            )
            .order_by(OutboundAlert.created_at.desc(), OutboundAlert.id.desc())
            .limit(limit)
        )
    ).all()
