"""Under the claim: whether a follow-up's mail may leave now, and what it needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from app.consent.repository import note_mailed
from app.consent.service import Recipient, reasons_not_to_send
from app.consent.suppression import ADDRESS_USE
from app.core.addresses import normalise_email
from app.core.keys import KeyRing
from app.followups import mail_repository as repository
from app.followups.calendar import Hours
from app.followups.service import SCHEDULE


@dataclass(frozen=True, slots=True)
class Ready:
    """It may leave."""

    followup_id: UUID
    conversation_id: UUID
    recipient: str
    language: str
    number: int | None
    """None for words that a person wrote."""
    message: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """It must not leave, ever."""

    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """It may leave from then on."""

    at: datetime


async def judge(
    connection: asyncpg.Connection, followup_ids: Sequence[UUID], *, keys: KeyRing, hours: Hours, now: datetime
) -> dict[UUID, Ready | Dropped | Later]:
    """What to do with each of these follow-ups at `now`, from current rows, past the guard.

    A visitor who wrote since is in conversation again, and a lead that sales took up is theirs.
    """
    rows = {row["id"]: row for row in await repository.for_sending(connection, followup_ids)}
    recipients = [Recipient(row["conversation_id"], row["email"]) for row in rows.values()]
    reasons = await reasons_not_to_send(connection, recipients=recipients, purpose="marketing_email", keys=keys)
    return {
        key: _judged(rows[key], reasons, hours=hours, now=now) if key in rows else Dropped("subject_erased")
        for key in followup_ids
    }


async def note(connection: asyncpg.Connection, ready: Sequence[Ready], *, keys: KeyRing) -> set[UUID]:
    """Keep a keyed hash of where each of these mails is about to go; gives those whose conversation is still there."""
    mails = [
        (mail.followup_id, mail.conversation_id, keys.digest(ADDRESS_USE, normalise_email(mail.recipient).encode()))
        for mail in ready
    ]
    return await note_mailed(connection, mails, key_id=keys.current) if mails else set()


def _judged(
    row: asyncpg.Record, reasons: Mapping[UUID | None, str], *, hours: Hours, now: datetime
) -> Ready | Dropped | Later:
    if row["message"] is None:
        return Dropped("subject_erased")
    if row["conversation_id"] in reasons:
        return Dropped(reasons[row["conversation_id"]])
    if (reason := _overtaken(row)) is not None:
        return Dropped(reason)
    if not hours.allow(now):
        return Later(hours.next_allowed(now))
    return Ready(
        followup_id=row["id"],
        conversation_id=row["conversation_id"],
        recipient=row["email"],
        language=row["language"],
        number=row["followup_number"] if row["author"] == SCHEDULE else None,
        message=row["message"],
    )


def _overtaken(row: asyncpg.Record) -> str | None:
    """Why a follow-up has no reason to leave any more, or None."""
    if row["state"] == "cancelled":
        return "followup_cancelled"  # its reason is an operator's own words, which stay in its row
    if row["replied"]:
        return "visitor_replied"
    if row["lead_status"] not in {None, "new"}:
        return "lead_taken"
    if row["conversation_state"] == "handoff" and row["author"] == SCHEDULE:
        return "conversation_taken"
    return None if row["email"] else "no_address"
