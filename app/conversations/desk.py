"""Conversations as operators read them. Nothing here writes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.conversations import desk_repository, repository
from app.core.db import AnyRow
from app.core.errors import NotFoundError


class ConversationUnknownError(NotFoundError):
    """No conversation has this id."""

    code = "conversation-unknown"
    title = "There is no such conversation."


async def page(
    session: AsyncSession, *, before: tuple[datetime, UUID] | None, limit: int, state: str | None = None
) -> Sequence[AnyRow]:
    """One page of conversations, all or those in this state, newest first."""
    return await desk_repository.page(session, before=before, limit=limit, state=state)


async def get(session: AsyncSession, conversation_id: UUID, *, after: int, limit: int) -> dict[str, Any]:
    """One conversation and `limit` of its messages from `after` on. Raises ConversationUnknownError."""
    found = await desk_repository.get(session, conversation_id)
    if found is None:
        raise ConversationUnknownError
    rows = await repository.messages(session, conversation_id, after=after, limit=limit + 1)
    return {
        **found._asdict(),
        "messages": [{**row._asdict(), "quick_replies": row.quick_replies or []} for row in rows[:limit]],
        "next_cursor": rows[limit - 1].seq if len(rows) > limit else None,
    }
