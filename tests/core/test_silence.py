"""A PostgreSQL that says nothing: everybody is told within two seconds, and what is only slow goes on."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from signal import Signals
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy import text

from app.core.db import DATABASE_ERRORS, Database, driver_of
from app.core.pulse import BusyError, Pulse, SilentError
from app.core.settings import Settings
from app.devstack.postgres import EmbeddedPostgres
from tests.conftest import ADMIN_KEY, OPERATOR
from tests.core.pooler import Pooler
from tests.limits.conftest import sample
from tests.listening import listening
from tests.processes import api, eventually
from tests.talk import open_session, say

SILENCE_SECONDS = 0.6
FROZEN_SECONDS = 4
"""Two are meant, and the code's own bound is 1.4 s; a busy machine may take longer."""
PARALLEL = 50
ASKING = 5


@pytest.fixture
async def impatient(database_url: str) -> AsyncIterator[Database]:
    """The service's way to the database, in more of a hurry."""
    own = Database(Settings(database_url=database_url).database_url, pool_size=2, silence_seconds=SILENCE_SECONDS)
    yield own
    await own.dispose()


@contextmanager
def frozen(postgres: EmbeddedPostgres) -> Iterator[None]:
    """PostgreSQL while it says nothing."""
    postgres.suspend()
    try:
        yield
    finally:
        postgres.resume()


async def in_session(database: Database, statement: str) -> object:
    async with database.transaction() as session:
        return (await session.execute(text(statement))).scalar()


async def on_driver(database: Database, statement: str) -> object:
    async with database.driver() as connection:
        return await connection.fetchval(statement)


Way = Callable[[Database, str], Awaitable[object]]
WAYS: tuple[Way, ...] = (in_session, on_driver)


def asked(client: httpx.AsyncClient, token: dict[str, str]) -> tuple[Awaitable[httpx.Response], ...]:
    """One of everything."""
    address = {"email": "ktos@przyklad.pl"}
    return (
        client.get("/v1/leads", headers=OPERATOR),
        client.get("/v1/leads", headers={"Authorization": f"Bearer nh_aaaaaaaa_{'x' * 43}"}),
        client.get("/v1/leads.csv", headers=OPERATOR),
        client.get("/v1/status", headers=OPERATOR),
        client.get("/v1/audit?email=ktos@przyklad.pl", headers=OPERATOR),
        client.post("/v1/dead-letters/retry", json={}, headers=OPERATOR),
        client.post("/v1/unsubscribe", json=address),
        client.post("/v1/privacy/requests", json={"type": "access", **address}),
        client.post("/v1/chat/sessions"),
        say(client, token, "ile kosztuje premium?"),
        client.get("/v1/chat/messages", headers=token),
        client.get("/v1/chat/events", headers=token),
        client.get("/v1/chat/export", headers=token),
        client.get("/v1/consent", headers=token),
        client.delete("/v1/consent/rodo", headers=token),
        client.post("/v1/chat/contact", json={"phone": "691222333"}, headers=token),
        client.post("/v1/chat/handoff", json={}, headers=token),
    )


