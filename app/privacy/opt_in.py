"""Marketing to an address on the suppression list: its owner is asked by mail, and only their yes lifts it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import service as alerts
from app.consent import repository as consent
from app.consent import suppression
from app.consent.service import Recipient, reasons_not_to_send
from app.conversations import repository as conversations
from app.conversations.unsubscribe import BY_ADDRESS
from app.core.addresses import normalise_email
from app.core.db import AnyRow, Database, driver_of
from app.core.keys import KeyRing
from app.privacy.repository import requests, subjects

OPT_IN: Final = "opt_in"
PROOF_EVENT: Final = "privacy.proof"
SURFACE: Final = "confirmation_mail"
AGAIN_AFTER: Final = timedelta(hours=24)
"""An address gets one such mail in this time, whoever agrees in its name."""
MAX_CONVERSATIONS: Final = 200
"""Of one address, the newest: among them one must have agreed."""


async def obstacle(session: AsyncSession, keys: KeyRing, *, address: str, asked_at: datetime) -> UUID | str:
    """Why a normalised address must not be asked to confirm, or its answer not be taken; else whose consent waits.

    The guard's rule for the one mail that goes to a suppressed address: its suppression is all that keeps marketing
    from a conversation that agreed, and nobody has said no since `asked_at`.
    """
    said = await consent.last_no(session, suppression.address_digests(keys, address))
    if said is None:
        return "not_suppressed"
    held = conversations.ids_of_address(address)
    if said > asked_at or await consent.refused_since(session, held, since=asked_at, but=BY_ADDRESS):
        return "refused_since"
    ids = await subjects.conversations_of(session, address, limit=MAX_CONVERSATIONS)
    reasons = await reasons_not_to_send(
        await driver_of(session),
        recipients=[Recipient(conversation_id, address) for conversation_id in ids],
        purpose="marketing_email",
        keys=keys,
    )
    waiting = [conversation_id for conversation_id in ids if reasons.get(conversation_id) == "suppressed"]
    return waiting[0] if waiting else "consent_missing"


async def confirm(session: AsyncSession, keys: KeyRing, *, address: str, asked_at: datetime) -> bool:
    """Take a proved address off the suppression list; false when there is a reason not to.

    Decisions wait for this transaction and it for them: they all write to the audit log.
    """
    await consent.lock_chain(session)
    found = await obstacle(session, keys, address=address, asked_at=asked_at)
    if isinstance(found, str):
        return False
    return await suppression.lift(
        session, address=address, keys=keys, asked_at=asked_at, surface=SURFACE, subject_ref=found
    )


async def look_at_all(database: Database, keys: KeyRing) -> int:
    """Ask the owners of suppressed addresses that conversations agreed with; gives how many mails are due.

    Several workers may run it at once.
    """
    asked, after = 0, 0
    while True:
        async with database.transaction() as session:
            check = await consent.next_opt_in_check(session, after=after)
            if check is None:
                return asked
            asked += await _look(session, keys, check)
        after = check.id


async def _look(session: AsyncSession, keys: KeyRing, check: AnyRow) -> bool:
    """Look at one conversation. Its address is locked before its row, as by those who use a proof."""
    address = _address(await conversations.email(session, check.conversation_id))
    if address is not None:
        await requests.lock_address(session, suppression.address_digests(keys, address))
    if _address(await conversations.email(session, check.conversation_id, stay=True)) != address:
        return False  # it changed just now: the next run looks at the new one
    if not await consent.take_opt_in_check(session, check.id) or address is None:
        return False
    if isinstance(await obstacle(session, keys, address=address, asked_at=check.asked_at), str):
        return False
    return await _ask(session, keys, address, check)


async def _ask(session: AsyncSession, keys: KeyRing, address: str, check: AnyRow) -> bool:
    """Have the mail written, unless one is on its way or came within AGAIN_AFTER and is still good."""
    digests = suppression.address_digests(keys, address)
    for request in await requests.open_opt_ins(session, digests, again_after=AGAIN_AFTER):
        found = await obstacle(session, keys, address=address, asked_at=request.created_at)
        if request.fresh and not isinstance(found, str):
            return False
    await requests.close_opt_ins(session, digests)
    request_id = uuid4()
    await requests.add(
        session,
        request_id=request_id,
        kind=OPT_IN,
        locale=await conversations.language(session, check.conversation_id),
        address=address,
        address_hmac=keys.digest(suppression.ADDRESS_USE, address.encode()),
        key_id=keys.current,
        asked_at=check.asked_at,
    )
    await alerts.record(session, event=PROOF_EVENT, subject_id=request_id, conversation_id=None, channels=("email",))
    return True


async def close_all(session: AsyncSession, keys: KeyRing, addresses: Sequence[str]) -> int:
    """Let what waits to be confirmed for these addresses lapse; gives how many."""
    digests = [digest for address in addresses for digest in suppression.address_digests(keys, address)]
    return await requests.close_opt_ins(session, digests) if digests else 0


def _address(email: str | None) -> str | None:
    try:
        return normalise_email(email or "")
    except ValueError:
        return None
