"""Every query of feedback on messages, and what a scrape asks of it and of handoffs."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import Boolean, func, literal_column, select, true, tuple_
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from app.conversations.models import ChatMessage, Handoff, MessageFeedback
from app.core.db import AnyRow

_COLUMNS = (
    MessageFeedback.id,
    MessageFeedback.conversation_id,
    MessageFeedback.message_seq,
    MessageFeedback.rating,
    MessageFeedback.comment,
    MessageFeedback.created_at,
    MessageFeedback.updated_at,
)


async def seq_of_ours(session: AsyncSession, conversation_id: UUID, message_id: UUID) -> int | None:
    """The `seq` of a message of the bot or of a person in this conversation; None for any other id."""
    return (
        await session.execute(
            select(ChatMessage.seq).where(
                ChatMessage.conversation_id == conversation_id,
                ChatMessage.id == message_id,
                ChatMessage.role != "visitor",
            )
        )
    ).scalar_one_or_none()


async def rate(
    session: AsyncSession, conversation_id: UUID, message_seq: int, *, rating: str, comment: str | None, at: datetime
) -> tuple[AnyRow, bool]:
    """Store what a visitor thinks of a message, in place of what they thought before; whether it is the first time."""
    statement = upsert(MessageFeedback).values(
        id=uuid4(),
        conversation_id=conversation_id,
        message_seq=message_seq,
        rating=rating,
        comment=comment,
        created_at=at,
        updated_at=at,
    )
    statement = statement.on_conflict_do_update(
        index_elements=["conversation_id", "message_seq"],
        set_={"rating": rating, "comment": comment, "updated_at": at},
    )
    new = literal_column("xmax = 0", Boolean).label("new")
    row: AnyRow = (await session.execute(statement.returning(*_COLUMNS, new))).one()
    return row, bool(row.new)


async def page(
    session: AsyncSession, *, rating: str | None, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[AnyRow]:
    """One page of feedback with the messages it is about, newest first, after the keyset position `before`."""
    key = tuple_(MessageFeedback.created_at, MessageFeedback.id)
    return (
        await session.execute(
            select(*_COLUMNS, ChatMessage.id.label("message_id"), ChatMessage.text.label("message"))
            .join(
                ChatMessage,
                (ChatMessage.conversation_id == MessageFeedback.conversation_id)
                & (ChatMessage.seq == MessageFeedback.message_seq),
            )
            .where(MessageFeedback.rating == rating if rating else true(), key < before if before else true())
            .order_by(MessageFeedback.created_at.desc(), MessageFeedback.id.desc())
            .limit(limit)
        )
    ).all()


async def counts(session: AsyncSession, *, days: int) -> dict[str, int]:
    """How many messages were rated in the last days, by rating."""
    rows = await session.execute(
        select(MessageFeedback.rating, func.count().label("total"))
        .where(MessageFeedback.created_at >= func.now() - timedelta(days=days))
        .group_by(MessageFeedback.rating)
    )
    return {row.rating: row.total for row in rows}


async def waiting_handoffs(session: AsyncSession) -> int:
    """How many visitors asked for a person and were not answered yet."""
    found = await session.execute(
        select(func.count()).select_from(Handoff).where(Handoff.released_at.is_(None), Handoff.taken_at.is_(None))
    )
    return int(found.scalar_one())
