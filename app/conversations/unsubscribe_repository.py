"""Every query of unsubscribing by address."""

from collections.abc import AsyncIterator, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import LargeBinary, Text, bindparam, delete, or_, select, text, true, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.consent.models import ConsentState, UnsubscribeRequest
from app.conversations.models import ChatConversation
from app.core.db import AnyRow

_ASK: Final = text(
    """
    WITH listed AS (
        INSERT INTO suppression (address_hmac, key_id, scope, reason)
        VALUES (:address_hmac, :key_id, 'marketing', 'unsubscribed')
        ON CONFLICT (address_hmac, key_id, scope) DO UPDATE SET renewed_at = clock_timestamp()
        RETURNING xmax = 0 AS new)
    INSERT INTO unsubscribe_request (address, added, audit_seq)
    SELECT :address, listed.new, seq FROM consent_audit_head, listed
    """
)
_FOLLOW: Final = text(
    """
    INSERT INTO unsubscribe_request (address, address_hmac, key_id, added, audit_seq)
    SELECT :address, :address_hmac, :key_id, false, seq FROM consent_audit_head
    WHERE NOT EXISTS (SELECT FROM unsubscribe_request WHERE address = :address OR address_hmac = :address_hmac)
    """
).bindparams(
    bindparam("address", type_=Text), bindparam("address_hmac", type_=LargeBinary), bindparam("key_id", type_=Text)
)


async def ask(session: AsyncSession, *, address: str, address_hmac: bytes, key_id: str) -> None:
    """Suppress an address and leave word for the worker: one statement, the same for every address."""
    await session.execute(_ASK, {"address": address, "address_hmac": address_hmac, "key_id": key_id})


async def follow(
    session: AsyncSession, *, address: str | None = None, address_hmac: bytes | None = None, key_id: str | None = None
) -> None:
    """Leave word for the worker about an address, in clear or by its hash, unless it waits already."""
    await session.execute(_FOLLOW, {"address": address, "address_hmac": address_hmac, "key_id": key_id})


async def next_request(session: AsyncSession) -> AnyRow | None:
    """The oldest request that no other transaction works on, locked; None when there is none."""
    return (
        await session.execute(
            select(
                UnsubscribeRequest.id,
                UnsubscribeRequest.address,
                UnsubscribeRequest.address_hmac,
                UnsubscribeRequest.key_id,
                UnsubscribeRequest.added,
                UnsubscribeRequest.audit_seq,
            )
            .order_by(UnsubscribeRequest.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
    ).one_or_none()


async def finish(session: AsyncSession, request_id: int, *, done: bool) -> None:
    """Delete a request that is done, or note that its suppression stands in the audit log."""
    if done:
        await session.execute(delete(UnsubscribeRequest).where(UnsubscribeRequest.id == request_id))
    else:
        await session.execute(
            update(UnsubscribeRequest).where(UnsubscribeRequest.id == request_id).values(added=False),
            execution_options={"synchronize_session": False},
        )


async def name(session: AsyncSession, request_id: int, address: str) -> None:
    """Keep the address that a request's hash was found to be of, for its next batches."""
    await session.execute(
        update(UnsubscribeRequest).where(UnsubscribeRequest.id == request_id).values(address=address),
        execution_options={"synchronize_session": False},
    )


async def agreeing_addresses(session: AsyncSession) -> AsyncIterator[str]:
    """Every address of a conversation that agreed to marketing, once."""
    statement = (
        select(ChatConversation.email)
        .where(ChatConversation.marketing_consent.is_(True), ChatConversation.email.is_not(None))
        .distinct()
    )
    async for address in await session.stream_scalars(statement):
        if address is not None:
            yield address


async def with_address(
    session: AsyncSession, address: str, *, granted_until: int | None, limit: int, unanswered: bool = True
) -> Sequence[UUID]:
    """Conversations with this address that have not refused marketing by e-mail.

    `granted_until`: without those that agreed to it by a later audit entry. `unanswered`: those that were never asked
    too.
    """
    agreed = ConsentState.granted & (true() if granted_until is None else ConsentState.audit_seq <= granted_until)
    statement = (
        select(ChatConversation.id)
        .join(
            ConsentState,
            (ConsentState.conversation_id == ChatConversation.id) & (ConsentState.purpose == "marketing_email"),
            isouter=True,
        )
        .where(ChatConversation.email == address, or_(agreed, ConsentState.granted.is_(None)) if unanswered else agreed)
        .order_by(ChatConversation.id)
        .limit(limit)
    )
    return (await session.scalars(statement)).all()


async def reader(session: AsyncSession, conversation_id: UUID) -> AnyRow | None:
    """Language and address of the conversation behind a link, or None."""
    return (
        await session.execute(
            select(ChatConversation.language, ChatConversation.email).where(ChatConversation.id == conversation_id)
        )
    ).one_or_none()
