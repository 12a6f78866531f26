"""HTTP of alerts, for operators."""

from uuid import UUID

from app.alerts import operator_service as service
from app.alerts.repository import alerts
from app.alerts.schemas import AlertDetailOut, AlertsOut, AlertState, ChannelName
from app.operations.access import needs
from app.web.deps import SessionDep
from app.web.paging import Cursor, Limit, decode_cursor, encode_cursor
from app.web.problems import documented
from app.web.routing import Router

router = Router(prefix="/v1/alerts", tags=["alerts"])


@router.get("", response_model=AlertsOut, dependencies=[needs("alerts:read")])
async def list_alerts(
    session: SessionDep,
    channel: ChannelName | None = None,
    state: AlertState | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> object:
    """Alerts and how their delivery stands, newest first."""
    rows = await alerts.page(session, channel=channel, state=state, before=decode_cursor(cursor), limit=limit + 1)
    return {"items": rows[:limit], "next_cursor": encode_cursor(rows[limit - 1]) if len(rows) > limit else None}


@router.get(
    "/{alert_id}", response_model=AlertDetailOut, responses=documented(404), dependencies=[needs("alerts:read")]
)
async def get_alert(session: SessionDep, alert_id: UUID) -> object:
    """One alert and what each attempt to deliver it came to."""
    return await service.alert(session, alert_id)
