"""Where an operator's command does its work: settings, database, doorbell, and one line instead of a traceback."""

import asyncio
import importlib
import os
import pwd
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import DATABASE_ERRORS, Database
from app.core.errors import AppError
from app.core.jobs import Doorbell, arq_redis
from app.core.logging import configure_logging
from app.core.settings import Settings, SettingsError, read_settings

REDIS_TIMEOUT_SECONDS = 1.0
_NO_DATABASE = "check it, or leave it unset while `novahouse up` runs in this folder"
_NO_SCHEMA = {"UndefinedTableError", "UndefinedColumnError"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Desk:
    """What a command works with."""

    settings: Settings
    database: Database
    doorbell: Doorbell
    actor: str
    """Who gives the command, as in `operator_action.actor`."""


def fail(reason: str, *, command: str = "novahouse") -> NoReturn:
    """End the command with one line and exit code 1."""
    typer.echo(f"{command}: {' '.join(reason.split())}", err=True)
    raise typer.Exit(1)


def project_root() -> Path | None:
    """Where alembic.ini lies: the current directory, else beside this package; None when it is in neither."""
    return next((root for root in (Path.cwd(), Path(__file__).parents[2]) if (root / "alembic.ini").is_file()), None)


def run(work: Callable[[Desk], Awaitable[T]]) -> T:
    """Do `work` and give its result. What cannot be done ends the command with one line and exit code 1."""
    _use_stack_of_this_folder()
    configure_logging(level="ERROR", json=False)
    try:
        return asyncio.run(_run(read_settings(), work))
    except SettingsError as error:
        fail(str(error))
    except AppError as error:
        fail(f"{error.title} {error.detail or ''}")
    except DATABASE_ERRORS as error:
        cause = _cause(error)
        hint = "run `novahouse migrate`" if cause in _NO_SCHEMA else _NO_DATABASE
        fail(f"PostgreSQL does not answer as it should at DATABASE_URL: {cause} ({hint})")


def once(work: Callable[[AsyncSession, Desk], Awaitable[T]]) -> T:
    """Do `work` in one transaction; otherwise like `run`."""

    async def in_transaction(desk: Desk) -> T:
        async with desk.database.transaction() as session:
            return await work(session, desk)

    return run(in_transaction)


async def _run(settings: Settings, work: Callable[[Desk], Awaitable[T]]) -> T:
    async with AsyncExitStack() as cleanup:
        doorbell = Doorbell(arq_redis(settings.redis_url, timeout_seconds=REDIS_TIMEOUT_SECONDS, max_connections=1))
        cleanup.push_async_callback(doorbell.aclose)
        database = Database(settings.database_url, pool_size=1, ring=doorbell)
        cleanup.push_async_callback(database.dispose)
        result = await work(Desk(settings=settings, database=database, doorbell=doorbell, actor=f"cli:{_user()}"))
    if doorbell.failures:
        typer.echo(
            "novahouse: done, but Redis does not answer at REDIS_URL: "
            f"workers find it within {settings.alert_sweep_seconds:g} s",
            err=True,
        )
    return result


def _use_stack_of_this_folder() -> None:
    """Work on what `novahouse up` runs here, unless DATABASE_URL names something else."""
    root = project_root()
    try:
        devstack = importlib.import_module("app.devstack.adopt")  # here: the container image has no embedded servers
    except ModuleNotFoundError:
        return
    if root is not None:
        devstack.adopt(root)


def _user() -> str:
    """The user of the machine, whom the environment cannot rename."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _cause(error: BaseException) -> str:
    """The class of the driver's own error, which tells a refused connection from a missing table."""
    while error.__cause__ is not None:
        error = error.__cause__
    return type(error).__name__
