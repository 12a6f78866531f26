"""Bytes as they come: many requests at once, heads and bodies without an end. None of it holds others up or piles."""

import asyncio
import json
import re
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from app.web.admission import MAX_BODY_BYTES
from app.web.server import MAX_HEAD_BYTES, MAX_REQUEST_BYTES
from tests.limits.conftest import sample
from tests.limits.test_overload import blocked, connection, until_closed
from tests.processes import api, eventually

LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
SHORTEST = b"GET / HTTP/1.1\r\n\r\n"
QUOTE = b'{"area_m2": 50, "package": "comfort"}'
ASK_QUOTE = (
    b"POST /v1/quotes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(QUOTE)
)


async def exchange(client: httpx.AsyncClient, *parts: bytes) -> bytes:
    """Send these bytes; everything that comes until the service closes. A service that closes early is no error."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    received = b""
    try:
        with suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
        with suppress(ConnectionError):
            async with asyncio.timeout(60):
                while part := await reader.read(65_536):
                    received += part
    finally:
        writer.transport.abort()
    return received


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


async def test_many_requests_in_one_packet_are_answered_one_by_one_and_hold_nobody_up(
    environment: dict[str, str], tmp_path: Path
) -> None:
    async with api(environment, tmp_path / "api.log") as (_, client):
        before = await blocked(client)
        assert statuses(await exchange(client, LIVE * 1500 + LAST)) == [200] * 1501
        assert set(statuses(await exchange(client, SHORTEST * 3500 + LAST))) == {404, 200}
        assert await sample(client, "event_loop_lag_seconds_count") > 0
        assert await blocked(client) == before


async def test_bodies_arrive_whole_however_requests_are_packed(direct: httpx.AsyncClient) -> None:
    together = (ASK_QUOTE + QUOTE) * 200 + LAST
    for size in (len(together), 1000, 61):
        parts = [together[at : at + size] for at in range(0, len(together), size)]
        assert statuses(await exchange(direct, *parts)) == [200] * 201


async def test_what_was_asked_before_nonsense_is_answered_before_it_is_refused(direct: httpx.AsyncClient) -> None:
    received = await exchange(direct, ASK_QUOTE + QUOTE + LIVE + b"NONSENSE\r\n\r\n")
    assert statuses(received) == [200, 200, 400]
    assert b"malformed-request" in received


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * MAX_HEAD_BYTES * 2,
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * MAX_HEAD_BYTES * 2,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * MAX_HEAD_BYTES,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * MAX_HEAD_BYTES + b"\r\n",
    ],
    ids=["a target", "a header", "headers", "headers that end"],
)
async def test_a_head_without_end_is_refused(direct: httpx.AsyncClient, head: bytes) -> None:
    with connection(direct, head) as raw:
        received = await until_closed(raw)
    assert statuses(received) == [431]
    fields, _, body = received.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in fields.lower()
    problem = json.loads(body)
    assert problem["code"] == "head-too-large"
    assert f"X-Request-ID: {problem['request_id']}".encode() in fields


async def test_a_head_of_the_usual_size_is_read(direct: httpx.AsyncClient) -> None:
    cookies = b"Cookie: " + b"c" * (MAX_HEAD_BYTES // 2) + b"\r\n"
    assert statuses(await exchange(direct, LAST.replace(b"Host", cookies + b"Host"))) == [200]


@pytest.mark.parametrize(
    "chunk", [b"10000\r\n" + b"x" * 65_536 + b"\r\n", b"0\r\nX-Trailer: " + b"x" * 65_536], ids=["body", "trailers"]
)
async def test_a_request_without_end_is_hung_up_on(environment: dict[str, str], tmp_path: Path, chunk: bytes) -> None:
    head = b"POST /v1/quotes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with api(environment, tmp_path / "api.log") as (_, client):
        parts = [chunk if chunk.startswith(b"1") or not number else b"x" * 65_536 for number in range(600)]
        received = await exchange(client, head, *parts)
        assert sum(map(len, parts)) > MAX_REQUEST_BYTES
        assert set(statuses(received)) <= {413}

        async def hung_up() -> bool:
            return await sample(client, "http_connections_closed_total", reason="too_large") == 1

        await eventually(hung_up)


async def test_a_length_of_thousands_of_digits_is_no_accident(direct: httpx.AsyncClient) -> None:
    zeros = b"0" * 4_400
    empty = b"GET /v1/packages HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n" % zeros
    whole = ASK_QUOTE.replace(b"Content-Length: ", b"Content-Length: " + zeros) + QUOTE
    assert statuses(await exchange(direct, empty + whole + LAST)) == [200, 200, 200]
    large = LAST.replace(b"Host", b"Expect: 100-continue\r\nContent-Length: %s%d\r\nHost").replace(b"live", b"ready")
    for length in (MAX_BODY_BYTES + 1, 2**63):
        assert statuses(await exchange(direct, large % (zeros, length))) == [413]
    assert statuses(await exchange(direct, large % (b"9" * 4_400, 9))) == [400]
