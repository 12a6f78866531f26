"""The database: one engine, one place that commits, one way to hear that a commit happened."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, TypeAlias, cast

import asyncpg
import orjson
from sqlalchemy import DateTime, MetaData, Row, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from app.core.pools import FairPool
from app.core.pulse import Pulse

CONNECT_TIMEOUT_SECONDS = 2.0
QUEUE_SECONDS = 1.5
"""How long a connection is waited for while the server answers others."""
SILENCE_SECONDS = 10.0
"""After how long without any answer a server counts as silent, for whom nobody waits."""
DRIVER_TIMEOUT_SECONDS = 1.0
"""To connect, and to give back a connection: the queue before them is fair, nothing else waits."""
CLOSE_TIMEOUT_SECONDS = 2.0
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

Ring = Callable[[Collection[str]], Awaitable[None]]

DATABASE_ERRORS = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What a statement may raise, by way of SQLAlchemy or of the driver, when the database is away or refuses.

A connection that breaks in the middle of an answer is an InternalClientError to asyncpg.
"""


class Base(DeclarativeBase):
    """Every table's base: constraints have predictable names and every instant carries its time zone."""

    metadata = MetaData(naming_convention=_NAMING)
    type_annotation_map = {datetime: DateTime(timezone=True)}  # noqa: RUF012  SQLAlchemy reads it as declared


def _dump_json(value: Any) -> str:
    return orjson.dumps(value).decode()


_SERVER_SETTINGS = {
    "application_name": "novahouse",
    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
}


def _plain_url(url: str) -> str:
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)


async def _speak_jsonb(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=str, decoder=orjson.loads)