async def test_whatever_is_asked_of_a_frozen_postgresql_is_a_503_soon_and_answered_when_it_is_back(
    database_url: str, redis_url: str, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "ADMIN_API_KEY": ADMIN_KEY}
    async with api(environment | {"DRAIN_SECONDS": "0"}, tmp_path / "api.log") as (process, client):
        tokens = [await open_session(client) for _ in range(PARALLEL // 16)]
        for _ in range(2):
            with frozen(postgres):
                began = time.monotonic()
                refused = await asyncio.gather(*(request for token in tokens for request in asked(client, token)))
                took = time.monotonic() - began
                assert {response.status_code for response in refused} == {503}
                assert {response.json()["code"] for response in refused} == {"database-unavailable"}
                assert all(int(response.headers["Retry-After"]) > 0 for response in refused)
                assert took < FROZEN_SECONDS
                began = time.monotonic()
                assert (await client.get("/health/live")).status_code == 200
                assert (await client.get("/health/ready")).status_code == 503
                assert await sample(client, "database_up") == 0
                assert await sample(client, "http_requests_in_flight") == 0
                assert time.monotonic() - began < FROZEN_SECONDS

            async def answers() -> bool:
                return (await client.get("/v1/leads", headers=OPERATOR)).status_code == 200

            await eventually(answers, seconds=5)
            assert (await say(client, tokens[0], "ile kosztuje premium?")).status_code == 201
            assert (await client.get("/health/ready")).status_code == 200
        assert "Traceback" not in process.output


async def test_health_and_numbers_say_so_when_nobody_noticed_yet(
    database_url: str, redis_url: str, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "DRAIN_SECONDS": "0"}
    async with api(environment, tmp_path / "api.log") as (_, client):
        with frozen(postgres):
            began = time.monotonic()
            ready, numbers = await asyncio.gather(client.get("/health/ready"), client.get("/metrics"))
            assert time.monotonic() - began < FROZEN_SECONDS
        assert ready.status_code == 503
        assert "\ndatabase_up 0.0\n" in numbers.text


async def test_whatever_is_asked_of_a_postgresql_that_lets_nobody_in_is_a_503(
    database_url: str, redis_url: str, postgres: EmbeddedPostgres, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    name = await sql.fetchval("SELECT current_database()")
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "ADMIN_API_KEY": ADMIN_KEY}
    async with api(environment | {"DRAIN_SECONDS": "0"}, tmp_path / "api.log") as (process, client):
        token = await open_session(client)
        admin = await asyncpg.connect(postgres.url_of("postgres"))
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> $2",
                name,
                sql.get_server_pid(),
            )
            refused = await asyncio.gather(*asked(client, token))
        finally:
            await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            await admin.close()
        assert {response.status_code for response in refused} == {503}
        assert {response.json()["code"] for response in refused} == {"database-unavailable"}
        assert (await say(client, token, "ile kosztuje premium?")).status_code == 201
        assert "[error" not in process.output


async def test_an_exhausted_pool_of_a_server_that_answers_is_a_503_too(
    database_url: str, redis_url: str, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "ADMIN_API_KEY": ADMIN_KEY}
    more = {"DRAIN_SECONDS": "0", "DATABASE_POOL_SIZE": "4"}
    async with api(environment | more, tmp_path / "api.log") as (_, client):
        async with sql.transaction():
            await sql.execute("LOCK TABLE leads")
            holding = [asyncio.ensure_future(client.get("/v1/leads", headers=OPERATOR)) for _ in range(4)]
            await eventually(lambda: waiting_for_locks(sql, 4))
            began = time.monotonic()
            refused = await asyncio.gather(*(client.get("/v1/leads", headers=OPERATOR) for _ in range(PARALLEL)))
            assert time.monotonic() - began < FROZEN_SECONDS
            assert {response.status_code for response in refused} == {503}
            assert {response.headers["Retry-After"] for response in refused} == {"2"}
        assert {response.status_code for response in await asyncio.gather(*holding)} == {200}


async def waiting_for_locks(sql: asyncpg.Connection, number: int) -> bool:
    return bool(await sql.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") == number)


async def test_all_who_wait_for_a_frozen_server_are_told_at_once(
    impatient: Database, postgres: EmbeddedPostgres
) -> None:
    """Two of each way wait for a statement, the others in the queue."""
    for way in WAYS:
        await way(impatient, "SELECT 1")
    with frozen(postgres):
        began = time.monotonic()
        told = await asyncio.gather(
            *(way(impatient, "SELECT 1") for way in WAYS for _ in range(10)), return_exceptions=True
        )
        assert time.monotonic() - began < FROZEN_SECONDS
        assert all(isinstance(error, DATABASE_ERRORS) for error in told)
        assert sum(isinstance(error, SilentError) for error in told) >= 16
        for way in WAYS:
            began = time.monotonic()
            with pytest.raises(SilentError):
                await way(impatient, "SELECT 1")
            assert time.monotonic() - began < SILENCE_SECONDS / 2
    await eventually(lambda: answers(impatient), seconds=5)
    assert await asyncio.gather(*(way(impatient, "SELECT 1") for way in WAYS for _ in range(10))) == [1] * 20


@asynccontextmanager
async def falling_silent(url: str, *, after: int) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that is said so much to and then says nothing more, to nobody; with how much each thing said was."""
    parts = urlsplit(url.replace("postgresql+asyncpg://", "postgresql://"))
    said: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        answering = asyncio.create_task(answer(there, writer))
        try:
            while words := await reader.read(65_536):
                said.append(len(words))
                if len(said) <= after:
                    back.write(words)
        finally:
            answering.cancel()
            back.close()

    async def answer(there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while words := await there.read(65_536):
            writer.write(words)
        writer.close()

    async with listening(talk) as port:
        yield urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}")), said


@pytest.mark.parametrize("way", WAYS)
async def test_a_server_that_falls_silent_at_any_word_is_given_up(database_url: str, way: Way) -> None:
    """Not only when a statement is waited for: when it is met, at the connection's first words, at the last ones."""

    async def ask(after: int) -> tuple[list[object], int]:
        async with falling_silent(database_url, after=after) as (url, said):
            own = Database(Settings(database_url=url).database_url, pool_size=2, silence_seconds=SILENCE_SECONDS)
            try:
                async with asyncio.timeout(FROZEN_SECONDS):
                    asked = (way(own, "SELECT 1") for _ in range(ASKING))
                    return await asyncio.gather(*asked, return_exceptions=True), len(said)
            finally:
                async with asyncio.timeout(FROZEN_SECONDS):
                    await own.dispose()

    told, words = await ask(sys.maxsize)
    assert told == [1] * len(told)
    assert words > 10, "it is met, and two connections are made"
    for after, (told, _) in enumerate(await asyncio.gather(*(ask(after) for after in range(words)))):
        assert all(answer == 1 or isinstance(answer, DATABASE_ERRORS) for answer in told), (after, told)


@pytest.mark.parametrize("way", WAYS)
async def test_connections_that_something_between_forgot_are_given_up(database_url: str, way: Way) -> None:
    """A firewall that lets new ones through: the server answers whoever asks it anew, so it is not silent."""
    parts = urlsplit(database_url.replace("postgresql+asyncpg://", "postgresql://"))
    known: set[asyncio.StreamWriter] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        known.add(writer)

        async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with closing(target):
                while words := await source.read(65_536):
                    if writer in known:
                        target.write(words)

        await asyncio.gather(pass_on(reader, back), pass_on(there, writer))

    async with listening(talk) as port:
        url = urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}"))
        own = Database(url.replace("postgresql://", "postgresql+asyncpg://"), pool_size=1, command_seconds=1)
        try:
            assert await way(own, "SELECT 1") == 1
            known.clear()
            async with asyncio.timeout(FROZEN_SECONDS):
                with pytest.raises(DATABASE_ERRORS):
                    await way(own, "SELECT 1")
                assert await way(own, "SELECT 1") == 1
        finally:
            await own.dispose()


async def answers(database: Database) -> bool:
    try:
        return await in_session(database, "SELECT 1") == 1
    except SilentError:
        return False


async def test_whoever_connects_to_a_frozen_server_is_told_as_soon(
    impatient: Database, postgres: EmbeddedPostgres
) -> None:
    await in_session(impatient, "SELECT 1")
    with frozen(postgres):
        began = time.monotonic()
        with pytest.raises(SilentError):
            await on_driver(impatient, "SELECT 1")
        assert time.monotonic() - began < FROZEN_SECONDS


async def test_a_process_that_ends_does_not_wait_for_a_frozen_server(
    impatient: Database, postgres: EmbeddedPostgres
) -> None:
    """Its connections are idle, so nobody has noticed."""
    await asyncio.gather(*(way(impatient, "SELECT pg_sleep(0.1)") for way in WAYS for _ in range(2)))
    with frozen(postgres):
        async with asyncio.timeout(FROZEN_SECONDS):
            await impatient.dispose()


@pytest.mark.parametrize("way", WAYS)
async def test_a_slow_statement_of_a_server_that_answers_goes_on(impatient: Database, way: Way) -> None:
    assert await way(impatient, f"SELECT 1 FROM pg_sleep({4 * SILENCE_SECONDS})") == 1


@pytest.mark.parametrize("way", WAYS)
async def test_a_slow_statement_of_a_server_that_freezes_is_given_up(
    impatient: Database, postgres: EmbeddedPostgres, sql: asyncpg.Connection, way: Way
) -> None:
    """A statement that lasts longer than anybody looks: it is the server's silence that ends it."""
    statement = f"SELECT pg_sleep(60) /* {uuid4()} */"
    slow = asyncio.ensure_future(way(impatient, statement))
    await eventually(lambda: sleeping(sql, statement))
    with frozen(postgres):
        began = time.monotonic()
        with pytest.raises(DATABASE_ERRORS):
            await slow
        assert time.monotonic() - began < FROZEN_SECONDS
    await eventually(lambda: answers(impatient), seconds=5)


async def sleeping(sql: asyncpg.Connection, statement: str) -> bool:
    """Whether this one sleeps: others may go on long after whoever asked has gone."""
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query = $1"
    return bool(await sql.fetchval(asleep, statement))


async def test_a_refusal_is_an_answer(impatient: Database, postgres: EmbeddedPostgres, sql: asyncpg.Connection) -> None:
    """A server that lets nobody in lives, and those who are in are served."""
    name = await sql.fetchval("SELECT current_database()")
    admin = await asyncpg.connect(postgres.url_of("postgres"))
    statement = f"SELECT 1 FROM pg_sleep({4 * SILENCE_SECONDS}) /* {uuid4()} */"
    slow = asyncio.ensure_future(in_session(impatient, statement))
    await eventually(lambda: sleeping(sql, statement))
    await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        assert await slow == 1
    finally:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await admin.close()


async def test_a_server_that_answers_anybody_is_not_silent(impatient: Database, postgres: EmbeddedPostgres) -> None:
    """One that lets newcomers wait: here the process that takes connections is frozen, and those that serve are not."""
    await asyncio.gather(*(in_session(impatient, "SELECT pg_sleep(0.1)") for _ in range(2)))
    postgres.process.send(Signals.SIGSTOP)
    try:
        slow = asyncio.ensure_future(in_session(impatient, f"SELECT 1 FROM pg_sleep({4 * SILENCE_SECONDS})"))
        while not slow.done():
            assert await in_session(impatient, "SELECT 2 FROM pg_sleep(0.05)") == 2
        assert await slow == 1
    finally:
        postgres.process.send(Signals.SIGCONT)


async def test_a_slow_statement_through_a_pooler_goes_on_and_a_frozen_server_behind_it_is_noticed(
    database_url: str, postgres: EmbeddedPostgres
) -> None:
    async with Pooler(database_url).listening() as pooler:
        own = Database(Settings(database_url=pooler.url).database_url, pool_size=2, silence_seconds=SILENCE_SECONDS)
        try:
            for way in WAYS:
                assert await way(own, f"SELECT 1 FROM pg_sleep({2 * SILENCE_SECONDS})") == 1
            with frozen(postgres):
                began = time.monotonic()
                told = await asyncio.gather(*(way(own, "SELECT 1") for way in WAYS), return_exceptions=True)
                assert time.monotonic() - began < FROZEN_SECONDS
                assert all(isinstance(error, DATABASE_ERRORS) for error in told)
            await eventually(lambda: answers(own), seconds=5)
        finally:
            await own.dispose()


async def test_a_connection_that_the_server_closed_is_replaced_before_anybody_gets_it(
    impatient: Database, sql: asyncpg.Connection
) -> None:
    async with impatient.transaction() as session:
        pid = (await session.execute(text("SELECT pg_backend_pid()"))).scalar()
        connection = await driver_of(session)
    await sql.execute("SELECT pg_terminate_backend($1)", pid)

    async def closed() -> bool:
        return connection.is_closed()

    await eventually(closed)
    assert await in_session(impatient, "SELECT 1") == 1


async def test_who_comes_first_is_served_first_and_nobody_waits_for_ever(impatient: Database) -> None:
    queue = Pulse(impatient.ping, silence_seconds=SILENCE_SECONDS).queue(places=1, seconds=0.2)
    served = []

    async def wait(number: int) -> None:
        await queue.enter()
        served.append(number)
        queue.leave()

    assert queue.enter_at_once()
    waiting = [asyncio.create_task(wait(number)) for number in range(4)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    queue.leave()
    waiting[0].cancel()  # just when it was its turn
    assert not queue.enter_at_once()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert served == [2, 3]
    assert queue.enter_at_once()
    with pytest.raises(BusyError):
        await queue.enter()
    queue.leave()
    assert queue.enter_at_once()
