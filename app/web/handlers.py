"""From exceptions to problems, in one place."""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from app.core.db import DATABASE_ERRORS
from app.core.errors import (
    AppError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    MalformedError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from app.web.problems import InvalidPart, internal_error, problem_response, too_large
from app.web.routing import ContentCodingError, UnsupportedMediaTypeError

_STATUS: Mapping[type[AppError], int] = {
    MalformedError: 400,
    InvalidError: 422,
    UnauthenticatedError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    GoneError: 410,
    UnsupportedMediaTypeError: 415,
    UnavailableError: 503,
}
_HTTP_PROBLEMS = {
    400: ("bad-request", "The request cannot be read."),
    404: ("not-found", "There is no such resource."),
    405: ("method-not-allowed", "This path does not support the method."),
}
_MAX_ERRORS = 20
_MAX_POINTER = 200

_log = structlog.stdlib.get_logger(__name__)


def install_handlers(app: FastAPI) -> None:
    """Make `app` answer every error it knows with a problem. What nobody knows is the middleware's."""
    app.add_exception_handler(AppError, _app_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    for database_error in DATABASE_ERRORS:
        app.add_exception_handler(database_error, _database_error)


async def problem_of(request: Request, error: Exception) -> Response:
    """The problem that an exception is answered with, for an answer that has begun and can only tell of it."""
    try:
        if isinstance(error, AppError):
            return await _app_error(request, error)
        return await _database_error(request, error)
    except Exception:  # noqa: BLE001  the last catch of a stream, as CatchMiddleware is of other answers
        _log.exception("request_failed", method=request.method)
        return internal_error()


async def _app_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)  # noqa: S101  Starlette calls a handler with its own class only
    status = next(status for base, status in _STATUS.items() if isinstance(error, base))
    headers = {}
    if isinstance(error, UnauthenticatedError):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, ContentCodingError):
        headers["Accept-Encoding"] = "identity"
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return problem_response(status, code=error.code, title=error.title, detail=error.detail, headers=headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  as above
    if error.status_code == 413:  # noqa: PLR2004  its name is its meaning
        return too_large()
    code, title = _HTTP_PROBLEMS.get(error.status_code, ("http-error", "The request failed."))
    headers = dict(error.headers or {})
    if error.status_code == 405:  # noqa: PLR2004  as above
        headers["Allow"] = ", ".join(
            request.app.state.enforcement.methods(request.scope)
        )  # Starlette's own: one route's
    return problem_response(error.status_code, code=code, title=title, headers=headers)


async def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  as above
    found = error.errors()
    parts = [
        InvalidPart(pointer=_pointer(item), code=str(item["type"]), detail=_detail(item))
        for item in found[:_MAX_ERRORS]
    ]
    return problem_response(422, code="validation-failed", title="The request is not valid.", errors=parts)


def _pointer(item: Mapping[str, Any]) -> str:
    """Where it is wrong. An unknown member is pointed at by what holds it: its name is the caller's own text."""
    loc: Sequence[Any] = item["loc"][:-1] if item["type"] == "extra_forbidden" else item["loc"]
    where, *rest = (str(part).replace("~", "~0").replace("/", "~1") for part in loc)
    path = "/".join(rest)
    pointer = ("/" if path else "") + path if where == "body" else f"{where}/{path}"
    return pointer.encode("utf-8", "replace").decode()[:_MAX_POINTER]


def _detail(item: Mapping[str, Any]) -> str:
    """pydantic's sentence where it holds only our own words, else a sentence that repeats nothing of the input."""
    return _OWN_WORDS.get(item["type"]) or str(item["msg"])


_OWN_WORDS = {"extra_forbidden": "This member is not known.", "uuid_parsing": "This is not a UUID."}


async def _database_error(_request: Request, error: Exception) -> Response:
    """503 when PostgreSQL cannot be reached; anything else is our mistake and goes on to be a 500."""
    if not _is_outage(error):
        raise error
    _log.warning("database_unavailable", error=type(error).__name__)
    return problem_response(
        503,
        code="database-unavailable",
        title="The database does not answer right now.",
        headers={"Retry-After": "2"},
    )


_OUTAGES = (
    OSError,
    PoolTimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_OUTAGE_STATES = ("08", "25006", "25P03", "28", "3D", "40", "53", "55", "57", "58")
"""How SQLSTATEs begin that tell of the server, or of whoever else uses it, and not of the statement: connections, a
standby, passwords, conflicts, resources, locks, operators, disks (PostgreSQL, appendix A)."""


def _is_outage(error: BaseException | None) -> bool:
    if isinstance(error, DBAPIError):
        return (
            error.connection_invalidated
            or isinstance(error, OperationalError | InterfaceError)
            or _is_outage(getattr(error.orig, "__cause__", None))
        )
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate).startswith(_OUTAGE_STATES)
    return isinstance(error, _OUTAGES)
