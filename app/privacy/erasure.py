"""Erasure (GDPR art. 17): one use case, whoever asks for it, and the proof that nothing is left."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import service as alerts
from app.consent import repository as consent
from app.consent import suppression
from app.conversations.unsubscribe import NOBODY
from app.core import clock
from app.core.db import AnyRow
from app.core.errors import UnavailableError
from app.privacy import opt_in
from app.privacy.ledger import Entry
from app.privacy.office import Office
from app.privacy.repository import requests, residue, subjects
from app.privacy.repository.residue import Traces

NATIONAL_DIGITS: Final = 9
"""Of a telephone number: how many digits at its end name it within its country, as people write it."""

_log = structlog.stdlib.get_logger(__name__)


class ErasureIncompleteError(UnavailableError):
    """Something was left; nothing was changed, and operators were told where."""

    code = "erasure-incomplete"
    title = "The erasure could not be completed automatically; the operators were told."


class ResidueError(Exception):
    """The search found something of the person in these tables."""

    def __init__(self, tables: Sequence[str]) -> None:
        super().__init__(", ".join(tables))
        self.tables = list(tables)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom to erase: these conversations, and all that hold `address`, which must be proved to be the asker's."""

    conversation_ids: tuple[UUID, ...] = ()
    address: str | None = None
    request_id: UUID | None = None
    """The request that is being answered and stays open."""
    since: datetime | None = None
    """From when on the address may be found outside conversations, where no conversation says it."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a ledger's entry says of an erasure that a restored database has forgotten."""

    id: UUID
    at: datetime
    suppressed: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Erased:
    """What was done. `counts` are rows by table, and `deletions` at recipients that were asked for."""

    id: UUID
    conversation_ids: tuple[UUID, ...]
    alert_ids: Sequence[UUID]
    counts: dict[str, Any]


async def erase(office: Office, subject: Subject, *, surface: str, replayed: Replayed | None = None) -> Erased:
    """Erase in a transaction of its own. Raises ErasureIncompleteError or LedgerUnavailableError."""
    async with office.database.transaction() as session:
        erased = await attempt(office, session, subject, surface=surface, replayed=replayed)
    if erased is None:
        raise ErasureIncompleteError
    await office.forget_receipts(erased.alert_ids)
    return erased


async def attempt(
    office: Office, session: AsyncSession, subject: Subject, *, surface: str, replayed: Replayed | None = None
) -> Erased | None:
    """Erase in the caller's transaction, whole or not at all. None, and operators are told, when something was left.

    The caller calls `office.forget_receipts` after the commit.
    """
    try:
        async with session.begin_nested():
            return await _erase(office, session, subject, surface=surface, replayed=replayed)
    except ResidueError as left:
        _log.error("erasure_residue", tables=left.tables)
        await alerts.tell_operators(
            session, kind="notice.erasure_failed", reason=", ".join(left.tables), pagers=office.pagers
        )
        return None


async def _erase(
    office: Office, session: AsyncSession, subject: Subject, *, surface: str, replayed: Replayed | None
) -> Erased:
    counts: dict[str, Any] = {}
    if subject.address is not None:  # before conversations are locked, as the worker that applies them does
        counts["unsubscribe_request"] = await subjects.delete_unsubscribes(
            session, subject.address, list(office.digests(subject.address).values())
        )
    people = await subjects.lock(
        session,
        conversation_ids=subject.conversation_ids,
        address=subject.address,
        before=replayed.at if replayed else None,
    )
    ids = tuple(person.id for person in people)
    addresses = _addresses(people, subject)
    await opt_in.close_all(session, office.keys, addresses)
    severed = await alerts.sever(session, conversation_ids=ids)
    counts |= await subjects.delete_conversations(session, ids)
    counts |= {"outbound_alert": len(severed.alert_ids), "deletions": severed.deletions}
    if subject.address is not None:
        digests = office.digests(subject.address).values()
        counts["privacy_request"] = await requests.close_all(
            session, list(digests), but=subject.request_id, before=replayed.at if replayed else None
        )
        counts["mailed_address"] += await consent.forget_mailed(session, list(digests))
    traces = _traces(people, subject, replayed)
    counts["idempotency_key"] = await residue.forget_kept_answers(session, traces)
    counts["operator_action"] = await residue.forget_in_journal(session, traces)
    left = await residue.search(session, traces)
    if left:
        raise ResidueError(left)
    erasure_id = await _record(
        office, session, subject, people=people, addresses=addresses, counts=counts, surface=surface, replayed=replayed
    )
    _log.info("erased", conversations=len(ids), surface=surface, counts=counts)
    return Erased(erasure_id, ids, severed.alert_ids, counts)


def _addresses(people: Sequence[AnyRow], subject: Subject) -> list[str]:
    """The proved address first, then those that the conversations and their leads hold."""
    held = sorted({email for person in people for email in (person.email, person.lead_email) if email})
    proved = [subject.address] if subject.address is not None else []
    return [*proved, *(email for email in held if email not in proved)]


def _traces(people: Sequence[AnyRow], subject: Subject, replayed: Replayed | None) -> Traces:
    emails = {email for person in people for email in (person.email, person.lead_email) if email}
    emails |= {subject.address} if subject.address else set()
    words = {str(value) for person in people for value in (person.id, person.lead_id) if value}
    for phone in (phone for person in people for phone in (person.phone, person.lead_phone) if phone):
        words |= {phone, re.sub(r"\D", "", phone)[-NATIONAL_DIGITS:]}
    whole = subject.address is not None and replayed is None
    return Traces(
        conversation_ids=[person.id for person in people],
        addresses=[subject.address] if whole and subject.address else [],
        words=sorted(word.lower() for word in words | emails),
        since=min((person.created_at for person in people), default=subject.since),
        answering=subject.request_id,
        whole=whole,
    )


async def _record(
    office: Office,
    session: AsyncSession,
    subject: Subject,
    *,
    people: Sequence[AnyRow],
    addresses: Sequence[str],
    counts: dict[str, Any],
    surface: str,
    replayed: Replayed | None,
) -> UUID:
    """Suppression, audit log, erasure and ledger, in the order in which they hold others up the shortest."""
    note: Any = {"reason": "erasure", "surface": surface, "subject_ref": people[0].id if people else NOBODY}
    for key_id, digest in replayed.suppressed if replayed else ():
        await suppression.suppress_digest(session, digest=digest, key_id=key_id, **note)
    for address in addresses:
        await suppression.suppress(session, address=address, keys=office.keys, **note)
    suppressed = [*(replayed.suppressed if replayed else ()), *(office.digest(address) for address in addresses)]
    entry = Entry(
        id=replayed.id if replayed else uuid4(),
        at=clock.now(),
        conversations=tuple(person.id for person in people),
        erased={key: value.hex() for key, value in office.digests(subject.address).items()} if subject.address else {},
        suppressed=[(key_id, digest.hex()) for key_id, digest in suppressed],
    )
    await subjects.add_erasure(
        session,
        erasure_id=entry.id,
        subject_refs=entry.conversations,
        address=suppressed[0] if suppressed else None,
        counts=counts,
    )
    for conversation_id in entry.conversations:
        await consent.append_audit(
            session,
            event="erasure.completed",
            subject_ref=conversation_id,
            purpose=None,
            text_version=None,
            text_sha256=None,
            locale=None,
            surface=surface,
            message_seq=None,
        )
    if office.ledger is not None and replayed is None:
        await subjects.hold_ledger(session)
        await asyncio.to_thread(office.ledger.append, entry)
    return entry.id
