"""Ending e-mail marketing without a login: by the link in a mail, and by address."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.consent import repository as consent
from app.consent import suppression
from app.consent.links import Link
from app.consent.service import Origin
from app.consent.suppression import ADDRESS_USE
from app.conversations import answers, repository
from app.conversations import unsubscribe_repository as requests
from app.conversations.consents import Reach
from app.core.addresses import normalise_email
from app.core.db import AnyRow, Database, ring_when_committed

UNSUBSCRIBES: Final = "unsubscribes"
"""What the doorbell says when addresses wait for their conversations to follow."""
BATCH: Final = 20
"""Conversations in one transaction: it holds the audit chain, for which every other decision waits."""
BY_ADDRESS: Final = "address"
"""The audit log's surface where conversations follow, at the worker's time, an address that was unsubscribed."""
NOBODY: Final = UUID(int=0)
"""The audit log's subject where an address has no conversation."""


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """What the page behind a link tells. Without a `language` nothing is held any more."""

    language: str | None
    consents: dict[str, bool | None]
    last_action: str | None
    last_action_at: datetime | None


async def status(session: AsyncSession, conversation_id: UUID) -> LinkStatus:
    """How it stands with the person behind a link. The database itself refuses to write in this transaction."""
    await session.connection(execution_options={"postgresql_readonly": True})
    return await _status(session, conversation_id)


async def by_link(session: AsyncSession, reach: Reach, link: Link, *, origin: Origin | None) -> LinkStatus:
    """End all e-mail marketing to whoever got a link: the address it was mailed to, and this conversation.

    Everything with the address that the conversation has now ends too: it may be the same person's. Whoever has more
    than BATCH conversations gets the rest from the worker. Repeated, and after an erasure, it changes nothing.
    """
    conversation_id = link.conversation_id
    row = await requests.reader(session, conversation_id)
    if row is None:
        return await _status(session, conversation_id)
    address = _address(row.email)
    others = await requests.with_address(session, address, granted_until=None, limit=BATCH) if address else []
    present = await repository.lock(session, {conversation_id, *others})
    await _suppress_mailed(session, reach, link, present=address)
    for found in present:
        own = origin if found == conversation_id else None
        await answers.withdraw(
            session, reach, conversation_id=found, purpose="marketing_email", surface="link", origin=own
        )
    if address and len(others) == BATCH:
        await _leave_word(session, address=address)
    return await _status(session, conversation_id)


async def _suppress_mailed(session: AsyncSession, reach: Reach, link: Link, *, present: str | None) -> None:
    """Put the address that a link was mailed to on the suppression list, by its hash where it is not the present one.

    The present address is taken for a mail that was never noted, and for none whose person was erased since.
    """
    mailed = await consent.mailed_to(session, conversation_id=link.conversation_id, message_id=link.message_id)
    known = suppression.address_digests(reach.keys, present) if present else []
    note: Any = {"reason": "unsubscribed", "surface": "link", "subject_ref": link.conversation_id}
    elsewhere = [row for row in mailed if row.address_hmac is not None and row.address_hmac not in known]
    if present and (not mailed or any(row.address_hmac in known for row in mailed)):
        await suppression.suppress(session, address=present, keys=reach.keys, **note)
    for row in elsewhere:
        await suppression.suppress_digest(session, digest=row.address_hmac, key_id=row.key_id, **note)
        await _leave_word(session, address_hmac=row.address_hmac, key_id=row.key_id)


async def _leave_word(session: AsyncSession, **address: Any) -> None:
    await requests.follow(session, **address)
    ring_when_committed(session, [UNSUBSCRIBES])


async def by_address(session: AsyncSession, reach: Reach, address: str) -> None:
    """End all e-mail marketing to a normalised address, with the same work whether we know it or not.

    From the commit on the guard refuses it; its conversations follow in the worker (`apply`).
    """
    digest = reach.keys.digest(ADDRESS_USE, address.encode())
    await requests.ask(session, address=address, address_hmac=digest, key_id=reach.keys.current)
    ring_when_committed(session, [UNSUBSCRIBES])


async def apply_all(database: Database, reach: Reach) -> int:
    """Let the conversations of every waiting address follow; gives how many did. Several workers may run it at once."""
    changed = 0
    while True:
        async with database.transaction() as session:
            count = await _apply_next(session, reach)
        if count is None:
            return changed
        changed += count


async def _apply_next(session: AsyncSession, reach: Reach) -> int | None:
    """One batch of one address; None when none waits.

    What was agreed to later than the request stays, and waits for its confirmation where the address is on the list.
    """
    request = await requests.next_request(session)
    if request is None:
        return None
    address = request.address or await _find(session, reach, request)
    if address is None:
        await requests.finish(session, request.id, done=True)
        return 0
    candidates = await _to_follow(session, reach, address, request)
    await repository.lock(session, candidates)
    following = [found for found in await _to_follow(session, reach, address, request) if found in candidates]
    if request.added:
        subject_ref = following[0] if following else NOBODY
        await suppression.record_added(
            session, address=address, keys=reach.keys, surface=BY_ADDRESS, subject_ref=subject_ref
        )
    for found in following:
        await answers.withdraw(
            session, reach, conversation_id=found, purpose="marketing_email", surface=BY_ADDRESS, origin=None
        )
    await requests.finish(session, request.id, done=len(candidates) < BATCH)
    return len(following)


async def _find(session: AsyncSession, reach: Reach, request: AnyRow) -> str | None:
    """The address of a request's hash, kept on the request; None when nobody who agreed to marketing has it."""
    if request.key_id not in reach.keys.ids:
        return None
    async for address in requests.agreeing_addresses(session):
        if reach.keys.matches(ADDRESS_USE, address.encode(), request.address_hmac, key_id=request.key_id):
            await requests.name(session, request.id, address)
            return address
    return None


async def _to_follow(session: AsyncSession, reach: Reach, address: str, request: AnyRow) -> Sequence[UUID]:
    listed = await consent.is_suppressed(session, suppression.address_digests(reach.keys, address))
    return await requests.with_address(
        session, address, granted_until=request.audit_seq, limit=BATCH, unanswered=listed
    )


async def _status(session: AsyncSession, conversation_id: UUID) -> LinkStatus:
    row = await requests.reader(session, conversation_id)
    if row is None:
        return LinkStatus(None, _consents({}), None, None)
    last: Any = await consent.last_event(session, conversation_id)
    return LinkStatus(
        row.language,
        _consents(await consent.answers(session, conversation_id)),
        last and last.event,
        last and last.at,
    )


def _consents(given: dict[str, bool]) -> dict[str, bool | None]:
    return {purpose: given.get(purpose) for purpose in ("rodo", "marketing_email", "marketing_phone")}


def _address(email: str | None) -> str | None:
    try:
        return normalise_email(email or "")
    except ValueError:
        return None
