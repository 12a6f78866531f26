"""Errors that no route of ours raises today: whoever adds one that does gets the right problem."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import httpx
import pytest
import structlog
from fastapi import FastAPI
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.api import ROUTERS
from app.core.errors import AppError, UnavailableError
from app.core.keys import KeyRing
from app.core.settings import Settings
from app.web.client import Callers
from app.web.handlers import install_handlers
from app.web.middleware import CatchMiddleware, RequestMiddleware
from tests.processes import ROOT

ERRORS: dict[str, Exception] = {
    "unique": asyncpg.UniqueViolationError("a value that somebody wrote"),
    "shutdown": asyncpg.AdminShutdownError("bye"),
    "broken": asyncpg.InternalClientError("got result for unknown protocol state 3"),
    "refused": ConnectionRefusedError(111, "postgres.internal"),
    "silent": TimeoutError(),
    "busy": UnavailableError("Later.", retry_after=7),
    "starting": asyncpg.CannotConnectNowError("the database system is starting up"),
    "crashed": asyncpg.CrashShutdownError("because of a crash of another server process"),
    "full": asyncpg.TooManyConnectionsError("sorry, too many clients already"),
    "cut": asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    "cancelled": asyncpg.QueryCanceledError("canceling statement due to statement timeout"),
    "closed": asyncpg.InterfaceError("connection is closed"),
    "crowded": PoolTimeoutError("QueuePool limit reached"),
    "password": asyncpg.InvalidPasswordError("password authentication failed"),
    "gone": asyncpg.InvalidCatalogNameError("database does not exist"),
    "not let in": asyncpg.ObjectNotInPrerequisiteStateError("database is not currently accepting connections"),
    "standby": asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT in a read-only transaction"),
    "disk": asyncpg.DiskFullError("could not extend file"),
    "memory": asyncpg.OutOfMemoryError("out of memory"),
    "deadlock": asyncpg.DeadlockDetectedError("deadlock detected"),
    "locked": asyncpg.LockNotAvailableError("canceling statement due to lock timeout"),
    "input": asyncpg.PostgresIOError("could not read block"),
    "forbidden": asyncpg.InsufficientPrivilegeError("permission denied for table"),
    "table": asyncpg.UndefinedTableError("relation does not exist"),
}


@pytest.fixture
async def errors() -> AsyncIterator[httpx.AsyncClient]:
    """An application that does nothing right."""
    app = FastAPI()
    install_handlers(app)
    app.add_middleware(CatchMiddleware)
    app.add_middleware(RequestMiddleware, callers=Callers([], KeyRing.of(Settings())))

    @app.get("/{error}")
    async def fail(error: str) -> None:
        raise ERRORS[error]

    @app.post("/counts")
    async def count(body: dict[str, int]) -> None:
        raise AssertionError(body)

    @app.get("/context/names")
    async def context() -> dict[str, Any]:
        return structlog.contextvars.get_contextvars()

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client:
        yield client


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        *((error, 500, "internal-error", None) for error in ("unique", "forbidden", "table")),
        ("shutdown", 503, "database-unavailable", "2"),
        ("broken", 503, "database-unavailable", "2"),
        ("refused", 503, "database-unavailable", "2"),
        ("silent", 503, "database-unavailable", "2"),
        ("busy", 503, "unavailable", "7"),
        *(
            (error, 503, "database-unavailable", "2")
            for error in ("starting", "crashed", "full", "cut", "cancelled", "closed", "crowded", "password", "gone")
        ),
        *(
            (error, 503, "database-unavailable", "2")
            for error in ("not let in", "standby", "disk", "memory", "deadlock", "locked", "input")
        ),
    ],
)
async def test_an_outage_is_503_and_a_mistake_is_500(
    errors: httpx.AsyncClient, error: str, status: int, code: str, retry_after: str | None
) -> None:
    answer = await errors.get(f"/{error}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers.get("Retry-After") == retry_after
    assert "wrote" not in answer.text
    assert "internal." not in answer.text


async def test_a_pointer_escapes_what_rfc_6901_escapes(errors: httpx.AsyncClient) -> None:
    answer = await errors.post("/counts", json={"a/b~c": "x"})
    assert [part["pointer"] for part in answer.json()["errors"]] == ["/a~1b~0c"]


async def test_a_request_logs_nothing_that_was_bound_before_it(errors: httpx.AsyncClient) -> None:
    with structlog.contextvars.bound_contextvars(left_behind="by somebody else"):
        assert set((await errors.get("/context/names")).json()) == {"client_hash", "request_id", "trace_id"}


COMMAND_LINE_ONLY = {"api-key-unknown", "api-keys-too-many", "limit-invalid", "policy-unknown"}


def kinds(base: type[AppError] = AppError) -> Iterator[type[AppError]]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_the_docs_list_every_code_that_a_request_may_get() -> None:
    assert ROUTERS  # which imports whatever may be raised
    ours = {kind.code for kind in kinds() if kind.__module__ != AppError.__module__}
    web = "".join(path.read_text() for path in (ROOT / "app/web").glob("*.py"))
    beside_them = set(re.findall(r'code="([a-z-]+)"', web))
    assert {"rate-limited", "overloaded", "internal-error"} <= beside_them
    table = (ROOT / "docs/api.md").read_text().partition("| status | code |")[2]
    listed = set(re.findall(r"`([a-z-]+)`", table))
    assert (ours | beside_them) - COMMAND_LINE_ONLY - listed == set()
