"""What operators do about alerts that were not delivered: look, retry, discard. For HTTP and for the command line."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.repository import operator, rounds
from app.core.db import AnyRow, ring_when_committed
from app.core.errors import ConflictError, NotFoundError
from app.operations import service as journal

BULK_BATCH: Final = 1_000
ACTIONS_SHOWN: Final = 100


class AlertNotFoundError(NotFoundError):
    """No alert has this id."""

    code = "alert-not-found"
    title = "There is no such alert."


class DeadLetterNotFoundError(NotFoundError):
    """No dead letter has this id."""

    code = "dead-letter-not-found"
    title = "There is no such dead letter."


class DeadLetterDeliveredError(ConflictError):
    """It has arrived after all."""

    code = "dead-letter-delivered"
    title = "The dead letter was delivered."


class DeadLetterCancelledError(ConflictError):
    """The guard stopped it: a replay would be stopped again."""

    code = "dead-letter-cancelled"
    title = "The dead letter was cancelled."


class AlertInFlightError(ConflictError):
    """A worker is sending it at this moment."""

    code = "alert-in-flight"
    title = "The alert is being sent right now."


@dataclass(frozen=True, slots=True)
class Retried:
    """What a bulk retry did."""

    retried: int
    channels: list[str]
    last_attempt_at: datetime | None
    """When the last of them is due; None when there were none."""


async def alert(session: AsyncSession, alert_id: UUID) -> dict[str, Any]:
    """One alert with its attempts. Raises AlertNotFoundError."""
    found = await operator.alert(session, alert_id)
    if found is None:
        raise AlertNotFoundError
    return {**found._asdict(), "attempts_made": await operator.attempts(session, alert_id)}


async def page(
    session: AsyncSession,
    *,
    status: str | None,
    channel: str | None,
    since: datetime | None,
    before: tuple[datetime, UUID] | None = None,
    limit: int,
) -> Sequence[AnyRow]:
    """One page of dead letters, newest first; `since` is inclusive."""
    return await operator.dead_letters(session, status=status, channel=channel, since=since, before=before, limit=limit)


async def get(session: AsyncSession, dead_letter_id: UUID) -> AnyRow:
    """One dead letter. Raises DeadLetterNotFoundError."""
    found = await operator.dead_letter(session, dead_letter_id)
    if found is None:
        raise DeadLetterNotFoundError
    return found


async def detail(session: AsyncSession, dead_letter_id: UUID) -> dict[str, Any]:
    """One dead letter with its attempts and what operators did about it. Raises DeadLetterNotFoundError."""
    found = await get(session, dead_letter_id)
    return {
        **found._asdict(),
        "attempts_made": await operator.attempts(session, found.alert_id),
        "actions": await journal.actions(session, target=str(dead_letter_id), limit=ACTIONS_SHOWN),
    }


async def retry(session: AsyncSession, dead_letter_id: UUID, *, actor: str) -> AnyRow:
    """Give a dead letter a new round of attempts that begins now; gives the dead letter.

    While that round has not begun, asking again changes nothing. Raises DeadLetterNotFoundError and, for one that
    cannot be sent again, DeadLetterDeliveredError, DeadLetterCancelledError or AlertInFlightError.
    """
    locked = await _lock(session, dead_letter_id)
    if locked.round_begun:
        changed = await rounds.hasten(session, locked.alert_id)
    else:
        await rounds.begin_round(session, locked.alert_id)
        changed = True
    if changed:
        await journal.note(session, actor=actor, action="dead_letter.retry", target=str(dead_letter_id))
    ring_when_committed(session, [locked.channel])
    return await get(session, dead_letter_id)


async def discard(session: AsyncSession, dead_letter_id: UUID, *, actor: str, reason: str) -> AnyRow:
    """Close a dead letter that shall not be delivered; gives the dead letter. Closing it again changes nothing.

    Raises what `retry` raises.
    """
    locked = await _lock(session, dead_letter_id)
    if locked.state != "discarded":
        await rounds.discard(session, locked.alert_id)
        await journal.note(
            session, actor=actor, action="dead_letter.discard", target=str(dead_letter_id), reason=reason
        )
    return await get(session, dead_letter_id)


async def retry_many(
    session: AsyncSession,
    *,
    channel: str | None,
    since: datetime | None,
    statuses: Collection[str],
    per_second: float,
    actor: str,
) -> Retried:
    """Give all these dead letters a new round, the oldest first and `per_second` of them a second.

    Left out are those being sent at this moment and those whose new round is about to begin: asking again changes
    nothing.
    """
    after: tuple[datetime, UUID] | None = None
    last_attempt_at: datetime | None = None
    channels: set[str] = set()
    retried = 0
    while rows := await rounds.lock_many(
        session, statuses=statuses, channel=channel, since=since, after=after, limit=BULK_BATCH
    ):
        last_attempt_at = await rounds.begin_rounds(
            session, [row.alert_id for row in rows], first=retried, apart=timedelta(seconds=1 / per_second)
        )
        retried += len(rows)
        channels.update(row.channel for row in rows)
        after = (rows[-1].created_at, rows[-1].id)
    if retried:
        await journal.note(
            session, actor=actor, action="dead_letter.retry_many", target=channel or "all", count=retried
        )
        ring_when_committed(session, channels)
    return Retried(retried=retried, channels=sorted(channels), last_attempt_at=last_attempt_at)


async def _lock(session: AsyncSession, dead_letter_id: UUID) -> AnyRow:
    """Lock a dead letter that may still be acted on."""
    locked = await rounds.lock(session, dead_letter_id)
    if locked is None:
        raise DeadLetterNotFoundError
    if locked.state == "delivered":
        raise DeadLetterDeliveredError("It has arrived: another attempt would repeat it.")
    if locked.state == "cancelled":
        raise DeadLetterCancelledError(
            "Its person no longer agrees or is gone: another attempt would be stopped again."
        )
    if locked.state == "sending":
        raise AlertInFlightError("A worker is sending it; ask again when that attempt has ended.")
    return locked
