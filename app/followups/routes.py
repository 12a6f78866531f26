"""HTTP of follow-ups, for operators."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Response

from app.core import clock
from app.followups import desk, service
from app.followups.schemas import (
    CancelIn,
    DuesOut,
    FollowupClosedOut,
    FollowupIn,
    FollowupsOut,
    FollowupState,
    FollowupWrittenOut,
    PreviewIn,
    PreviewOut,
)
from app.followups.service import Followups
from app.operations.access import OperatorDep, needs
from app.operations.idempotent import REPLAYED, IdempotencyDep
from app.web.deps import SessionDep
from app.web.paging import Cursor, Limit, decode_cursor, encode_cursor
from app.web.problems import documented
from app.web.routing import Router

router = Router(prefix="/v1/followups", tags=["followups"])


async def _followups(request: Request) -> Followups:
    made: Followups = request.app.state.followups
    return made


FollowupsDep = Annotated[Followups, Depends(_followups)]


@router.post(
    "",
    status_code=201,
    response_model=FollowupWrittenOut,
    responses={200: {"model": FollowupWrittenOut, "description": "It was there already."}, **documented(404, 409)},
    dependencies=[needs("followups:write")],
)
async def write_followup(
    session: SessionDep,
    operator: OperatorDep,
    once: IdempotencyDep,
    followups: FollowupsDep,
    response: Response,
    body: FollowupIn,
) -> object:
    """Write one now, into the chat and for the mail, if the visitor agreed. Safe to repeat: each number exists once."""

    async def work() -> object:
        written = await desk.write(
            session,
            followups,
            conversation_id=body.conversation_id,
            number=body.followup_number,
            message=body.message,
            actor=operator,
        )
        if written.replayed:
            response.status_code = 200
            response.headers[REPLAYED] = "true"
        return written.row

    return await once.run(session, work)


@router.get("", response_model=FollowupsOut, dependencies=[needs("followups:read")])
async def list_followups(
    session: SessionDep, state: FollowupState | None = None, cursor: Cursor = None, limit: Limit = 50
) -> object:
    """Follow-ups and what became of them, newest first."""
    rows = await service.page(session, state=state, before=decode_cursor(cursor), limit=limit + 1)
    return {"items": rows[:limit], "next_cursor": encode_cursor(rows[limit - 1]) if len(rows) > limit else None}


@router.get("/due", response_model=DuesOut, dependencies=[needs("followups:read")])
async def list_due_followups(session: SessionDep, followups: FollowupsDep, limit: Limit = 50) -> object:
    """What the schedule would write now. Writes nothing."""
    found = await service.due(session, followups, now=clock.now(), limit=limit)
    return {
        "items": [
            {"conversation_id": conversation_id, "followup_number": number, "due_at": due_at}
            for conversation_id, number, due_at in found
        ]
    }


@router.post("/preview", response_model=PreviewOut, responses=documented(404), dependencies=[needs("followups:read")])
async def preview_followup(session: SessionDep, followups: FollowupsDep, body: PreviewIn) -> object:
    """What a conversation's follow-up of this number would say now. Writes nothing."""
    text = await service.preview(session, followups, conversation_id=body.conversation_id, number=body.followup_number)
    return {"text": text}


@router.post(
    "/{followup_id}/cancel",
    response_model=FollowupClosedOut,
    responses=documented(404, 409),
    dependencies=[needs("followups:write")],
)
async def cancel_followup(
    session: SessionDep, operator: OperatorDep, once: IdempotencyDep, followup_id: UUID, body: CancelIn
) -> object:
    """Take back one whose mail has not left; its words stay in the chat. The same again changes nothing."""
    return await once.run(session, lambda: desk.cancel(session, followup_id, reason=body.reason, actor=operator))
