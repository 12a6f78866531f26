"""Recording alerts with the event that causes them."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.repository import alerts, dead_letters
from app.core.db import ring_when_committed

_log = structlog.stdlib.get_logger(__name__)


async def record(
    session: AsyncSession, *, event: str, subject_id: UUID, conversation_id: UUID | None, channels: Sequence[str]
) -> None:
    """Record one alert for each channel in the caller's transaction, and ring for the new ones once it commits.

    An event and subject that were recorded before cause nothing.
    """
    if not channels:
        return
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    new = await alerts.insert_new(
        session,
        rows=[
            {
                "id": uuid4(),
                "event": event,
                "channel": channel,
                "subject_id": subject_id,
                "conversation_id": conversation_id,
                "dedupe_key": f"{event}:{subject_id}:{channel}",
                "request_id": request_id,
            }
            for channel in channels
        ],
    )
    ring_when_committed(session, new)


async def retry_due(session: AsyncSession) -> list[str]:
    """Make dead letters whose time has come alerts again, and ring for them; gives the channel of each."""
    channels = await dead_letters.release_due(session)
    ring_when_committed(session, channels)
    return channels


async def escalate(session: AsyncSession, *, pagers: Sequence[str]) -> int:
    """Tell people, in one message, of every dead letter that failed for good and was not told of; gives how many.

    The first of `pagers` carries it. Without one, the dead letters stay untold and the log says so.
    """
    failed = await dead_letters.unreported(session)
    if not failed:
        return 0
    if not pagers:
        _log.error("escalation_impossible", dead_letters=len(failed), hint="set SMTP_URL, MAIL_FROM, ESCALATION_EMAIL")
        return 0
    notice_id = await dead_letters.mark_reported(session, failed)
    await record(session, event="notice.dead_letters", subject_id=notice_id, conversation_id=None, channels=pagers[:1])
    return len(failed)


async def cancel(
    session: AsyncSession, *, conversation_ids: Sequence[UUID], events: Sequence[str] | None, reason: str
) -> int:
    """Cancel what waits to be sent about these conversations, of these events or of all; gives how many."""
    return await alerts.cancel(session, conversation_ids=conversation_ids, events=events, reason=reason)
