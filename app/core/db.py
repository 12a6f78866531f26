"""The database: one engine, one place that commits, one way to hear that a commit happened."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeAlias, cast
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import DateTime, MetaData, Row, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

CONNECT_TIMEOUT_SECONDS = 2.0
POOL_TIMEOUT_SECONDS = 2.0
STATEMENT_TIMEOUT_MS = 10_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 15_000

_NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
"""A row whose columns its query names."""

Ring = Callable[[Sequence[UUID]], Awaitable[None]]


class Base(DeclarativeBase):
    """Every table's base: constraints have predictable names and every instant carries its time zone."""

    metadata = MetaData(naming_convention=_NAMING)
    type_annotation_map = {datetime: DateTime(timezone=True)}  # noqa: RUF012  SQLAlchemy reads it as declared


def _dump_json(value: Any) -> str:
    return orjson.dumps(value).decode()


async def _nobody_listens(_alert_ids: Sequence[UUID]) -> None:
    """What a process does with rings when it has no doorbell: the sweeper finds the rows."""


class Database:
    """One process's way to PostgreSQL.

    `ring` is awaited with the ids announced by `ring_when_committed`, after the commit and outside the transaction; it
    must not raise.
    """

    def __init__(self, url: str, *, pool_size: int, ring: Ring = _nobody_listens) -> None:
        self.engine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            pool_use_lifo=True,
            hide_parameters=True,
            json_serializer=_dump_json,
            json_deserializer=orjson.loads,
            connect_args={
                "timeout": CONNECT_TIMEOUT_SECONDS,
                "server_settings": {
                    "application_name": "novahouse",
                    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
                },
            },
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._ring = ring
        # SQLAlchemy's pool hands a free connection to whoever comes, past those who wait; this queue is fair
        self._turn = asyncio.Semaphore(pool_size)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session in a transaction that commits when the block ends and rolls back when it raises."""
        async with self._sessions() as session:
            async with session.begin():
                yield session
            ringing = session.info.pop(_RINGING, None)
        if ringing:
            await self._ring(ringing)

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[asyncpg.Connection]:
        """The driver's own connection, for a statement that is a transaction by itself.

        Only for the chat's hot path, where a Core statement costs more than everything else
        (docs/decisions/0004-hot-path.md). A jsonb value goes in as text and comes out as Python.
        """
        async with self._turn, self.engine.connect() as connection:
            pooled = await connection.get_raw_connection()
            yield cast("asyncpg.Connection", pooled.driver_connection)

    async def ping(self) -> None:
        """Ask the server for an answer. Raises what the driver raises when there is none."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def dispose(self) -> None:
        """Close every connection of the pool."""
        await self.engine.dispose()


_RINGING = "ring_when_committed"


def ring_when_committed(session: AsyncSession, alert_ids: Sequence[UUID]) -> None:
    """Announce alerts of this transaction; the doorbell rings for them if and when it commits."""
    session.info.setdefault(_RINGING, []).extend(alert_ids)
