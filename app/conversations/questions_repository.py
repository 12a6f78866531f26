"""Every query about questions that the assistant could not answer."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Select, and_, func, select, text, true, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.conversations.models import ChatConversation, ChatMessage, UnansweredQuestion
from app.core.db import AnyRow

_NO_SYNC: Final = {"synchronize_session": False}
_ADD: Final = text(
    """
    INSERT INTO unanswered_question (id, conversation_id, seq, language, asked_at)
    SELECT :id, :conversation_id, :seq, :language, :asked_at
    WHERE (SELECT count(*) FROM unanswered_question WHERE conversation_id = :conversation_id) < :most
    ON CONFLICT (conversation_id, seq) DO NOTHING
    """
)


async def add(
    session: AsyncSession, *, conversation_id: UUID, seq: int, language: str, asked_at: datetime, most: int
) -> None:
    """Note a message of a conversation whose row the caller holds, unless `most` of it are noted already."""
    await session.execute(
        _ADD,
        {
            "id": uuid4(),
            "conversation_id": conversation_id,
            "seq": seq,
            "language": language,
            "asked_at": asked_at,
            "most": most,
        },
    )


def _rows() -> Select[*tuple[Any, ...]]:
    """Questions with their words, and the name that the conversation knows its visitor by."""
    return (
        select(
            UnansweredQuestion.id,
            UnansweredQuestion.conversation_id,
            UnansweredQuestion.seq,
            UnansweredQuestion.language,
            UnansweredQuestion.status,
            UnansweredQuestion.asked_at,
            UnansweredQuestion.decided_at,
            UnansweredQuestion.decided_by,
            ChatMessage.text,
            ChatConversation.name,
        )
        .join(ChatConversation, ChatConversation.id == UnansweredQuestion.conversation_id)
        .join(
            ChatMessage,
            and_(
                ChatMessage.conversation_id == UnansweredQuestion.conversation_id,
                ChatMessage.seq == UnansweredQuestion.seq,
            ),
        )
    )


async def page(
    session: AsyncSession, *, status: str, language: str | None, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[AnyRow]:
    """One page of a status, newest first, after the keyset position `before`."""
    key = tuple_(UnansweredQuestion.asked_at, UnansweredQuestion.id)
    return (
        await session.execute(
            _rows()
            .where(
                UnansweredQuestion.status == status,
                UnansweredQuestion.language == language if language else true(),
                key < before if before else true(),
            )
            .order_by(UnansweredQuestion.asked_at.desc(), UnansweredQuestion.id.desc())
            .limit(limit)
        )
    ).all()


async def get(session: AsyncSession, question_id: UUID) -> AnyRow | None:
    """One question, or None."""
    return (await session.execute(_rows().where(UnansweredQuestion.id == question_id))).one_or_none()


async def decide(
    session: AsyncSession, question_ids: Collection[UUID], *, status: str, now: datetime, actor: str
) -> list[UUID]:
    """Give questions a status other than open; gives those that had another one before."""
    return list(
        await session.scalars(
            update(UnansweredQuestion)
            .where(UnansweredQuestion.id.in_(question_ids), UnansweredQuestion.status != status)
            .values(status=status, decided_at=now, decided_by=actor)
            .returning(UnansweredQuestion.id),
            execution_options=_NO_SYNC,
        )
    )


async def count_open(session: AsyncSession) -> Sequence[AnyRow]:
    """How many are open, by language."""
    return (
        await session.execute(
            select(UnansweredQuestion.language, func.count().label("total"))
            .where(UnansweredQuestion.status == "open")
            .group_by(UnansweredQuestion.language)
        )
    ).all()
