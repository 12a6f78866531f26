"""HTTP of the chat."""

from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import Depends, Query, Request, Response
from pydantic import ValidationError

from app.consent.service import Origin
from app.conversations import examples, service, stream
from app.conversations.schemas import MessageIn, MessagesOut, SessionIn, SessionOut, TurnOut
from app.conversations.service import Chat
from app.web import sse
from app.web.deps import SessionDep, SessionTokenDep, session_scheme, session_token
from app.web.headers import carrying
from app.web.paging import WHOLE, Limit
from app.web.problems import documented
from app.web.ratelimit import chat as chat_limit
from app.web.ratelimit import credential, limiter
from app.web.routing import Router, solved_by
from app.web.sse import LastEventIdHeader

router = Router(prefix="/v1/chat", tags=["chat"])


async def _chat(request: Request) -> Chat:
    chat: Chat = request.app.state.chat
    return chat


ChatDep = Annotated[Chat, Depends(_chat)]


async def request_origin(request: Request) -> Origin:
    """From where the caller speaks, for the evidence of a consent: the address is app.web.client's finding."""
    return Origin(request.client.host if request.client else None, request.headers.get("user-agent"))


OriginDep = Annotated[Origin, Depends(request_origin)]


@router.post("/sessions", status_code=201, response_model=SessionOut)
@limiter.limit(chat_limit)
async def open_session(request: Request, session: SessionDep, chat: ChatDep, body: SessionIn | None = None) -> object:
    """Open a conversation. The answer holds the only copy of its token."""
    return await service.open_session(session, chat, locale=(body or SessionIn()).locale)


async def _arguments(request: Request, sent: Any) -> dict[str, Any] | None:
    """The arguments of `send_message`."""
    token = await session_token(await session_scheme(request))
    try:
        body = MessageIn.model_validate(sent)
    except ValidationError:
        return None
    return {"request": request, "token": token, "chat": await _chat(request), "body": body}


@router.post(
    "/messages",
    status_code=201,
    response_model=TurnOut,
    responses={
        200: {
            "model": TurnOut,
            "description": "Said before: the same answer again. Or, where `Accept` prefers `text/event-stream`, the "
            "answer as events: `ack`, for each reply `quote` (if it is one) and `message`, then `done` with the JSON "
            "answer; `error` with a problem ends it early.",
            "headers": carrying("Idempotent-Replayed"),
            "content": sse.content(examples.STREAM),
        },
        **documented(409),
    },
)
@limiter.limit(chat_limit)
@limiter.limit(chat_limit, credential, policy="chat-conversation")
@solved_by(_arguments)
async def send_message(
    request: Request, token: SessionTokenDep, chat: ChatDep, body: MessageIn, last_event_id: LastEventIdHeader = None
) -> Response:
    """Say something and get the answer, whole or as events. Safe to repeat with the same `client_message_id`."""
    after = sse.last_event_id(request)
    token_hash = service.hash_token(token)
    say = partial(
        service.say,
        chat,
        token_hash=token_hash,
        text=body.text,
        client_message_id=body.client_message_id,
        origin=await request_origin(request),
    )
    if sse.wants_stream(request):
        before = await service.said_before(
            chat, token_hash=token_hash, text=body.text, client_message_id=body.client_message_id
        )
        return stream.answer(request, say, before, client_message_id=body.client_message_id, after=after)
    said = await say()
    return Response(
        orjson.dumps(said.body),
        status_code=200 if said.replayed else 201,
        media_type="application/json",
        headers={"Idempotent-Replayed": "true"} if said.replayed else None,
    )


@router.get("/messages", response_model=MessagesOut)
@limiter.limit(chat_limit)
async def list_messages(
    request: Request,
    session: SessionDep,
    token: SessionTokenDep,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="Only messages with a higher `seq`."), WHOLE] = 0,
    limit: Limit = 50,
) -> object:
    """The conversation that the token opens, oldest message first."""
    conversation_id = await service.authenticate(session, service.hash_token(token))
    items, next_cursor = await service.history(session, conversation_id, after=after, limit=limit)
    return {"items": items, "next_cursor": next_cursor}
