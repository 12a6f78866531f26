"""HTTP of conversations, for operators."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from app.conversations import desk
from app.conversations.desk_schemas import ConversationDetailOut, ConversationsOut
from app.operations.access import needs
from app.web.deps import SessionDep
from app.web.paging import Cursor, Limit, decode_cursor, encode_cursor
from app.web.problems import documented
from app.web.routing import Router

router = Router(prefix="/v1/conversations", tags=["conversations"])

_MAX_SEQ = 2**31 - 1


@router.get("", response_model=ConversationsOut, dependencies=[needs("conversations:read")])
async def list_conversations(session: SessionDep, cursor: Cursor = None, limit: Limit = 50) -> object:
    """Conversations, newest first, without what was said."""
    rows = await desk.page(session, before=decode_cursor(cursor), limit=limit + 1)
    return {"items": rows[:limit], "next_cursor": encode_cursor(rows[limit - 1]) if len(rows) > limit else None}


@router.get(
    "/{conversation_id}",
    response_model=ConversationDetailOut,
    responses=documented(404),
    dependencies=[needs("conversations:read")],
)
async def get_conversation(
    session: SessionDep,
    conversation_id: UUID,
    after: Annotated[int, Query(ge=0, le=_MAX_SEQ, description="Only messages with a higher `seq`.")] = 0,
    limit: Limit = 50,
) -> object:
    """One conversation and what was said in it, oldest first."""
    return await desk.get(session, conversation_id, after=after, limit=limit)
