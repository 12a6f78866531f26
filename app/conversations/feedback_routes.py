"""HTTP of feedback on messages: visitors give it, operators read it."""

from uuid import UUID

from fastapi import Request, Response

from app.conversations import feedback, service
from app.conversations.feedback import Rating
from app.conversations.feedback_schemas import FeedbackIn, FeedbacksOut, RatedOut
from app.operations.access import needs
from app.web.deps import SessionDep, SessionTokenDep
from app.web.paging import Cursor, Limit, decode_cursor, encode_cursor
from app.web.problems import documented
from app.web.ratelimit import chat as chat_limit
from app.web.ratelimit import limiter
from app.web.routing import Router

router = Router(prefix="/v1/chat", tags=["chat"])
desk_router = Router(prefix="/v1/feedback", tags=["conversations"])


@router.post(
    "/messages/{message_id}/feedback",
    status_code=201,
    response_model=RatedOut,
    responses={200: {"model": RatedOut, "description": "Rated before: the last word counts."}, **documented(404)},
)
@limiter.limit(chat_limit)
async def rate_message(
    request: Request,
    session: SessionDep,
    token: SessionTokenDep,
    message_id: UUID,
    response: Response,
    body: FeedbackIn,
) -> object:
    """Say what a message of ours was worth."""
    rated = await feedback.rate(
        session,
        token_hash=service.hash_token(token),
        message_id=message_id,
        rating=body.rating,
        comment=body.comment,
    )
    if rated.again:
        response.status_code = 200
    return rated.row


@desk_router.get("", response_model=FeedbacksOut, dependencies=[needs("conversations:read")])
async def list_feedback(
    session: SessionDep, rating: Rating | None = None, cursor: Cursor = None, limit: Limit = 50
) -> object:
    """What visitors think of our messages, newest first, with the words that they rated."""
    rows = await feedback.page(session, rating=rating, before=decode_cursor(cursor), limit=limit + 1)
    return {"items": rows[:limit], "next_cursor": encode_cursor(rows[limit - 1]) if len(rows) > limit else None}
