"""The database: one engine, one place that commits, one way to hear that a commit happened."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any, TypeAlias, cast

import asyncpg
import orjson
from sqlalchemy import DateTime, MetaData, Row, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from app.core.silence import Watch, Watched

CONNECT_TIMEOUT_SECONDS = 2.0
POOL_TIMEOUT_SECONDS = 2.0
DRIVER_TIMEOUT_SECONDS = 1.0
"""To connect, and to give back a connection whose server fell silent: the queue before them is fair, nothing waits."""
CLOSE_TIMEOUT_SECONDS = 2.0
SILENT_SECONDS = 1.0
"""For how long after a statement that was not answered in time those in the queue are not sent after it."""
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


async def _through_pooler(url: str) -> bool:
    """Whether a pooler such as PgBouncer stands between: then the server that answers is not the one that we called.

    Raises what asyncpg raises when nobody answers.
    """
    connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_SECONDS, statement_cache_size=0)
    try:
        async with connection.transaction():
            answering = await connection.fetchval("SELECT pg_backend_pid()")
        return bool(answering != connection.get_server_pid())
    finally:
        await connection.close(timeout=CLOSE_TIMEOUT_SECONDS)


async def _leave_as_it_is(_connection: asyncpg.Connection) -> None:
    """What is done to a connection that comes back: nothing, since a lone statement leaves nothing behind."""


async def _nobody_listens(_channels: Collection[str]) -> None:
    """What a process does with rings when it has no doorbell: the sweeper finds the rows."""


class Database:
    """One process's way to PostgreSQL: up to `pool_size` connections for sessions, and as many for the driver alone.

    `ring` is awaited with the channels announced by `ring_when_committed`, after the commit and outside the
    transaction; it must not raise.

    `command_seconds` bounds how long one statement is waited for: then TimeoutError is raised. It also has a server
    that falls silent noticed, within about SILENT_AFTER_SECONDS, whatever is waited for. Without it the server's own
    limit holds, as long as the server answers.

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
    ) -> None:
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
                "command_timeout": command_seconds,
                "server_settings": _SERVER_SETTINGS,
            },
        )
        event.listen(self.engine.sync_engine, "do_connect", self._session_connects)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._url = _plain_url(url)
        self._watch = Watch(self._url) if command_seconds is not None else None
        self._pooled: bool | None = None
        self._through_pooler: Mapping[str, Any] = {
            "statement_cache_size": 0,
            "command_timeout": command_seconds or STATEMENT_TIMEOUT_MS / 1000,
        }
        """How to speak through one: nothing stays prepared, and the client is who ends what takes too long."""
        self._meeting = asyncio.Lock()
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
        # the pool hands a free connection to whoever comes, past those who wait; this queue is fair
        self._turn = asyncio.Semaphore(pool_size)
        self._silent_until = 0.0

    async def _meet(self) -> None:
        """Learn once what is at the other end."""
        async with self._meeting:
            if self._pooled is None:
                self._pooled = await _through_pooler(self._url)

    def _session_connects(self, _dialect: Any, _record: Any, _args: Any, options: dict[str, Any]) -> None:
        if self._pooled:
            del options["server_settings"]
            options |= self._through_pooler
            options |= {"prepared_statement_cache_size": 0, "prepared_statement_name_func": str}

    async def _driver_connects(self, *args: Any, **options: Any) -> asyncpg.Connection:
        if self._pooled:
            del options["server_settings"]
            options |= {"connection_class": _PooledConnection, **self._through_pooler}
        return await asyncpg.connect(*args, **options)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session in a transaction that commits when the block ends and rolls back when it raises."""
        if self._pooled is None:
            await self._meet()
        async with self._sessions() as session:
            with ExitStack() as watched:  # outside of what commits, which waits for the server too
                async with session.begin():
                    if self._watch is not None:
                        await _connect(session, watched.enter_context(self._watch.over()))
                    yield session
            ringing = session.info.pop(_RINGING, None)
        if ringing:
            await self._ring(ringing)

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[asyncpg.Connection]:
        """The driver's own connection, for a statement that is a transaction by itself.

        Only for the two hot paths, a turn of the chat and the delivery of an alert, where a Core statement costs more
        than everything else (docs/decisions/0004-hot-path.md). A jsonb value goes in as text and comes out as Python.

        Raises TimeoutError when no connection is free in time, and to everybody in the queue once the server has left a
        statement unanswered: each in turn would wait in vain as long.
        """
        loop = asyncio.get_running_loop()
        if not self._drivers_ready:
            await self._meet()
            await self._drivers  # opens no connection yet, hence never waits
            self._drivers_ready = True
        if self._turn.locked():
            async with asyncio.timeout(POOL_TIMEOUT_SECONDS):
                await self._turn.acquire()
            if loop.time() < self._silent_until:
                self._turn.release()
                raise TimeoutError
        else:
            await self._turn.acquire()
        try:
            async with self._drivers.acquire(timeout=DRIVER_TIMEOUT_SECONDS) as connection:
                try:
                    yield cast("asyncpg.Connection", connection)
                except TimeoutError:
                    connection.terminate()  # else giving it back waits for its server too
                    raise
        except TimeoutError:
            self._silent_until = loop.time() + SILENT_SECONDS
            raise
        finally:
            self._turn.release()

    async def ping(self) -> None:
        """Ask the server for an answer. Raises what the driver raises when there is none."""
        if self._pooled is None:
            await self._meet()
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def dispose(self) -> None:
        """Close every connection."""
        if self._watch is not None:
            await self._watch.aclose()
        await self.engine.dispose()
        if not self._drivers_ready:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self._drivers.close()
        except TimeoutError:
            self._drivers.terminate()


_RINGING = "ring_when_committed"


def ring_when_committed(session: AsyncSession, channels: Iterable[str]) -> None:
    """Announce that this transaction made alerts due on `channels`; the doorbell rings if and when it commits."""
    session.info.setdefault(_RINGING, set()).update(channels)


async def _connect(session: AsyncSession, watched: Watched) -> None:
    """Have a session take its connection. Raises TimeoutError when the server is silent."""
    async with asyncio.timeout(None) as waiting:
        watched.ends_by(partial(waiting.reschedule, 0))
        connection = await driver_of(session)
    watched.ends_by(connection.terminate)


async def driver_of(session: AsyncSession) -> asyncpg.Connection:
    """The driver's connection under a session, for statements of the driver's that belong to its transaction.

    The session must have run a statement before: SQLAlchemy begins the transaction with the first one.
    """
    raw = await (await session.connection()).get_raw_connection()
    return cast("asyncpg.Connection", raw.driver_connection)
