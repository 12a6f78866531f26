"""HTTP of alerts, for operators."""

from fastapi import APIRouter, Depends

from app.alerts import repository
from app.alerts.schemas import AlertsOut, AlertState, ChannelName
from app.web.deps import SessionDep, require_operator
from app.web.paging import Cursor, Limit, decode_cursor, encode_cursor

router = APIRouter(prefix="/v1/alerts", tags=["alerts"], dependencies=[Depends(require_operator)])


@router.get("", response_model=AlertsOut)
async def list_alerts(
    session: SessionDep,
    channel: ChannelName | None = None,
    state: AlertState | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> object:
    """Alerts and how their delivery stands, newest first."""
    rows = await repository.page(session, channel=channel, state=state, before=decode_cursor(cursor), limit=limit + 1)
    return {"items": rows[:limit], "next_cursor": encode_cursor(rows[limit - 1]) if len(rows) > limit else None}
