"""Following a conversation: what was stored, what comes, and an end for everything."""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy import event

from app.conversations.events import CLIENT_SHARE, PER_CONVERSATION, Feed, StreamsFullError
from app.conversations.events_repository import Head
from app.core.db import Database
from app.main import COMMAND_SECONDS
from app.web.drain import FINISH_SECONDS
from tests.conftest import ADMIN_KEY, OPERATOR
from tests.conversations.events import Event, streaming
from tests.limits.conftest import BEHIND_A_PROXY, from_address, sample
from tests.processes import Running, api, eventually
from tests.talk import open_session, say

PATH = "/v1/chat/events"
SECONDS = 15.0


@pytest.fixture
def environment(database_url: str, redis_url: str) -> dict[str, str]:
    """A service on this test's own servers that follows on one connection."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "ADMIN_API_KEY": ADMIN_KEY,
        "DRAIN_SECONDS": "0",
        "DATABASE_POOL_SIZE": "1",
    }


@pytest.fixture
async def service(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    """That service, and a client of it that waits for as long as a test may take."""
    async with api(environment, tmp_path / "api.log") as (process, client):
        yield process, client


@pytest.fixture
def live(service: tuple[Running, httpx.AsyncClient]) -> httpx.AsyncClient:
    """A client of that service."""
    return service[1]


@asynccontextmanager
async def following(
    client: httpx.AsyncClient, token: dict[str, str], path: str = PATH, **headers: str
) -> AsyncIterator[AsyncIterator[Event]]:
    """An open stream, past its `retry`."""
    async with streaming(client, "GET", path, {**token, **headers}) as events:
        assert (await coming(events)).name == "retry"
        yield events


async def coming(events: AsyncIterator[Event]) -> Event:
    """The next event."""
    async with asyncio.timeout(SECONDS):
        return await anext(events)


async def rest(events: AsyncIterator[Event]) -> list[Event]:
    """Everything until the stream ends."""
    async with asyncio.timeout(SECONDS):
        return [each async for each in events]


async def seqs(events: AsyncIterator[Event], count: int) -> list[int | None]:
    """The ids of the next messages."""
    found = [await coming(events) for _ in range(count)]
    assert {each.name for each in found} == {"message"}
    assert [each.id for each in found] == [each.data["seq"] for each in found]
    return [each.id for each in found]


async def test_what_was_stored_comes_first_and_then_what_comes(live: httpx.AsyncClient) -> None:
    token = await open_session(live)
    stored = len((await say(live, token, "Cześć")).json()["replies"]) + 2
    async with following(live, token) as events:
        assert (await coming(events)).data == {"state": "open"}
        assert await seqs(events, stored) == list(range(1, stored + 1))
        said = (await say(live, token, "Ile kosztuje 52 m2 w pakiecie Premium?")).json()
        assert (await coming(events)).data["text"] == said["message"]["text"]
        for reply in said["replies"]:
            assert (await coming(events)).data == reply


@pytest.mark.parametrize(
    ("query", "header", "first"),
    [("", None, 1), ("?after=1", None, 2), ("", "2", 3), ("?after=1", "2", 3), ("?after=2", "0", 1)],
)
async def test_it_goes_on_after_what_the_client_has(
    live: httpx.AsyncClient, query: str, header: str | None, first: int
) -> None:
    token = await open_session(live)
    await say(live, token, "Cześć")
    headers = {"Last-Event-ID": header} if header else {}
    async with following(live, token, PATH + query, **headers) as events:
        await coming(events)
        assert (await coming(events)).id == first


async def test_a_handoff_is_heard_from_beginning_to_end(live: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(live)
    conversation_id = await sql.fetchval("SELECT id FROM chat_conversations")
    path = f"/v1/conversations/{conversation_id}"
    async with following(live, token, f"{PATH}?after=1") as events:
        assert (await coming(events)).data == {"state": "open"}
        await live.post("/v1/chat/handoff", headers=token)
        assert [(await coming(events)).name for _ in range(2)] == ["state", "message"]
        await live.post(f"{path}/messages", json={"text": "Dzień dobry"}, headers=OPERATOR)
        said = (await coming(events)).data
        assert (said["role"], said["text"]) == ("human", "Dzień dobry")
        await live.post(f"{path}/release", headers=OPERATOR)
        released = await coming(events)
        assert (released.name, released.id, released.data) == ("state", None, {"state": "open"})


@pytest.mark.parametrize("value", ["x", "-1", "4294967296", "1.0"])
async def test_bad_positions_are_refused(live: httpx.AsyncClient, value: str) -> None:
    token = await open_session(live)
    refused = await live.get(PATH, headers={**token, "Last-Event-ID": value})
    assert (refused.status_code, refused.json()["code"]) == (400, "last-event-id-malformed")
    after = value.replace(".0", "a")
    assert (await live.get(PATH, params={"after": after}, headers=token)).status_code == 422
    assert (await live.get(PATH, headers={"Authorization": "Bearer x"})).status_code == 401
    assert (await live.get(PATH)).status_code == 401


async def test_an_erasure_ends_the_stream(live: httpx.AsyncClient) -> None:
    token = await open_session(live)
    async with following(live, token, f"{PATH}?after=1") as events:
        await coming(events)
        assert (await live.delete("/v1/chat", headers=token)).status_code == 204
        [error] = await rest(events)
        assert (error.name, error.data["code"]) == ("error", "session-unknown")
    assert (await live.get(PATH, headers=token)).status_code == 401


async def test_streams_that_wait_take_no_request_s_place_and_no_connection(
    environment: dict[str, str], sql: asyncpg.Connection, tmp_path: Path
) -> None:
    """Two requests at once, one connection to the database, ten streams."""
    async with api(environment | {"MAX_REQUESTS": "2"}, tmp_path / "api.log") as (_, client), AsyncExitStack() as open_:
        tokens = [await open_session(client) for _ in range(10)]
        streams = [await open_.enter_async_context(following(client, token, f"{PATH}?after=1")) for token in tokens]
        for events in streams:
            await coming(events)
        assert await sample(client, "chat_event_streams") == 10
        assert await sample(client, "http_requests_in_flight") == 0
        for token in tokens:
            assert (await say(client, token, "Cześć")).status_code == 201
        for events in streams:
            assert (await coming(events)).data["text"] == "Cześć"
        idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        assert await sql.fetchval(idle) == 0


async def test_one_look_serves_all_streams_and_nobody_looks_when_nobody_watches(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    feed = Feed(database, max_streams=100, seconds=60)
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    for _ in range(20):
        await open_session(client)
    heads = [Head(row["id"], 1, "open") for row in await sql.fetch("SELECT id FROM chat_conversations")]
    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    polling = asyncio.create_task(feed.poll())
    try:
        for _ in range(20):
            await asyncio.sleep(0)
        assert statements == []
        watchers = [feed.open(head, after=1, client=str(head.conversation_id)) for head in heads for _ in range(2)]
        await sql.execute("UPDATE chat_conversations SET state = 'handoff'")
        for watcher in watchers:
            async with asyncio.timeout(SECONDS):
                await watcher.news.wait()
            assert watcher.head.state == "handoff"
        polls = [statement for statement in statements if "chat_conversations" in statement]
        assert len(polls) <= 2, "one that may have come before the change, and one that saw it"
        for watcher in watchers:
            feed.close(watcher)
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)


async def test_a_fourth_stream_of_a_conversation_ends_the_first(live: httpx.AsyncClient) -> None:
    token = await open_session(live)
    async with AsyncExitStack() as open_:
        streams = []
        for _ in range(PER_CONVERSATION + 1):
            events = await open_.enter_async_context(following(live, token, f"{PATH}?after=1"))
            await coming(events)
            streams.append(events)
        assert await rest(streams[0]) == [Event("", None, "another one was opened")]
        await say(live, token, "Cześć")
        for events in streams[1:]:
            assert (await coming(events)).data["text"] == "Cześć"
        assert await sample(live, "chat_event_streams") == PER_CONVERSATION


async def test_beyond_the_bound_a_stream_is_told_to_come_back(environment: dict[str, str], tmp_path: Path) -> None:
    async with api(environment | {"MAX_STREAMS": "2"}, tmp_path / "api.log") as (_, client):
        tokens = [await open_session(client) for _ in range(3)]
        async with following(client, tokens[0]), following(client, tokens[1]):
            refused = await client.get(PATH, headers=tokens[2])
            assert (refused.status_code, refused.json()["code"]) == (503, "streams-full")
            assert refused.headers["Retry-After"] == "5"

        async def there_is_room() -> bool:
            return await sample(client, "chat_event_streams") == 0

        await eventually(there_is_room)
        async with following(client, tokens[2]) as events:
            assert (await coming(events)).name == "state"


async def test_nobody_has_more_than_a_part_of_all_streams(environment: dict[str, str], tmp_path: Path) -> None:
    bounded = environment | BEHIND_A_PROXY | {"MAX_STREAMS": "100"}
    async with api(bounded, tmp_path / "api.log") as (_, client):
        tokens = [await open_session(client) for _ in range(100 // CLIENT_SHARE + 1)]
        for fill, other in (("203.0.113.1", "203.0.113.2"), ("2001:db8:1:{n}::1", "2001:db8:2::1")):
            async with AsyncExitStack() as open_:
                for n, token in enumerate(tokens[1:]):
                    address = from_address(fill.format(n=n))
                    await open_.enter_async_context(following(client, token, **address))
                refused = await client.get(PATH, headers={**tokens[0], **from_address(fill.format(n="ff"))})
                assert (refused.status_code, refused.json()["code"]) == (503, "streams-full")
                assert refused.headers["Retry-After"] == "5"
                async with following(client, tokens[0], **from_address(other)) as events:
                    assert (await coming(events)).name == "state"

        async def there_is_room() -> bool:
            return await sample(client, "chat_event_streams") == 0

        await eventually(there_is_room)
        async with following(client, tokens[0], **from_address("203.0.113.1")) as events:
            assert (await coming(events)).name == "state"


async def test_a_visitor_s_tabs_always_have_room(database: Database) -> None:
    feed = Feed(database, max_streams=6, seconds=60)
    for client in ("a", "b"):
        for _ in range(PER_CONVERSATION):
            feed.open(Head(uuid4(), 1, "open"), after=1, client=client)
    with pytest.raises(StreamsFullError):
        feed.open(Head(uuid4(), 1, "open"), after=1, client="c")


async def test_a_stream_ends_when_its_time_is_over(environment: dict[str, str], tmp_path: Path) -> None:
    async with api(environment | {"STREAM_SECONDS": "1"}, tmp_path / "api.log") as (process, client):
        token = await open_session(client)
        async with following(client, token, f"{PATH}?after=1") as events:
            assert [each.data for each in await rest(events)][-1] == "time to come again"
        assert await sample(client, "chat_event_streams") == 0
        assert "without completing" not in process.output


async def test_sigterm_ends_streams_and_then_the_process(service: tuple[Running, httpx.AsyncClient]) -> None:
    process, client = service
    token = await open_session(client)
    async with following(client, token, f"{PATH}?after=1") as events:
        await coming(events)
        process.send(signal.SIGTERM)
        assert [each.data for each in await rest(events)] == ["the service is about to stop"]
    assert await process.exit_code(seconds=FINISH_SECONDS / 2) == 0


async def test_while_the_database_is_away_streams_stay_and_then_go_on(
    live: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await open_session(live)
    async with following(live, token, f"{PATH}?after=1") as events:
        await coming(events)
        kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'novahouse'"
        assert await sql.fetchval(kill) > 0

        async def said() -> bool:
            return (await say(live, token, "Cześć", client_message_id="a")).status_code in {200, 201}

        await eventually(said, seconds=COMMAND_SECONDS * 2)
        assert (await coming(events)).data["text"] == "Cześć"


@contextmanager
def deaf(client: httpx.AsyncClient, token: dict[str, str], path: str = PATH) -> Iterator[socket.socket]:
    """A client that opens a stream and never reads it."""
    address = urlsplit(str(client.base_url))
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect((address.hostname, address.port))
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token['Authorization']}\r\n\r\n".encode())
        yield raw


def resident(process: Running) -> int:
    """Bytes of memory that a process holds."""
    pages = Path(f"/proc/{process.process.pid}/statm").read_text().split()[1]
    return int(pages) * 4096


async def talkative(sql: asyncpg.Connection, messages: int) -> None:
    """Fill every conversation up to so many long messages."""
    await sql.execute(
        "INSERT INTO chat_messages (conversation_id, seq, id, role, type, text) "
        "SELECT c.id, n, gen_random_uuid(), 'bot', 'text', repeat('ą', 2000) "
        "FROM chat_conversations c, generate_series(2, $1) n",
        messages,
    )
    await sql.execute("UPDATE chat_conversations SET last_seq = $1", messages)


async def test_who_never_reads_is_hung_up_on_and_costs_next_to_nothing(
    environment: dict[str, str], sql: asyncpg.Connection, tmp_path: Path
) -> None:
    """Thirty streams of sixteen megabytes each that nobody reads, and somebody else who is served meanwhile."""
    async with api(environment | {"RECEIVE_SECONDS": "1", "MAX_STREAMS": "1000"}, tmp_path / "api.log") as (
        process,
        client,
    ):
        tokens = [await open_session(client) for _ in range(10)]
        await talkative(sql, 4000)
        other = await open_session(client)
        await say(client, other, "Cześć")
        highest = before = resident(process)
        with ExitStack() as open_:
            for token in tokens * PER_CONVERSATION:
                open_.enter_context(deaf(client, token))

            async def hung_up() -> bool:
                nonlocal highest
                highest = max(highest, resident(process))
                assert (await say(client, other, "Cześć")).status_code == 201
                closed = await sample(client, "http_connections_closed_total", reason="unread")
                return closed == len(tokens) * PER_CONVERSATION and await sample(client, "chat_event_streams") == 0

            await eventually(hung_up, every=0.1)
        assert highest - before < 64 * 2**20
        assert await sample(client, "http_requests_in_flight") == 0


async def test_who_reads_slowly_is_not_taken_for_somebody_who_does_not_read(
    environment: dict[str, str], sql: asyncpg.Connection, tmp_path: Path
) -> None:
    """More than the kernel takes, slower than we write, and never silent for RECEIVE_SECONDS."""
    async with api(environment | {"RECEIVE_SECONDS": "0.5"}, tmp_path / "api.log") as (_, client):
        token = await open_session(client)
        await talkative(sql, 4000)
        loop = asyncio.get_running_loop()
        with deaf(client, token) as raw:
            raw.setblocking(False)
            received = 0
            until = time.monotonic() + 6
            while time.monotonic() < until:
                async with asyncio.timeout(SECONDS):
                    part = await loop.sock_recv(raw, 65_536)
                assert part
                received += len(part)
                await asyncio.sleep(0.005)
            assert await sample(client, "http_connections_closed_total", reason="unread") == 0
            assert await sample(client, "chat_event_streams") == 1
        assert received < 4000 * 4000, "it was read before it could be slow"


async def test_who_leaves_is_forgotten_at_once(live: httpx.AsyncClient) -> None:
    token = await open_session(live)
    with deaf(live, token):

        async def open_streams() -> float:
            return await sample(live, "chat_event_streams")

        async def one() -> bool:
            return await open_streams() == 1

        await eventually(one)

    async def none() -> bool:
        return await open_streams() == 0

    await eventually(none, seconds=5)
