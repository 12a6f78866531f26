"""Recording alerts with the event that causes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.repository import alerts, dead_letters, erasure, notices, rounds
from app.alerts.repository.erasure import LEAD_ERASED
from app.core.db import AnyRow, ring_when_committed

COPYING_CHANNELS: Final = ("slack", "monday")
"""Channels whose recipients keep what they get about a person. Mail to the person is the person's own."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Severed:
    """The alerts that an erasure cut off, and how many remote copies are to be deleted."""

    alert_ids: list[UUID]
    deletions: int


async def record(
    session: AsyncSession, *, event: str, subject_id: UUID, conversation_id: UUID | None, channels: Sequence[str]
) -> None:
    """Record one alert for each channel in the caller's transaction, and ring for the new ones once it commits.

    An event and subject that were recorded before cause nothing.
    """
    if not channels:
        return
    context = structlog.contextvars.get_contextvars()
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
                "request_id": context.get("request_id"),
                "trace_id": context.get("trace_id"),
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


async def tell_operators(session: AsyncSession, *, kind: str, reason: str | None, pagers: Sequence[str]) -> None:
    """Tell the people who run the service of something once; the first of `pagers` carries it.

    Without one the log says so. `kind` is one that `operator_notice` allows and `worker.notices` can put into words.
    """
    if not pagers:
        _log.error("notice_impossible", kind=kind, hint="set SMTP_URL, MAIL_FROM, ESCALATION_EMAIL")
        return
    notice_id = await notices.add(session, kind=kind, reason=reason)
    await record(session, event=kind, subject_id=notice_id, conversation_id=None, channels=pagers[:1])


async def sever(session: AsyncSession, *, conversation_ids: Sequence[UUID]) -> Severed:
    """Cut every alert about these conversations off from the person, and ask for remote copies to be deleted.

    What waits is cancelled; attempts and dead letters are deleted; the row keeps that something was sent, when, and
    the remote's own id until the copy there is gone. Whatever is or may be with a recipient causes an alert
    `lead.erased` of its own (GDPR art. 17(2) and 19). One that is being sent at this moment is looked after when its
    lease is over: it may still arrive.
    """
    await cancel(session, conversation_ids=conversation_ids, events=None, reason="subject_erased")
    severed = await erasure.sever(session, conversation_ids)
    new = await erasure.ask_for_deletion(session, [row for row in severed if _has_a_copy(row)])
    ring_when_committed(session, new)
    return Severed([row.id for row in severed], len(new))


def _has_a_copy(row: AnyRow) -> bool:
    arrived = row.delivered_at is not None or row.ambiguous_since is not None or row.lease_until is not None
    return arrived and row.channel in COPYING_CHANNELS and row.event != LEAD_ERASED


async def resume(session: AsyncSession, *, events: Sequence[str], conversation_id: UUID) -> None:
    """Let alerts that only a missing consent had ended wait again, and ring for them once this commits."""
    channels = await rounds.resume(
        session, conversation_id=conversation_id, events=events, reasons=("consent_refused", "consent_missing")
    )
    ring_when_committed(session, channels)


async def cancel(
    session: AsyncSession,
    *,
    conversation_ids: Sequence[UUID],
    events: Sequence[str] | None,
    reason: str,
    subject_ids: Sequence[UUID] | None = None,
    but: Sequence[str] = (),
) -> int:
    """Cancel what waits to be sent about these conversations, of these events or of all; gives how many.

    With `subject_ids` only alerts about these subjects, and never any of the events `but`.
    """
    return await alerts.cancel(
        session, conversation_ids=conversation_ids, events=events, reason=reason, subject_ids=subject_ids, but=but
    )
