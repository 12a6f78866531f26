"""HTTP of how delivery stands, for operators."""

from fastapi import Request

from app.alerts import channel_service as service
from app.alerts.channel_schemas import StatusOut
from app.core.settings import Settings
from app.operations.access import needs
from app.web.deps import SessionDep
from app.web.routing import Router

router = Router(prefix="/v1/status", tags=["operations"])


@router.get("", response_model=StatusOut, dependencies=[needs("operations:read")])
async def get_status(request: Request, session: SessionDep) -> object:
    """Scheduled jobs and their last runs, dead letters that are open, every channel, and what limits refused."""
    settings: Settings = request.app.state.settings
    return await service.status(
        session,
        configured=settings.configured_channels,
        scheduler_enabled=settings.scheduler_enabled,
        rate_limits=settings.rate_limits,
    )
