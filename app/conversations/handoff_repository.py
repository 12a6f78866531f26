"""Every query of handoffs, and of messages that no turn writes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.conversations.models import ChatConversation, ChatMessage, Handoff
from app.core.db import AnyRow

_NO_SYNC: Final = {"synchronize_session": False}


async def lock_by_token(session: AsyncSession, token_hash: bytes) -> AnyRow | None:
    """What a handoff needs to know of the conversation that a token opens; its row is this transaction's."""
    return await _lock(session, ChatConversation.token_hash == token_hash)


async def lock(session: AsyncSession, conversation_id: UUID) -> AnyRow | None:
    """The same by the conversation's id."""
    return await _lock(session, ChatConversation.id == conversation_id)


async def _lock(session: AsyncSession, which: ColumnElement[bool]) -> AnyRow | None:
    return (
        await session.execute(
            select(
                ChatConversation.id,
                ChatConversation.state,
                ChatConversation.language,
                ChatConversation.memory,
                ChatConversation.last_seq,
                ChatConversation.visitor_messages,
            )
            .where(which)
            .with_for_update(key_share=True)
        )
    ).one_or_none()


async def add_messages(
    session: AsyncSession, conversation_id: UUID, messages: Sequence[Mapping[str, Any]], **changes: Any
) -> None:
    """Append messages that follow the conversation's last one, and change these columns of it.

    The caller holds the lock of its row. All `messages` have the same members; the last one's `seq` and `created_at`
    become the conversation's.
    """
    if messages:
        await session.execute(
            insert(ChatMessage), [{"conversation_id": conversation_id, **message} for message in messages]
        )
        changes = {"last_seq": messages[-1]["seq"], "last_message_at": messages[-1]["created_at"], **changes}
    await session.execute(
        update(ChatConversation).where(ChatConversation.id == conversation_id).values(**changes),
        execution_options=_NO_SYNC,
    )


async def open_handoff(session: AsyncSession, conversation_id: UUID) -> AnyRow:
    """The handoff that was not released yet. Raises NoResultFound without one."""
    return (
        await session.execute(
            select(Handoff.id, Handoff.requested_at).where(
                Handoff.conversation_id == conversation_id, Handoff.released_at.is_(None)
            )
        )
    ).one()


async def add(session: AsyncSession, *, handoff_id: UUID, conversation_id: UUID, at: datetime) -> None:
    """Note that somebody asked for a person."""
    await session.execute(insert(Handoff).values(id=handoff_id, conversation_id=conversation_id, requested_at=at))


async def take(session: AsyncSession, conversation_id: UUID, *, actor: str, at: datetime) -> None:
    """Note who answered first."""
    await session.execute(
        update(Handoff)
        .where(Handoff.conversation_id == conversation_id, Handoff.released_at.is_(None), Handoff.taken_at.is_(None))
        .values(taken_at=at, taken_by=actor),
        execution_options=_NO_SYNC,
    )


async def release(session: AsyncSession, conversation_id: UUID, *, at: datetime) -> UUID:
    """Note that the handoff is over; gives its id. Raises NoResultFound when none is open."""
    released = await session.execute(
        update(Handoff)
        .where(Handoff.conversation_id == conversation_id, Handoff.released_at.is_(None))
        .values(released_at=at)
        .returning(Handoff.id),
        execution_options=_NO_SYNC,
    )
    return released.scalar_one()


WAITING_SQL: Final = """
SELECT h.id, h.conversation_id, h.requested_at, c.language, c.name, c.phone, c.email
FROM handoff h JOIN chat_conversations c ON c.id = h.conversation_id
WHERE h.id = ANY($1::uuid[]) AND h.taken_at IS NULL AND h.released_at IS NULL
"""


async def waiting(connection: asyncpg.Connection, handoff_ids: Sequence[UUID]) -> dict[UUID, asyncpg.Record]:
    """Those of these handoffs that nobody answered yet, by id, with what their visitors are called and reached by."""
    return {row["id"]: row for row in await connection.fetch(WAITING_SQL, handoff_ids)}
