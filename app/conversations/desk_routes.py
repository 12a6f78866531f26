"""HTTP of conversations, for operators."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from app.conversations import desk, handoff
from app.conversations.desk_schemas import (
    ConversationDetailOut,
    ConversationsOut,
    ConversationState,
    PersonMessageIn,
    PersonMessageOut,
    ReleasedOut,
)
from app.operations.access import OperatorDep, needs
from app.operations.idempotent import IdempotencyDep
from app.web.deps import SessionDep
from app.web.paging import WHOLE, Cursor, Limit, decode_cursor, encode_cursor
from app.web.problems import documented
from app.web.routing import Router

router = Router(prefix="/v1/conversations", tags=["conversations"])

_MAX_SEQ = 2**31 - 1


@router.get("", response_model=ConversationsOut, dependencies=[needs("conversations:read")])
async def list_conversations(
    session: SessionDep, state: ConversationState | None = None, cursor: Cursor = None, limit: Limit = 50
) -> object:
    """Conversations, newest first, without what was said. `state=handoff`: those that wait for a person or have one."""
    rows = await desk.page(session, before=decode_cursor(cursor), limit=limit + 1, state=state)
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
    after: Annotated[int, Query(ge=0, le=_MAX_SEQ, description="Only messages with a higher `seq`."), WHOLE] = 0,
    limit: Limit = 50,
) -> object:
    """One conversation and what was said in it, oldest first."""
    return await desk.get(session, conversation_id, after=after, limit=limit)


@router.post(
    "/{conversation_id}/messages",
    status_code=201,
    response_model=PersonMessageOut,
    responses=documented(404, 409),
    dependencies=[needs("conversations:write")],
)
async def say_as_person(
    session: SessionDep, operator: OperatorDep, once: IdempotencyDep, conversation_id: UUID, body: PersonMessageIn
) -> object:
    """Say something to the visitor, who asked for a person. 409 `not-handed-off` in any other conversation."""
    return await once.run(
        session, lambda: handoff.reply(session, conversation_id=conversation_id, text=body.text, actor=operator)
    )


@router.post(
    "/{conversation_id}/release",
    response_model=ReleasedOut,
    responses=documented(404, 409),
    dependencies=[needs("conversations:write")],
)
async def release_conversation(
    session: SessionDep, operator: OperatorDep, once: IdempotencyDep, conversation_id: UUID
) -> object:
    """Let the bot answer again. The same again changes nothing."""

    async def work() -> object:
        state = await handoff.release(session, conversation_id=conversation_id, actor=operator)
        return {"conversation_id": conversation_id, "state": state}

    return await once.run(session, work)
