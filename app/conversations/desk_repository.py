"""Conversations as operators read them: every query of that."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.conversations.models import ChatConversation
from app.core.db import AnyRow

_COLUMNS = (
    ChatConversation.id,
    ChatConversation.locale,
    ChatConversation.language,
    ChatConversation.state,
    ChatConversation.area_m2,
    ChatConversation.package,
    ChatConversation.city,
    ChatConversation.budget_pln,
    ChatConversation.name,
    ChatConversation.phone,
    ChatConversation.email,
    ChatConversation.property_type,
    ChatConversation.rodo_consent,
    ChatConversation.marketing_consent,
    ChatConversation.visitor_messages,
    ChatConversation.created_at,
    ChatConversation.last_message_at,
)


async def page(
    session: AsyncSession, *, before: tuple[datetime, UUID] | None, limit: int, state: str | None = None
) -> Sequence[AnyRow]:
    """One page of conversations, all or those in this state, newest first, after the keyset position `before`."""
    key = tuple_(ChatConversation.created_at, ChatConversation.id)
    return (
        await session.execute(
            select(*_COLUMNS)
            .where(ChatConversation.state == state if state else true(), key < before if before else true())
            .order_by(ChatConversation.created_at.desc(), ChatConversation.id.desc())
            .limit(limit)
        )
    ).all()


async def get(session: AsyncSession, conversation_id: UUID) -> AnyRow | None:
    """One conversation, or None."""
    return (await session.execute(select(*_COLUMNS).where(ChatConversation.id == conversation_id))).one_or_none()