class _PooledConnection(asyncpg.Connection):
    """A connection through a pooler that hands each transaction to whichever server is free.

    A statement outside a transaction would be parsed by one server and executed by another: each gets its own.
    """

    async def fetch(self, *args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        return await self._whole(super().fetch, *args, **options)

    async def fetchrow(self, *args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        return await self._whole(super().fetchrow, *args, **options)

    async def fetchval(self, *args: Any, **options: Any) -> Any:
        """As asyncpg's."""
        return await self._whole(super().fetchval, *args, **options)

    async def _whole(self, run: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
        if self.is_in_transaction():
            return await run(*args, **options)
        async with self.transaction():
            return await run(*args, **options)


async def _through_pooler(connection: asyncpg.Connection) -> bool:
    """Whether a pooler such as PgBouncer stands between: then the server that answers is not the one that we called."""
    async with connection.transaction():
        answering = await connection.fetchval("SELECT pg_backend_pid()")
    return bool(answering != connection.get_server_pid())


async def _leave_as_it_is(_connection: asyncpg.Connection) -> None:
    """What is done to a connection that comes back: nothing, since a lone statement leaves nothing behind."""


async def _nobody_listens(_channels: Collection[str]) -> None:
    """What a process does with rings when it has no doorbell: the sweeper finds the rows."""


class Database:
    """One process's way to PostgreSQL: up to `pool_size` connections for sessions, and as many for the driver alone.

    `ring` is awaited with the channels announced by `ring_when_committed`, after the commit and outside the
    transaction; it must not raise.

    `command_seconds` bounds how long one statement is waited for; then TimeoutError is raised. Without it the server's
    own limit holds. A server that has answered nobody for `silence_seconds` is silent (app/core/pulse.py): whatever
    waits for it is given up, with whatever error the driver has for a connection that was closed, and until it answers
    again whoever asks for a connection gets SilentError, a TimeoutError. While it answers, a connection is waited for
    QUEUE_SECONDS, in the order of coming; then BusyError is raised, a TimeoutError too.

    A pooler in transaction mode is noticed at the first use. Through it no statement stays prepared and no timeout can
    be set on the server by us (docs/operations/running.md says where then).
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int,
        ring: Ring = _nobody_listens,
        command_seconds: float | None = None,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._pulse = Pulse(self._ask, silence_seconds=silence_seconds)
        self.engine = create_async_engine(
            url,
            poolclass=FairPool,
            pool_size=pool_size,
            max_overflow=0,
            pool_use_lifo=True,
            hide_parameters=True,
            json_serializer=_dump_json,
            json_deserializer=orjson.loads,
            connect_args={
                "timeout": CONNECT_TIMEOUT_SECONDS,
                "command_timeout": command_seconds,
                "server_settings": _SERVER_SETTINGS,
            },
        )
        pool = cast("FairPool", self.engine.sync_engine.pool)
        pool.stand_behind(self._pulse, self._pulse.queue(places=pool_size, seconds=QUEUE_SECONDS))
        event.listen(self.engine.sync_engine, "do_connect", self._session_connects)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._url = _plain_url(url)
        self._pooled: bool | None = None
        self._through_pooler: Mapping[str, Any] = {
            "statement_cache_size": 0,
            "command_timeout": command_seconds or STATEMENT_TIMEOUT_MS / 1000,
        }
        """How to speak through one: nothing stays prepared, and the client is who ends what takes too long."""
        self._meeting = self._pulse.queue(places=1, seconds=QUEUE_SECONDS)
        self._ring = ring
        self._drivers = asyncpg.create_pool(
            self._url,
            connect=self._driver_connects,
            min_size=0,
            max_size=pool_size,
            init=_speak_jsonb,
            reset=_leave_as_it_is,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=command_seconds,
            server_settings=_SERVER_SETTINGS,
        )
        self._drivers_ready = False
        self._queue = self._pulse.queue(places=pool_size, seconds=QUEUE_SECONDS)

    async def _meet(self) -> None:
        """Learn once what is at the other end. Raises what the driver raises, BusyError and SilentError."""
        await self._meeting.enter()
        try:
            if self._pooled is not None:
                return
            connection = await self._connect(self._url, timeout=CONNECT_TIMEOUT_SECONDS, statement_cache_size=0)
            try:
                with self._pulse.waiting(connection):
                    self._pooled = await _through_pooler(connection)
                    await connection.close()
            finally:
                connection.terminate()
        finally:
            self._meeting.leave()

    async def _ask(self) -> None:
        connection = await asyncpg.connect(self._url, statement_cache_size=0)
        try:
            await connection.execute("SELECT 1")
            await connection.close()
        finally:
            connection.terminate()

    def _session_connects(self, _dialect: Any, _record: Any, _args: Any, options: dict[str, Any]) -> None:
        options["async_creator_fn"] = self._connect
        if self._pooled:
            del options["server_settings"]
            options |= self._through_pooler
            options |= {"prepared_statement_cache_size": 0, "prepared_statement_name_func": str}

    async def _driver_connects(self, *args: Any, **options: Any) -> asyncpg.Connection:
        if self._pooled:
            del options["server_settings"]
            options |= {"connection_class": _PooledConnection, **self._through_pooler}
        return await self._connect(*args, **options)

    async def _connect(self, *args: Any, **options: Any) -> asyncpg.Connection:
        return await self._pulse.connected(asyncpg.connect(*args, **options))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session in a transaction that commits when the block ends and rolls back when it raises."""
        if self._pooled is None:
            await self._meet()
        async with self._sessions() as session:
            async with session.begin():
                yield session
            ringing = session.info.pop(_RINGING, None)
        if ringing:
            await self._ring(ringing)

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[asyncpg.Connection]:
        """The driver's own connection, for a statement that is a transaction by itself.

        Only for the two hot paths, a turn of the chat and the delivery of an alert, where a Core statement costs more
        than everything else (docs/decisions/0004-hot-path.md). A jsonb value goes in as text and comes out as Python.

        Raises TimeoutError when no connection is free in time and when the server is silent.
        """
        if not self._drivers_ready:
            await self._meet()
            await self._drivers  # opens no connection yet, hence never waits
            self._drivers_ready = True
        await self._queue.enter()
        try:
            async with self._drivers.acquire(timeout=DRIVER_TIMEOUT_SECONDS) as connection:
                try:
                    with self._pulse.waiting(connection):
                        yield cast("asyncpg.Connection", connection)
                except TimeoutError:
                    with suppress(asyncpg.InterfaceError):  # it was closed already
                        connection.terminate()  # else giving it back waits for its server too
                    raise
        finally:
            self._queue.leave()

    async def ping(self) -> None:
        """Ask the server for an answer. Raises what the driver raises when there is none."""
        if self._pooled is None:
            await self._meet()
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def dispose(self) -> None:
        """Close every connection. A server that does not say goodbye in time is not waited for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self.engine.dispose()
                if self._drivers_ready:
                    await self._drivers.close()
        await self._pulse.aclose()


_RINGING = "ring_when_committed"


def ring_when_committed(session: AsyncSession, channels: Iterable[str]) -> None:
    """Announce that this transaction made alerts due on `channels`; the doorbell rings if and when it commits."""
    session.info.setdefault(_RINGING, set()).update(channels)


async def driver_of(session: AsyncSession) -> asyncpg.Connection:
    """The driver's connection under a session, for statements of the driver's that belong to its transaction.

    The session must have run a statement before: SQLAlchemy begins the transaction with the first one.
    """
    raw = await (await session.connection()).get_raw_connection()
    return cast("asyncpg.Connection", raw.driver_connection)
