"""Requests of people who have an address and no session: asking, proving, and what is done then."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Any, Final, Literal
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import service as alerts
from app.consent import service as consent
from app.consent import suppression
from app.consent.service import Purpose
from app.conversations import answers
from app.conversations import service as chat
from app.conversations.unsubscribe import NOBODY
from app.core.db import AnyRow
from app.core.errors import GoneError, NotFoundError, UnauthenticatedError
from app.privacy import erasure, export, opt_in
from app.privacy.erasure import ErasureIncompleteError, Subject
from app.privacy.office import Office
from app.privacy.opt_in import OPT_IN, PROOF_EVENT
from app.privacy.proof import hash_secret
from app.privacy.repository import requests, subjects

ACCESS: Final = timedelta(hours=24)
PURPOSES: Final[tuple[Purpose, ...]] = ("rodo", "marketing_email", "marketing_phone")
SURFACE: Final = "privacy_request"
_NO_HASH: Final = bytes(32)

RequestType = Literal["access", "erasure", "revoke", "opt_in"]


class ProofRefusedError(NotFoundError):
    """The token is wrong, used, too old or out of tries, or there is no such request: all look the same."""

    code = "proof-refused"
    title = "The code is not valid, or no longer."


class ExportGoneError(GoneError):
    """The export could be fetched for ACCESS."""

    code = "export-gone"
    title = "The export is no longer available; ask again."


@dataclass(frozen=True, slots=True)
class Proved:
    """What a proof led to. Without `result` people finish by hand what could not be done at once."""

    type: RequestType
    result: dict[str, Any] | None
    access_token: str | None = None


async def ask(office: Office, session: AsyncSession, *, kind: RequestType, address: str, locale: str) -> UUID:
    """Note a request for a normalised address and have a proof mailed; gives its id.

    Whether anything is held is not looked at: the work and the answer are the same for every address.
    """
    request_id = uuid4()
    key_id, digest = office.digest(address)
    await requests.add(
        session,
        request_id=request_id,
        kind=kind,
        locale=locale,
        address=address,
        address_hmac=digest,
        key_id=key_id,
    )
    await alerts.record(session, event=PROOF_EVENT, subject_id=request_id, conversation_id=None, channels=("email",))
    return request_id


async def erase_chat(office: Office, token_hash: bytes) -> None:
    """Erase the conversation that a token opens. Raises what `erasure.erase` raises, and SessionUnknownError.

    The conversation is this transaction's from the look at the token on: of two at once the second finds nothing.
    """
    async with office.database.transaction() as session:
        conversation_id = await chat.authenticate_locked(session, token_hash)
        subject = Subject(conversation_ids=(conversation_id,))
        erased = await erasure.attempt(office, session, subject, surface="chat")
    if erased is None:
        raise ErasureIncompleteError
    await office.forget_receipts(erased.alert_ids)


async def verify(office: Office, request_id: UUID, *, token: str) -> Proved:
    """Use up a request's token, and do at once what was asked. Raises ProofRefusedError.

    A wrong token costs one of the request's tries, so this commits before it refuses.
    """
    given = hash_secret(token)
    erased = None
    proved = None
    async with office.database.transaction() as session:
        address = await requests.address_of(session, request_id)
        if address is not None:
            await requests.lock_address(session, list(office.digests(address).values()))
        row = await requests.take_try(session, request_id)
        expected = row.token_hash if row is not None and row.token_hash is not None else _NO_HASH
        matches = compare_digest(given, expected)
        if row is not None and matches and row.in_time and row.address is not None:
            proved, erased = await _carry_out(office, session, row)
    if proved is None:
        raise ProofRefusedError
    if erased is not None:
        await office.forget_receipts(erased.alert_ids)
    return proved


async def _carry_out(office: Office, session: AsyncSession, row: AnyRow) -> tuple[Proved | None, erasure.Erased | None]:
    """What was asked for; None for an opt-in that was overtaken by a no, which is closed."""
    if row.type == OPT_IN:
        return await _opt_in(office, session, row), None
    if row.type == "access":
        access = secrets.token_urlsafe(32)
        await requests.prove(session, row.id, access_hash=hash_secret(access), valid=ACCESS)
        return Proved("access", {}, access), None
    await requests.prove(session, row.id)
    if row.type == "revoke":
        result = await _revoke(office, session, row.address)
        await requests.answer(session, row.id, result=result, close=True)
        return Proved("revoke", result), None
    subject = Subject(address=row.address, request_id=row.id, since=row.created_at)
    erased = await erasure.attempt(office, session, subject, surface=SURFACE)
    if erased is None:
        return Proved("erasure", None), None
    result = {"conversations": len(erased.conversation_ids), "deletions": erased.counts["deletions"]}
    await requests.answer(session, row.id, result=result, close=True)
    return Proved("erasure", result), erased


async def _opt_in(office: Office, session: AsyncSession, row: AnyRow) -> Proved | None:
    if not await opt_in.confirm(session, office.keys, address=row.address, asked_at=row.created_at):
        await requests.close_opt_ins(session, list(office.digests(row.address).values()))
        return None
    await requests.prove(session, row.id)
    result = {"suppressions_lifted": 1}
    await requests.answer(session, row.id, result=result, close=True)
    return Proved(OPT_IN, result)


async def _revoke(office: Office, session: AsyncSession, address: str) -> dict[str, Any]:
    """Withdraw every consent that conversations with this address gave, and all marketing (GDPR art. 7(3), 21(2))."""
    people = await subjects.lock(session, conversation_ids=(), address=address)
    await suppression.suppress(
        session,
        address=address,
        keys=office.keys,
        reason=SURFACE,
        surface=SURFACE,
        subject_ref=people[0].id if people else NOBODY,
    )
    withdrawn = 0
    for person in people:
        given = await consent.answers(session, person.id)
        for purpose in (purpose for purpose in PURPOSES if given.get(purpose)):
            await answers.withdraw(
                session, office.reach, conversation_id=person.id, purpose=purpose, surface=SURFACE, origin=None
            )
            withdrawn += 1
    return {"conversations": len(people), "consents": withdrawn}


async def exported(office: Office, request_id: UUID, *, access_token: str) -> export.Pieces:
    """Everything held about the address of a proved request (GDPR art. 15 and 20).

    Raises UnauthenticatedError for any bearer but the one that the proof gave, and ExportGoneError when that is over.
    """
    async with office.database.transaction() as session:
        row = await requests.with_access(session, request_id)
        expected = row.access_hash if row is not None and row.access_hash is not None else _NO_HASH
        if not compare_digest(hash_secret(access_token), expected) or row is None:
            raise UnauthenticatedError
        if not row.in_time or row.address is None:
            raise ExportGoneError
        person = await export.look(office, session, row.address)
        await requests.answer(session, request_id, result={"conversations": len(person.conversation_ids)}, close=False)
    return export.of_address(office, person)


async def page(
    session: AsyncSession, *, state: str | None, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[AnyRow]:
    """One page of requests, newest first, for operators."""
    return await requests.page(session, state=state, before=before, limit=limit)
