"""HTTP of questions that the assistant could not answer, for operators."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.conversations import questions
from app.conversations.questions import QuestionStatus
from app.conversations.questions_schemas import QuestionOut, QuestionsOut
from app.engine.types import Locale
from app.operations.access import OperatorDep, needs
from app.operations.idempotent import IdempotencyDep
from app.web.deps import SessionDep
from app.web.paging import Cursor, Limit, decode_cursor, encode_cursor
from app.web.problems import documented
from app.web.routing import Router

router = Router(prefix="/v1/questions", tags=["questions"])


class _Position(NamedTuple):
    created_at: datetime
    id: UUID


@router.get("", response_model=QuestionsOut, dependencies=[needs("questions:read")])
async def list_questions(
    session: SessionDep,
    status: QuestionStatus = "open",
    language: Locale | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> object:
    """What visitors asked and the assistant could not answer, newest first."""
    rows = await questions.page(
        session, status=status, language=language, before=decode_cursor(cursor), limit=limit + 1
    )
    last = _Position(rows[limit - 1]["asked_at"], rows[limit - 1]["id"]) if len(rows) > limit else None
    return {"items": rows[:limit], "next_cursor": encode_cursor(last) if last else None}


@router.post(
    "/{question_id}/answered",
    response_model=QuestionOut,
    responses=documented(404),
    dependencies=[needs("questions:write")],
)
async def mark_question_answered(
    session: SessionDep, operator: OperatorDep, once: IdempotencyDep, question_id: UUID
) -> object:
    """The knowledge has an answer now. The same again changes nothing."""
    return await once.run(session, lambda: questions.decide(session, question_id, "answered", actor=operator))


@router.post(
    "/{question_id}/dismiss",
    response_model=QuestionOut,
    responses=documented(404),
    dependencies=[needs("questions:write")],
)
async def dismiss_question(
    session: SessionDep, operator: OperatorDep, once: IdempotencyDep, question_id: UUID
) -> object:
    """It needs no answer. The same again changes nothing."""
    return await once.run(session, lambda: questions.decide(session, question_id, "dismissed", actor=operator))
