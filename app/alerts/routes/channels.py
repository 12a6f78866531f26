"""HTTP of channels, for operators."""

from typing import Annotated

from fastapi import Depends, Request

from app.alerts import channel_service as service
from app.alerts.channel_schemas import ChannelOut, ChannelsOut, PauseIn, SentTestOut
from app.alerts.schemas import ChannelName
from app.core.settings import Settings
from app.operations.access import OperatorDep, needs
from app.operations.idempotent import IdempotencyDep
from app.web.deps import SessionDep
from app.web.problems import documented
from app.web.routing import Router

router = Router(prefix="/v1/channels", tags=["channels"])


async def configured_channels(request: Request) -> tuple[str, ...]:
    """The channels that this process has settings for."""
    settings: Settings = request.app.state.settings
    return settings.configured_channels


ConfiguredDep = Annotated[tuple[str, ...], Depends(configured_channels)]


@router.get("", response_model=ChannelsOut, dependencies=[needs("alerts:read")])
async def list_channels(session: SessionDep, configured: ConfiguredDep) -> object:
    """Every channel: what holds it back and what waits for it."""
    return {"items": await service.overview(session, configured=configured)}


@router.post("/{name}/pause", response_model=ChannelOut, dependencies=[needs("delivery:operate")])
async def pause_channel(
    session: SessionDep,
    operator: OperatorDep,
    once: IdempotencyDep,
    configured: ConfiguredDep,
    name: ChannelName,
    body: PauseIn | None = None,
) -> object:
    """Send nothing more on it until it is resumed; tests pass. Nothing is lost meanwhile."""

    async def work() -> object:
        await service.pause(session, name, actor=operator, reason=body.reason if body else None)
        return await service.one(session, name, configured=configured)

    return await once.run(session, work)


@router.post("/{name}/resume", response_model=ChannelOut, dependencies=[needs("delivery:operate")])
async def resume_channel(
    session: SessionDep, operator: OperatorDep, once: IdempotencyDep, configured: ConfiguredDep, name: ChannelName
) -> object:
    """Send again, whoever paused it."""

    async def work() -> object:
        await service.resume(session, name, actor=operator)
        return await service.one(session, name, configured=configured)

    return await once.run(session, work)


@router.post("/{name}/reset", response_model=ChannelOut, dependencies=[needs("delivery:operate")])
async def reset_channel(
    session: SessionDep, operator: OperatorDep, once: IdempotencyDep, configured: ConfiguredDep, name: ChannelName
) -> object:
    """Close its breaker, forget the remote's wish to wait, and try at once. A pause stays."""

    async def work() -> object:
        await service.reset(session, name, actor=operator)
        return await service.one(session, name, configured=configured)

    return await once.run(session, work)


@router.post(
    "/{name}/test",
    status_code=202,
    response_model=SentTestOut,
    responses=documented(409),
    dependencies=[needs("delivery:operate")],
)
async def send_test(
    session: SessionDep, operator: OperatorDep, once: IdempotencyDep, configured: ConfiguredDep, name: ChannelName
) -> object:
    """Send a test message, paused or not. `GET /v1/alerts/{alert_id}` tells what became of it."""

    async def work() -> object:
        return {"alert_id": await service.send_test(session, name, configured=configured, actor=operator)}

    return await once.run(session, work)
