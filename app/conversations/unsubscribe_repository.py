"""Every query of unsubscribing by address."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import delete, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.consent.models import ConsentState, UnsubscribeRequest
from app.conversations.models import ChatConversation
from app.core.db import AnyRow

_ASK: Final = text(
    """
    WITH listed AS (
        INSERT INTO suppression (address_hmac, key_id, scope, reason)
        VALUES (:address_hmac, :key_id, 'marketing', 'unsubscribed') ON CONFLICT DO NOTHING RETURNING key_id)
    INSERT INTO unsubscribe_request (address, added, audit_seq)
    SELECT :address, EXISTS (SELECT FROM listed), seq FROM consent_audit_head
    """
)


async def ask(session: AsyncSession, *, address: str, address_hmac: bytes, key_id: str) -> None:
    """Suppress an address and leave word for the worker: one statement, the same for every address."""
    await session.execute(_ASK, {"address": address, "address_hmac": address_hmac, "key_id": key_id})


async def next_request(session: AsyncSession) -> AnyRow | None:
    """The oldest request that no other transaction works on, locked; None when there is none."""
    return (
        await session.execute(
            select(
                UnsubscribeRequest.id,
                UnsubscribeRequest.address,
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


async def with_address(session: AsyncSession, address: str, *, granted_until: int | None, limit: int) -> Sequence[UUID]:
    """Conversations with this address that have not refused marketing by e-mail.

    `granted_until`: only those that agreed to it, by that audit entry or an earlier one.
    """
    open_answer = (
        or_(ConsentState.granted.is_(None), ConsentState.granted)
        if granted_until is None
        else ConsentState.granted & (ConsentState.audit_seq <= granted_until)
    )
    statement = (
        select(ChatConversation.id)
        .join(
            ConsentState,
            (ConsentState.conversation_id == ChatConversation.id) & (ConsentState.purpose == "marketing_email"),
            isouter=True,
        )
        .where(ChatConversation.email == address, open_answer)
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
