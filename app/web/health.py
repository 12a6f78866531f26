"""Health: is this process alive, and should it get traffic."""

import asyncio
from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from app.core.db import Database
from app.core.jobs import Doorbell
from app.web.drain import Drain

router = APIRouter(prefix="/health", tags=["health"])
CHECK_SECONDS = 0.5

_log = structlog.stdlib.get_logger(__name__)


class LiveOut(BaseModel):
    """The process runs and its event loop turns."""

    status: Literal["ok"] = "ok"


class ReadyOut(BaseModel):
    """Whether to send traffic here, and why not."""

    status: Literal["ok", "degraded", "unavailable", "draining"] = Field(
        description="`degraded`: all is answered, and alerts leave up to half a minute later."
    )
    postgresql: Literal["ok", "down"]
    redis: Literal["ok", "down"]


async def _drain(request: Request) -> Drain:
    drain: Drain = request.app.state.drain
    return drain


@router.get("/live")
async def live() -> LiveOut:
    """Depends on nothing: if this does not answer, restart the process."""
    return LiveOut()


@router.get("/ready", responses={503: {"model": ReadyOut, "description": "No traffic, please."}})
async def ready(request: Request, response: Response, drain: Annotated[Drain, Depends(_drain)]) -> ReadyOut:
    """Ready to serve: not draining, and PostgreSQL answers. Redis only makes it `degraded`."""
    database: Database = request.app.state.database
    doorbell: Doorbell = request.app.state.doorbell
    postgresql, redis = await asyncio.gather(_answers(database), _answers(doorbell))
    if drain.draining:
        status: Literal["ok", "degraded", "unavailable", "draining"] = "draining"
    elif not postgresql:
        status = "unavailable"
    else:
        status = "ok" if redis else "degraded"
    if status in {"draining", "unavailable"}:
        response.status_code = 503
    return ReadyOut(status=status, postgresql="ok" if postgresql else "down", redis="ok" if redis else "down")


async def _answers(dependency: Database | Doorbell) -> bool:
    """Whether it answers within `CHECK_SECONDS`. Cancelling a hung driver takes seconds; that is not waited for."""
    ping = asyncio.create_task(dependency.ping())
    done, _ = await asyncio.wait({ping}, timeout=CHECK_SECONDS)
    if not done:
        ping.cancel()
        _abandoned.add(ping)
        ping.add_done_callback(_abandoned.discard)
        _log.warning("dependency_down", dependency=type(dependency).__name__, error="TimeoutError")
        return False
    try:
        ping.result()
    except (SQLAlchemyError, RedisError, OSError) as error:
        _log.warning("dependency_down", dependency=type(dependency).__name__, error=type(error).__name__)
        return False
    return True


_abandoned: set[asyncio.Task[None]] = set()
