"""HTTP of a visitor's own consents."""

from fastapi import Response

from app.consent.service import Purpose
from app.conversations import answers, service
from app.conversations.consent_schemas import AnswerIn, AnswerOut, AnswersOut
from app.conversations.routes import ChatDep, OriginDep
from app.conversations.service import authenticate, authenticate_locked
from app.web.deps import SessionDep, SessionTokenDep
from app.web.headers import carrying
from app.web.problems import documented
from app.web.routing import Router

router = Router(prefix="/v1/consent", tags=["consent"])


@router.get("", response_model=AnswersOut)
async def list_answers(session: SessionDep, token: SessionTokenDep) -> object:
    """The visitor's current answer to every purpose."""
    conversation_id = await authenticate(session, service.hash_token(token))
    return {"items": await answers.answers(session, conversation_id)}


@router.put(
    "/{purpose}",
    status_code=201,
    response_model=AnswerOut,
    responses={
        200: {
            "model": AnswerOut,
            "description": "Answered so before: nothing changed.",
            "headers": carrying("Idempotent-Replayed"),
        },
        **documented(409),
    },
)
async def give_answer(
    session: SessionDep,
    token: SessionTokenDep,
    chat: ChatDep,
    origin: OriginDep,
    purpose: Purpose,
    body: AnswerIn,
    response: Response,
) -> object:
    """Agree or refuse, each purpose by itself. Safe to repeat."""
    conversation_id = await authenticate_locked(session, service.hash_token(token))
    answer, replayed = await answers.give(
        session,
        chat.reach,
        chat.texts,
        conversation_id=conversation_id,
        purpose=purpose,
        decision=body.decision,
        text_version=body.text_version,
        sha256=body.sha256,
        origin=origin,
    )
    if replayed:
        response.status_code = 200
        response.headers["Idempotent-Replayed"] = "true"
    return answer


@router.delete("/{purpose}", status_code=204)
async def withdraw_answer(
    session: SessionDep, token: SessionTokenDep, chat: ChatDep, origin: OriginDep, purpose: Purpose
) -> None:
    """Withdraw, without a text and without a reason. Effective with the answer; safe to repeat."""
    conversation_id = await authenticate_locked(session, service.hash_token(token))
    await answers.withdraw(
        session, chat.reach, conversation_id=conversation_id, purpose=purpose, surface="api", origin=origin
    )
