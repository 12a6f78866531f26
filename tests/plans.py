"""What a query reads: its statements, their plans, and the tables that those read from end to end."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from alembic import command
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import Database
from app.core.settings import Settings
from app.devstack.postgres import EmbeddedPostgres
from tests.conftest import alembic_config, new_database, run_sql

Query = Callable[[AsyncSession], Awaitable[Any]]
DriverQuery = Callable[[asyncpg.Connection], Awaitable[Any]]
Statement = tuple[str, Sequence[Any]]

_OF_THE_LIBRARIES = ("pg_catalog", "information_schema")


def filled_database(postgres: EmbeddedPostgres, name: str, fill: str) -> str:
    """A database with our tables, many rows in them and fresh statistics; gives its URL."""
    url = new_database(postgres, name)
    command.upgrade(alembic_config(url), "head")
    run_sql(url, fill, "VACUUM ANALYZE")
    return url


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """The service's way into a database."""
    own = Database(Settings(database_url=url).database_url, pool_size=2)
    try:
        yield own
    finally:
        await own.dispose()


async def in_session(database: Database, query: Query) -> list[Statement]:
    """The statements that `query` makes in a session, which is rolled back."""
    statements: list[Statement] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        statements.append((statement, parameters))

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        async with database.transaction() as session:
            await query(session)
            await session.rollback()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return _ours(statements)


async def on_driver(database: Database, query: DriverQuery) -> list[Statement]:
    """The statements that `query` makes on the driver's connection, in a transaction that is rolled back."""
    statements: list[Statement] = []
    async with database.driver() as connection:
        attempt = connection.transaction()
        await attempt.start()
        with connection.query_logger(lambda record: statements.append((record.query, record.args))):
            await query(connection)
        await attempt.rollback()
    return _ours(statements)


async def plans(database: Database, statements: Sequence[Statement], *, how: str = "") -> list[str]:
    """How PostgreSQL would run these; `how` are options of EXPLAIN. AssertionError when there are none."""
    assert statements
    async with database.driver() as connection:
        return [
            "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {how} {statement}", *arguments))
            for statement, arguments in statements
        ]


async def assert_reads_by_index(
    database: Database, statements: Sequence[Statement], *, small: Collection[str] = ()
) -> None:
    """AssertionError, with the plan, when these read a table whole that is not one of the `small` ones."""
    for plan in await plans(database, statements):
        assert set(re.findall(r"Seq Scan on (\w+)", plan)) <= set(small), plan


def _ours(statements: Sequence[Statement]) -> list[Statement]:
    return [made for made in statements if not any(name in made[0] for name in _OF_THE_LIBRARIES)]
