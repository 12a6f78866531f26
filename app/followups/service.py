"""Follow-ups: writing one exactly once, taking it back, reading them. All in the caller's transaction."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import service as alerts
from app.consent.service import Recipient, reasons_not_to_send
from app.conversations import turns
from app.conversations.desk import ConversationUnknownError
from app.core import clock
from app.core.db import AnyRow, driver_of
from app.core.errors import ConflictError, NotFoundError
from app.core.keys import KeyRing
from app.core.settings import Settings
from app.engine.engine import Engine
from app.engine.types import Locale
from app.followups import people, quiet, repository
from app.followups.mail_repository import FOLLOWUP_DUE
from app.followups.timing import Timing

SCHEDULE: Final = "schedule"
"""The author of follow-ups that no person asked for."""


class FollowupUnknownError(NotFoundError):
    """No follow-up has this id."""

    code = "followup-unknown"
    title = "There is no such follow-up."


class FollowupDiffersError(ConflictError):
    """This number of the conversation says something else."""

    code = "followup-differs"
    title = "This follow-up was already written with another message."


class ConsentMissingError(ConflictError):
    """The visitor has not agreed to hear from us, or took it back."""

    code = "consent-missing"
    title = "The visitor has not agreed to marketing by e-mail."


class FollowupClosedError(ConflictError):
    """It has left."""

    code = "followup-closed"
    title = "This follow-up has been sent already."


@dataclass(frozen=True, slots=True)
class Followups:
    """What every follow-up needs, made once per process."""

    engine: Engine
    keys: KeyRing
    mail: bool
    """Whether mail is configured; without it a follow-up is in the chat only."""
    timing: Timing = field(default_factory=Timing)

    @classmethod
    def of(cls, settings: Settings, engine: Engine) -> Self:
        """What the environment describes."""
        return cls(engine, KeyRing.of(settings), settings.email_configured, Timing.of(settings))


@dataclass(frozen=True, slots=True)
class Written:
    """A follow-up as it stands, and whether it was written before."""

    row: AnyRow
    replayed: bool


async def write(
    session: AsyncSession,
    followups: Followups,
    *,
    conversation_id: UUID,
    number: int,
    message: str | None,
    author: str,
    now: datetime | None = None,
) -> Written:
    """Write the n-th follow-up of a conversation, into the chat and, where there is an address, for the mail.

    The same number again gives what is stored, whatever the consent says since. Without `message` it is composed.
    Raises ConversationUnknownError, FollowupDiffersError, ConsentMissingError.
    """
    found = await repository.lock_conversation(session, conversation_id)
    if found is None:
        raise ConversationUnknownError
    before = await repository.find(session, conversation_id, number)
    if before is not None:
        if message not in {None, before.message}:
            raise FollowupDiffersError
        return Written(before, replayed=True)
    await _require_consent(session, followups, found)
    at = now or clock.now()
    mailed = found.email is not None and followups.mail
    values = {
        "id": uuid4(),
        "conversation_id": conversation_id,
        "followup_number": number,
        "message": message if message is not None else _compose(followups, found, number, at),
        "state": "pending" if mailed else "sent",
        "language": found.language,
        "author": author,
        "person_hmac": people.hmac_of(followups.keys, email=found.email, phone=found.phone),
        "message_seq": found.last_seq + 1,
        "created_at": at,
        "closed_at": None if mailed else at,
    }
    await repository.add(session, values, bubble_id=uuid4())
    if mailed:
        await alerts.record(
            session,
            event=FOLLOWUP_DUE,
            subject_id=values["id"],
            conversation_id=conversation_id,
            channels=("email",),
        )
    return Written(await _get(session, values["id"]), replayed=False)


async def cancel(session: AsyncSession, followup_id: UUID, *, reason: str) -> AnyRow:
    """Take a follow-up back that has not left, and give it as it stands; one that was taken back stays so.

    Its words stay in the chat. A mail that is being sent at this moment may still arrive, and then counts as sent.
    Raises FollowupUnknownError, FollowupClosedError.
    """
    before = await _get(session, followup_id)
    if before.state == "sent":
        raise FollowupClosedError
    if before.state != "cancelled":
        await alerts.cancel(
            session,
            conversation_ids=[before.conversation_id],
            events=(FOLLOWUP_DUE,),
            reason="followup_cancelled",
            subject_ids=[followup_id],
        )
    await repository.cancel(session, reason=reason, now=clock.now(), followup_id=followup_id, conversation_ids=())
    return await _get(session, followup_id)


async def cancel_waiting(session: AsyncSession, conversation_ids: Collection[UUID], *, reason: str) -> int:
    """Take back what has not left of these conversations; gives how many."""
    await alerts.cancel(session, conversation_ids=list(conversation_ids), events=(FOLLOWUP_DUE,), reason=reason)
    cancelled = await repository.cancel(
        session, reason=reason, now=clock.now(), followup_id=None, conversation_ids=conversation_ids
    )
    return len(cancelled)


async def preview(session: AsyncSession, followups: Followups, *, conversation_id: UUID, number: int) -> str:
    """What the n-th follow-up of a conversation would say now. Raises ConversationUnknownError."""
    found = await repository.conversation(session, conversation_id)
    if found is None:
        raise ConversationUnknownError
    return _compose(followups, found, number, clock.now())


async def due(
    session: AsyncSession, followups: Followups, *, now: datetime, limit: int
) -> list[tuple[UUID, int, datetime]]:
    """What the schedule would write at `now`: conversation, number and since when it is due. Writes nothing."""
    return await quiet.due(session, timing=followups.timing, keys=followups.keys, now=now, limit=limit)


async def page(
    session: AsyncSession, *, state: str | None, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[AnyRow]:
    """One page of follow-ups, newest first."""
    return await repository.page(session, state=state, before=before, limit=limit)


async def _require_consent(session: AsyncSession, followups: Followups, conversation: AnyRow) -> None:
    reasons = await reasons_not_to_send(
        await driver_of(session),
        recipients=[Recipient(conversation.id, conversation.email)],
        purpose="marketing_email",
        keys=followups.keys,
    )
    if conversation.id in reasons:
        raise ConsentMissingError(f"The guard says {reasons[conversation.id]}.")


def _compose(followups: Followups, conversation: AnyRow, number: int, now: datetime) -> str:
    locale: Locale = "en" if conversation.language == "en" else "pl"
    slots = turns.slots(conversation._asdict())
    return followups.engine.followup(number, slots=slots, locale=locale, now=now)


async def _get(session: AsyncSession, followup_id: UUID) -> AnyRow:
    row = await repository.get(session, followup_id)
    if row is None:
        raise FollowupUnknownError
    return row
