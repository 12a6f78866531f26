"""What the assistant could not answer: noted with its turn, decided by people. Only they change the knowledge."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.consent.service import Texts
from app.conversations import questions_repository as repository
from app.core import clock
from app.core.db import AnyRow
from app.core.errors import NotFoundError
from app.core.redaction import REDACTED, Redactor
from app.engine.engine import Engine
from app.engine.types import Locale, Turn
from app.operations import service as journal

MOST_OF_ONE_CHAT: Final = 20
"""Questions that one conversation may leave, whatever its visitor types."""
RETRY_BATCH: Final = 200

QuestionStatus = Literal["open", "answered", "dismissed"]
Decision = Literal["answered", "dismissed"]

_REDACTOR: Final = Redactor()
_SHORTEST_NAME: Final = 3


class QuestionUnknownError(NotFoundError):
    """No question has this id."""

    code = "question-unknown"
    title = "There is no such question."


@dataclass(frozen=True, slots=True)
class Answered:
    """An open question that the engine answers today."""

    id: UUID
    words: str
    answer: str


async def note(session: AsyncSession, *, conversation_id: UUID, seq: int, language: str, at: datetime) -> None:
    """Note that a message was not answered, in the transaction that stores it."""
    await repository.add(
        session, conversation_id=conversation_id, seq=seq, language=language, asked_at=at, most=MOST_OF_ONE_CHAT
    )


async def page(
    session: AsyncSession,
    *,
    status: QuestionStatus,
    language: Locale | None,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """One page of a status, newest first, with masked words."""
    rows = await repository.page(session, status=status, language=language, before=before, limit=limit)
    return [_shown(row) for row in rows]


async def get(session: AsyncSession, question_id: UUID) -> dict[str, Any]:
    """One question with masked words. Raises QuestionUnknownError."""
    row = await repository.get(session, question_id)
    if row is None:
        raise QuestionUnknownError
    return _shown(row)


async def decide(session: AsyncSession, question_id: UUID, decision: Decision, *, actor: str) -> dict[str, Any]:
    """Close a question, or say otherwise how it was closed; the same again changes nothing. Gives it as it stands.

    Raises QuestionUnknownError.
    """
    if await repository.decide(session, [question_id], status=decision, now=clock.now(), actor=actor):
        await journal.note(session, actor=actor, action=f"question.{decision}", target=str(question_id))
    return await get(session, question_id)


async def answered_now(session: AsyncSession, engine: Engine) -> list[Answered]:
    """Every open question that the engine answers by itself today, the newest first. Writes nothing.

    Each is asked as the first message of a conversation: an answer that needs what was said before does not count.
    """
    texts = (await Texts.load(session)).bodies
    found: list[Answered] = []
    before: tuple[datetime, UUID] | None = None
    while True:
        rows = await repository.page(session, status="open", language=None, before=before, limit=RETRY_BATCH)
        for row in rows:
            answer = engine.answer(Turn(text=row.text, locale=row.language, now=clock.now(), consent_texts=texts))
            if not answer.missed:
                found.append(Answered(row.id, masked(row.text, row.name), answer.replies[0].text))
        if len(rows) < RETRY_BATCH:
            return found
        before = (rows[-1].asked_at, rows[-1].id)


async def close_answered(session: AsyncSession, question_ids: Sequence[UUID], *, actor: str) -> int:
    """Mark questions as answered, with one entry of the journal; gives how many were not."""
    closed = await repository.decide(session, question_ids, status="answered", now=clock.now(), actor=actor)
    if closed:
        await journal.note(session, actor=actor, action="questions.retry", target="open", count=len(closed))
    return len(closed)


def masked(words: str, name: str | None) -> str:
    """A message on one line without addresses, numbers and the name that its writer told us, inflected or not."""
    shown = _REDACTOR.text(words)
    for part in (name or "").split():
        if len(part) >= _SHORTEST_NAME:
            stem = re.escape(part[: max(len(part) - 2, _SHORTEST_NAME)])
            shown = re.sub(rf"\b{stem}\w{{0,6}}\b", REDACTED, shown, flags=re.IGNORECASE)
    return shown


def draft(words: str, language: Locale) -> str:
    """An entry for faq.yaml that `novahouse knowledge check` refuses until a person named it and wrote its answers."""
    return "\n".join(
        (
            "  - id: TODO",
            "    cues: []",
            "    phrasings:",
            f"      {language}: [{json.dumps(words, ensure_ascii=False)}]",
            "    answer:",
            '      pl: ""',
            '      en: ""',
        )
    )


def _shown(row: AnyRow) -> dict[str, Any]:
    shown = row._asdict()
    return {**shown, "words": masked(shown.pop("text"), shown.pop("name"))}
