"""Clients that leave, whenever and however: nothing goes on for them, and nothing about them is an error."""

import asyncio
import signal
import socket
import struct
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.limits.conftest import sample
from tests.limits.test_overload import connection, until_closed
from tests.limits.test_parsing import ASK_SESSION, BEGUN, LIVE, exchange, statuses
from tests.processes import api, eventually
from tests.talk import open_session

FOLLOW = b"GET /v1/chat/events HTTP/1.1\r\nHost: x\r\nAuthorization: %b\r\n\r\n"
ENDLESS_HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nX-Much: " + b"a" * 20_000
HALF_A_CHUNK = b"POST /v1/quotes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"


async def is_sampled(client: httpx.AsyncClient, name: str, value: float) -> bool:
    return await sample(client, name) == value


async def test_who_leaves_in_the_middle_is_no_mistake_of_ours(environment: dict[str, str], tmp_path: Path) -> None:
    async with api(environment | {"RECEIVE_SECONDS": "60"}, tmp_path / "api.log") as (process, client):
        for _ in range(20):
            with connection(client, BEGUN):
                pass

        async def gone() -> bool:
            return await sample(client, "http_connections") == 1

        await eventually(gone)
        assert "request_failed" not in process.output
        assert "Traceback" not in process.output


async def test_who_leaves_with_requests_waiting_is_no_mistake_of_ours(
    environment: dict[str, str], tmp_path: Path, sql: asyncpg.Connection
) -> None:
    """The request that is answered then is not the one that came last."""
    async with api(environment | {"DRAIN_SECONDS": "0"}, tmp_path / "api.log") as (process, client):
        async with sql.transaction():
            await sql.execute("LOCK TABLE chat_conversations")
            with connection(client, ASK_SESSION + LIVE) as raw:
                await eventually(lambda: is_sampled(client, "http_requests_in_flight", 1))
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await eventually(lambda: is_sampled(client, "http_connections", 1))
        await eventually(lambda: is_sampled(client, "http_requests_in_flight", 0))
        process.send(signal.SIGTERM)
        assert await process.exit_code() == 0
        assert "[error" not in process.output, process.output


def leave(raw: socket.socket, way: str) -> None:
    if way == "says no more":
        raw.shutdown(socket.SHUT_WR)
        return
    if way == "is reset":
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()


@pytest.mark.parametrize("way", ["says no more", "is gone", "is reset"])
async def test_a_stream_ends_with_its_client_whatever_that_asked_for_besides(
    environment: dict[str, str], tmp_path: Path, way: str
) -> None:
    async with api(environment, tmp_path / "api.log") as (process, client):
        token = await open_session(client)
        follow = FOLLOW % token["Authorization"].encode()
        for at_once, later in [
            (LIVE, b""),
            (LIVE * 300, b""),
            (b"NONSENSE\r\n\r\n", b""),
            (BEGUN, b"{"),
            (ENDLESS_HEAD, LIVE),
            (b"", LIVE),
            (b"", b"NONSENSE\r\n\r\n"),
        ]:
            with connection(client, follow + at_once) as raw:
                await eventually(lambda: is_sampled(client, "chat_event_streams", 1))
                raw.sendall(later)
                leave(raw, way)
                await eventually(lambda: is_sampled(client, "chat_event_streams", 0), seconds=5)
            await eventually(lambda: is_sampled(client, "http_connections", 1), seconds=5)
        assert "[error" not in process.output, process.output


@pytest.mark.parametrize("before", [b"", LIVE * 3], ids=["at once", "after others"])
async def test_whoever_says_no_more_gets_no_stream(environment: dict[str, str], tmp_path: Path, before: bytes) -> None:
    async with api(environment, tmp_path / "api.log") as (process, client):
        token = await open_session(client)
        follow = FOLLOW % token["Authorization"].encode()
        with connection(client, before + follow) as raw:
            raw.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(5):
                assert statuses(await until_closed(raw))[: before.count(b"GET")] == [200] * before.count(b"GET")
        await eventually(lambda: is_sampled(client, "chat_event_streams", 0), seconds=5)
        assert "[error" not in process.output, process.output


async def test_whoever_talks_without_end_to_a_stream_is_hung_up_on(environment: dict[str, str], tmp_path: Path) -> None:
    async with api(environment, tmp_path / "api.log") as (_, client):
        token = await open_session(client)
        follow = FOLLOW % token["Authorization"].encode()
        _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(follow)

        async def talk() -> None:
            while True:
                writer.write(LIVE * 300)
                await writer.drain()

        with pytest.raises(ConnectionError):
            await talk()
        assert await sample(client, "http_connections_closed_total", reason="too_large") == 1


@pytest.mark.parametrize("unfinished", [b"GET / HT", BEGUN, HALF_A_CHUNK])
async def test_what_is_whole_is_answered_though_what_follows_never_will_be(
    direct: httpx.AsyncClient, unfinished: bytes
) -> None:
    for whole in (1, 3):
        reader, writer = await asyncio.open_connection(direct.base_url.host, direct.base_url.port)
        writer.write(ASK_SESSION * whole + unfinished)
        writer.write_eof()
        async with asyncio.timeout(5):
            assert statuses(await reader.read()) == [201] * whole
        writer.close()


async def test_a_line_of_the_log_names_no_other_request(environment: dict[str, str], tmp_path: Path) -> None:
    async with api(environment, tmp_path / "api.log") as (process, client):
        named = ASK_SESSION.replace(b"Host: x", b"Host: x\r\nX-Request-ID: the-one-before")
        long = b"GET /" + b"a" * 3_900 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
        assert statuses(await exchange(client, named + named + long + b"NONSENSE\r\n\r\n")) == [201, 201, 404, 400]
        [refused] = (line for line in process.output.splitlines() if "connection_refused" in line)
        [warned] = (line for line in process.output.splitlines() if "Invalid HTTP request" in line)
        for line in (refused, warned):
            assert "the-one-before" not in line
            assert "trace_id" not in line
            assert "client_hash" not in line
