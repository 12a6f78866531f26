"""How channels stand and what operators do to them. Every comparison with now is the database's."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Float, cast, func, insert, literal, or_, select, union_all, update
from sqlalchemy import case as choose
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.models import ChannelGate, DeadLetter, OperatorNotice, OutboundAlert
from app.core.db import AnyRow

_NO_SYNC: Final = {"synchronize_session": False}


async def gates(session: AsyncSession) -> dict[str, AnyRow]:
    """What holds each channel back, by its name. Waits that are over are left out."""
    is_open = ChannelGate.open_until > func.now()
    is_blocked = ChannelGate.blocked_until > func.now()
    rows = await session.execute(
        select(
            ChannelGate.channel,
            choose((ChannelGate.open_until.is_(None), "closed"), (is_open, "open"), else_="half_open").label("breaker"),
            ChannelGate.failures,
            ChannelGate.open_reason,
            ChannelGate.opened_at,
            choose((is_open, ChannelGate.open_until)).label("retry_at"),
            choose((is_blocked, ChannelGate.blocked_until)).label("blocked_until"),
            choose((is_blocked, ChannelGate.blocked_reason)).label("blocked_reason"),
            ChannelGate.paused_at,
            ChannelGate.paused_by,
            ChannelGate.paused_reason,
            ChannelGate.trial_at,
        )
    )
    return {row.channel: row for row in rows}


async def backlogs(session: AsyncSession) -> Sequence[AnyRow]:
    """Rows of `channel, kind, waiting, seconds` for the kinds pending, sending, retrying and failed.

    `failed` counts dead letters that were given up, the others alerts. `seconds` is how long the pending alert that
    has been due longest has been so. Each kind is counted by an index of its own.
    """
    first_due = func.min(OutboundAlert.next_attempt_at).filter(OutboundAlert.next_attempt_at <= func.now())
    nothing = cast(None, Float)
    alerts = [
        select(OutboundAlert.channel, literal(state).label("kind"), func.count().label("waiting"), seconds)
        .where(OutboundAlert.state == state)
        .group_by(OutboundAlert.channel)
        for state, seconds in (
            ("pending", cast(func.extract("epoch", func.now() - first_due), Float).label("seconds")),
            ("sending", nothing),
            ("retrying", nothing),
        )
    ]
    failed = (
        select(DeadLetter.channel, literal("failed"), func.count(), nothing)
        .where(DeadLetter.status == "failed")
        .group_by(DeadLetter.channel)
    )
    return (await session.execute(union_all(*alerts, failed))).all()


async def dead_letters_by_status(session: AsyncSession) -> dict[str, int]:
    """How many dead letters wait and how many were given up. The closed ones are not counted: they only grow."""
    rows = await session.execute(
        select(DeadLetter.status, func.count().label("letters"))
        .where(DeadLetter.status.in_(("pending", "failed")))
        .group_by(DeadLetter.status)
    )
    return {row.status: row.letters for row in rows}


async def now(session: AsyncSession) -> datetime:
    """The database's idea of the present."""
    return (await session.execute(select(func.now()))).scalar_one()


async def pause(session: AsyncSession, channel: str, *, by: str, reason: str | None) -> bool:
    """Pause a channel; false when an operator had paused it already. A worker's pause becomes the operator's."""
    return await _change(
        session,
        channel,
        or_(ChannelGate.paused_at.is_(None), ChannelGate.paused_by == "worker"),
        paused_at=func.now(),
        paused_by=by,
        paused_reason=reason,
        trial_at=None,
    )


async def resume(session: AsyncSession, channel: str) -> bool:
    """Take a pause back, an operator's or a worker's; false when there was none."""
    return await _change(
        session,
        channel,
        ChannelGate.paused_at.is_not(None),
        paused_at=None,
        paused_by=None,
        paused_reason=None,
        trial_at=None,
    )


async def reset(session: AsyncSession, channel: str) -> None:
    """Close the breaker, forget its failures and the remote's wish to wait. Sends under way count no more."""
    await _change(
        session,
        channel,
        epoch=ChannelGate.epoch + 1,
        failures=0,
        open_until=None,
        open_reason=None,
        opened_at=None,
        probe_token=None,
        probe_until=None,
        blocked_until=None,
        blocked_reason=None,
    )


async def _change(session: AsyncSession, channel: str, *conditions: Any, **values: Any) -> bool:
    changed = await session.scalar(
        update(ChannelGate)
        .where(ChannelGate.channel == channel, *conditions)
        .values(**values, updated_at=func.now())
        .returning(ChannelGate.channel),
        execution_options=_NO_SYNC,
    )
    return changed is not None


async def add_test_notice(session: AsyncSession, channel: str) -> UUID:
    """Make the notice that a test of a channel carries, and give its id."""
    notice_id = uuid4()
    await session.execute(insert(OperatorNotice).values(id=notice_id, kind="notice.test", channel=channel))
    return notice_id
