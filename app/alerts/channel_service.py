"""What operators see of channels and do to them. For HTTP and for the command line."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import service as alerts
from app.alerts.models import CHANNELS
from app.alerts.repository import channels, operator
from app.alerts.repository.queue import TEST_EVENT
from app.core.db import ring_when_committed
from app.core.errors import ConflictError
from app.operations import limits
from app.operations import service as journal


class ChannelOffError(ConflictError):
    """The channel has no settings in this process."""

    code = "channel-off"
    title = "The channel is not configured."


async def overview(session: AsyncSession, *, configured: Collection[str]) -> list[dict[str, Any]]:
    """Every channel: its settings, breaker, waits, pause and backlog, in a fixed order."""
    gates = await channels.gates(session)
    backlogs = await channels.backlogs(session)
    return [
        {
            "name": name,
            "configured": name in configured,
            "breaker": {
                "state": gate.breaker,
                "failures": gate.failures,
                "reason": gate.open_reason,
                "opened_at": gate.opened_at,
                "retry_at": gate.retry_at,
            },
            "blocked_until": gate.blocked_until,
            "blocked_reason": gate.blocked_reason,
            "paused": gate.paused_at is not None,
            "paused_at": gate.paused_at,
            "paused_by": gate.paused_by,
            "paused_reason": gate.paused_reason,
            "trial_at": gate.trial_at,
            "backlog": {row.kind: row.waiting for row in backlogs if row.channel == name},
            "oldest_pending_seconds": next(
                (row.seconds for row in backlogs if (row.channel, row.kind) == (name, "pending")), None
            ),
        }
        for name, gate in ((name, gates[name]) for name in CHANNELS)
    ]


async def one(session: AsyncSession, channel: str, *, configured: Collection[str]) -> dict[str, Any]:
    """One channel as in the overview."""
    return next(item for item in await overview(session, configured=configured) if item["name"] == channel)


async def pause(session: AsyncSession, channel: str, *, actor: str, reason: str | None) -> None:
    """Send nothing more on a channel until it is resumed, tests excepted. A pause that is there already stays."""
    if await channels.pause(session, channel, by=actor, reason=reason):
        await journal.note(session, actor=actor, action="channel.pause", target=channel, reason=reason)


async def resume(session: AsyncSession, channel: str, *, actor: str) -> None:
    """Send again on a channel that an operator or a worker paused."""
    if await channels.resume(session, channel):
        await journal.note(session, actor=actor, action="channel.resume", target=channel)
    ring_when_committed(session, [channel])


async def reset(session: AsyncSession, channel: str, *, actor: str) -> None:
    """Forget a channel's failures and the remote's wish to wait, and try at once. A pause stays."""
    await channels.reset(session, channel)
    await journal.note(session, actor=actor, action="channel.reset", target=channel)
    ring_when_committed(session, [channel])


async def send_test(session: AsyncSession, channel: str, *, configured: Collection[str], actor: str) -> UUID:
    """Send a test on a channel, paused or not, and give its alert's id. Raises ChannelOffError."""
    if channel not in configured:
        raise ChannelOffError("This process has no settings for it.")
    notice_id = await channels.add_test_notice(session, channel)
    await alerts.record(session, event=TEST_EVENT, subject_id=notice_id, conversation_id=None, channels=[channel])
    await journal.note(session, actor=actor, action="channel.test", target=channel)
    return await operator.alert_id_of(session, f"{TEST_EVENT}:{notice_id}:{channel}")


async def status(
    session: AsyncSession, *, configured: Collection[str], scheduler_enabled: bool, rate_limits: Mapping[str, str]
) -> dict[str, Any]:
    """How the whole service stands; `rate_limits` are the environment's."""
    letters = await channels.dead_letters_by_status(session)
    return {
        "scheduler_enabled": scheduler_enabled,
        "jobs": await journal.jobs(session, now=await channels.now(session)),
        "dead_letters": letters,
        "channels": await overview(session, configured=configured),
        "rate_limits": await limits.overview(session, defaults=rate_limits),
    }
