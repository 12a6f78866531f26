"""Health: is this process alive, and should it get traffic."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Literal

import structlog
from fastapi import Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from app.core.db import Database
from app.core.jobs import Doorbell
from app.web.drain import Drain
from app.web.problems import Problem, problem_response
from app.web.routing import Router

router = Router(prefix="/health", tags=["health"])
CHECK_SECONDS = 0.5
RETRY_SECONDS = 2

Answers = Literal["ok", "down"]
_NOT_READY = {
    "draining": "The process is about to stop.",
    "database-unavailable": "The database does not answer right now.",
    "erasures-to-replay": "A restored backup may have brought erased people back.",
}

_log = structlog.stdlib.get_logger(__name__)


class LiveOut(BaseModel):
    """The process runs and its event loop turns."""

    status: Literal["ok"] = "ok"


class ReadyOut(BaseModel):
    """Send traffic here."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok", "postgresql": "ok", "redis": "ok"}]})

    status: Literal["ok", "degraded"] = Field(
        description="`degraded`: all is answered, and alerts leave up to half a minute later."
    )
    postgresql: Answers
    redis: Answers


class NotReadyProblem(Problem):
    """Send no traffic here. `code` says why: `draining`, `database-unavailable` or `erasures-to-replay`."""

    postgresql: Answers
    redis: Answers


async def _drain(request: Request) -> Drain:
    drain: Drain = request.app.state.drain
    return drain


@router.get("/live")
async def live() -> LiveOut:
    """Depends on nothing: if this does not answer, restart the process."""
    return LiveOut()


@router.get(
    "/ready",
    response_model=ReadyOut,
    responses={503: {"model": NotReadyProblem, "description": "No traffic, please."}},
)
async def ready(request: Request, drain: Annotated[Drain, Depends(_drain)]) -> object:
    """Ready to serve: not draining, PostgreSQL answers and has forgotten no erasure. Redis only makes it `degraded`."""
    database: Database = request.app.state.database
    doorbell: Doorbell = request.app.state.doorbell
    postgresql, redis = await asyncio.gather(_answers(database), _answers(doorbell))
    found = {"postgresql": "ok" if postgresql else "down", "redis": "ok" if redis else "down"}
    if drain.draining:
        return _not_ready("draining", found)
    if not postgresql:
        return _not_ready("database-unavailable", found)
    if await _behind(request.app.state.erasures_behind):
        return _not_ready("erasures-to-replay", found, detail="Run `novahouse privacy replay-erasures`.")
    return {"status": "ok" if redis else "degraded", **found}


def _not_ready(code: str, found: Mapping[str, str], *, detail: str | None = None) -> Response:
    return problem_response(
        503,
        code=code,
        title=_NOT_READY[code],
        detail=detail,
        headers={"Retry-After": str(RETRY_SECONDS)},
        kind=NotReadyProblem,
        members=found,
    )


async def _behind(erasures_behind: Callable[[], Awaitable[bool]]) -> bool:
    """Whether the database lacks erasures of the ledger. Not knowing counts as yes: nobody erased may come back."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await erasures_behind()
    except Exception as error:  # noqa: BLE001  whatever keeps the ledger from being read
        _log.error("erasure_ledger_unreadable", error=type(error).__name__)
        return True


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
