"""HTTP of a visitor's wish for a person."""

from fastapi import Request, Response

from app.conversations import handoff, service
from app.conversations.routes import ChatDep
from app.conversations.schemas import HandoffIn, HandoffOut
from app.operations.idempotent import REPLAYED
from app.web.deps import SessionDep, SessionTokenDep
from app.web.headers import carrying
from app.web.problems import documented
from app.web.ratelimit import chat as chat_limit
from app.web.ratelimit import limiter
from app.web.routing import Router

router = Router(prefix="/v1/chat", tags=["chat"])


@router.post(
    "/handoff",
    status_code=201,
    response_model=HandoffOut,
    responses={
        200: {
            "model": HandoffOut,
            "description": "Asked before: nothing changed.",
            "headers": carrying("Idempotent-Replayed"),
        },
        **documented(409),
    },
)
@limiter.limit(chat_limit)
async def request_handoff(
    request: Request,
    session: SessionDep,
    token: SessionTokenDep,
    chat: ChatDep,
    response: Response,
    body: HandoffIn | None = None,
) -> object:
    """Ask for a person. People are told, and the bot is silent until they release the conversation. Safe to repeat."""
    requested = await handoff.request(
        session, chat, token_hash=service.hash_token(token), reason=(body or HandoffIn()).reason
    )
    if requested.replayed:
        response.status_code = 200
        response.headers[REPLAYED] = "true"
    return HandoffOut(
        requested_at=requested.requested_at,
        people_are_there=requested.words.is_open,
        back_at=requested.words.back_at,
        text=requested.words.text,
        replies=requested.replies,
    )
