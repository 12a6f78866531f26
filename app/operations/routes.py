"""HTTP of the journal of operators, for operators."""

from datetime import datetime
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import Query

from app.core.text import SafeStr
from app.operations import service
from app.operations.access import needs
from app.operations.schemas import OperatorActionsOut
from app.web.deps import SessionDep
from app.web.paging import Cursor, Limit, decode_cursor, encode_cursor
from app.web.routing import Router

router = Router(prefix="/v1/operator-actions", tags=["operations"])


class _Position(NamedTuple):
    created_at: datetime
    id: UUID


@router.get("", response_model=OperatorActionsOut, dependencies=[needs("operations:read")])
async def list_actions(
    session: SessionDep,
    target: Annotated[SafeStr | None, Query(max_length=100, description="A channel or a row's id.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> object:
    """Who did what and when, newest first."""
    rows = await service.actions(session, target=target, before=decode_cursor(cursor), limit=limit + 1)
    last = _Position(rows[limit - 1].at, rows[limit - 1].id) if len(rows) > limit else None
    return {"items": rows[:limit], "next_cursor": encode_cursor(last) if last else None}
