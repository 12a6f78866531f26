"""What the open event streams ask: where conversations stand."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import any_, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Uuid

from app.conversations.models import ChatConversation


@dataclass(frozen=True, slots=True)
class Head:
    """How far a conversation has come."""

    conversation_id: UUID
    seq: int
    """Of its newest message."""
    state: str


_HEAD = select(ChatConversation.id, ChatConversation.last_seq, ChatConversation.state)


async def head(session: AsyncSession, token_hash: bytes) -> Head | None:
    """Of the conversation that a token opens, or None."""
    row = (await session.execute(_HEAD.where(ChatConversation.token_hash == token_hash))).one_or_none()
    return None if row is None else Head(*row)


async def heads(session: AsyncSession, conversation_ids: Collection[UUID]) -> dict[UUID, Head]:
    """Those of these conversations that are still there, in one statement."""
    ids = any_(literal(list(conversation_ids), ARRAY(Uuid())))
    return {row.id: Head(*row) for row in await session.execute(_HEAD.where(ChatConversation.id == ids))}
