"""What visitors think of our messages: rating one, reading the ratings."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.conversations import feedback_repository as repository
from app.conversations.service import authenticate_locked
from app.core import clock
from app.core.db import AnyRow
from app.core.errors import NotFoundError

Rating = Literal["up", "down"]


class MessageUnknownError(NotFoundError):
    """The conversation has no message of ours with this id."""

    code = "message-unknown"
    title = "There is no such message of ours in this conversation."


@dataclass(frozen=True, slots=True)
class Rated:
    """A rating as it stands, and whether the message had one before."""

    row: AnyRow
    again: bool


async def rate(
    session: AsyncSession, *, token_hash: bytes, message_id: UUID, rating: Rating, comment: str | None
) -> Rated:
    """Rate a message of the bot's or of a person's; the last word counts, the comment's too.

    Raises SessionUnknownError; MessageUnknownError for the visitor's own messages and for those of others.
    """
    conversation_id = await authenticate_locked(session, token_hash)
    seq = await repository.seq_of_ours(session, conversation_id, message_id)
    if seq is None:
        raise MessageUnknownError
    row, new = await repository.rate(
        session, conversation_id, seq, rating=rating, comment=comment or None, at=clock.now()
    )
    return Rated(row, again=not new)


async def page(
    session: AsyncSession, *, rating: Rating | None, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[AnyRow]:
    """One page of ratings, all or those of one kind, newest first."""
    return await repository.page(session, rating=rating, before=before, limit=limit)
