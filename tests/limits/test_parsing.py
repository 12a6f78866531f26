"""Bytes as they come: many requests at once, heads and bodies without an end. None of it holds others up or piles."""

import asyncio
import json
import re
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from app.web.bodies import MAX_BODY_BYTES
from app.web.protocol import MAX_HEAD_BYTES, MAX_REQUEST_BYTES
from tests.limits.conftest import BEHIND_A_PROXY, PRODUCTION, SMALL, sample
from tests.limits.test_overload import blocked, connection, until_closed
from tests.processes import api, eventually

LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
SHORTEST = b"GET / HTTP/1.1\r\nHost:x\r\n\r\n"
QUOTE = b'{"area_m2": 50, "package": "comfort"}'
ASK_SESSION = b"POST /v1/chat/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
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
        assert set(statuses(await exchange(client, SHORTEST * 2500 + LAST))) == {404, 200}
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
    assert f"x-request-id: {problem['request_id']}".encode() in fields


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


UPGRADE = b"Host: x\r\nConnection: Upgrade\r\nUpgrade: h2c"
BEGUN = b"POST /v1/quotes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"


async def test_trailers_are_no_headers(environment: dict[str, str], tmp_path: Path) -> None:
    """A proxy in front looks at headers only: in a trailer, anybody could be anybody."""
    async with api(environment | SMALL | BEHIND_A_PROXY, tmp_path / "api.log") as (_, client):
        ask = (
            b"POST /v1/quotes HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 8.8.8.8\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n"
            b"X-Forwarded-For: 8.8.4.%d\r\nX-Request-ID: from-a-trailer\r\nHost: elsewhere\r\n\r\n"
        )
        received = await exchange(client, *(ask % (len(QUOTE), QUOTE, number) for number in range(8)), LAST)
        assert statuses(received) == [200] * 6 + [429] * 2 + [200]
        assert b"from-a-trailer" not in received


async def test_who_says_no_more_still_gets_an_answer(direct: httpx.AsyncClient) -> None:
    reader, writer = await asyncio.open_connection(direct.base_url.host, direct.base_url.port)
    writer.write((ASK_QUOTE + QUOTE) * 50)
    writer.write_eof()
    assert statuses(await reader.read()) == [200] * 50
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"GET /health/live HTTP/1.1\r\n\r\n", [400]),
        (b"GET /health/live HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", [400]),
        (b"GET /health/live HTTP/1.0\r\n\r\n", [200]),
        (b"GET http://elsewhere.example/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", [200]),
        (LIVE.replace(b"Host: x", UPGRADE) + b"PRI * HTTP/2.0\r\n", [200]),
        (ASK_QUOTE.replace(b"Host: x", UPGRADE) + QUOTE, [400]),
        (b"FROB /v1/packages HTTP/1.1\r\nHost: x\r\n\r\n", [405]),
        (b"get /v1/packages HTTP/1.1\r\nHost: x\r\n\r\n", [405]),
        (b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", [400]),
    ],
    ids=[
        "no host",
        "two hosts",
        "HTTP/1.0",
        "absolute",
        "upgrade",
        "upgrade with a body",
        "a method of nobody",
        "lower case",
        "a tunnel",
    ],
)
async def test_what_is_understood_in_two_ways_is_refused(
    direct: httpx.AsyncClient, head: bytes, found: list[int]
) -> None:
    received = await exchange(direct, head)
    assert statuses(received) == found
    fields = received.partition(b"\r\n\r\n")[0].lower()
    for header in (b"x-request-id", b"x-content-type-options", b"content-security-policy", b"referrer-policy"):
        assert b"\r\n%b: " % header in fields
    assert (b"\r\nallow: " in fields) == (found == [405])


async def test_the_host_of_an_absolute_target_counts(environment: dict[str, str], tmp_path: Path) -> None:
    async with api(environment | PRODUCTION, tmp_path / "api.log") as (_, client):
        ask = b"GET http://%b/v1/packages HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n"
        assert statuses(await exchange(client, ask % (b"elsewhere.example", b"api.example.com"))) == [400]
        assert statuses(await exchange(client, ask % (b"api.example.com", b"elsewhere.example"))) == [200]


async def test_bodies_that_trickle_in_take_nobodys_place(environment: dict[str, str], tmp_path: Path) -> None:
    bound = {"MAX_REQUESTS": "5", "MAX_CONNECTIONS": "40", "RECEIVE_SECONDS": "60"}
    async with api(environment | bound, tmp_path / "api.log") as (_, client):
        with ExitStack() as stack:
            for _ in range(80):
                stack.enter_context(connection(client, BEGUN))

            async def crowded() -> bool:
                async with httpx.AsyncClient(base_url=client.base_url, timeout=10) as another:
                    return await sample(another, "http_connections_closed_total", reason="crowded") >= 40

            await eventually(crowded)
            for _ in range(10):
                async with httpx.AsyncClient(base_url=client.base_url, timeout=10) as newcomer:
                    answer = await newcomer.post("/v1/quotes", json={"area_m2": 50, "package": "comfort"})
                    assert answer.status_code == 200


async def test_a_length_of_thousands_of_digits_is_no_accident(direct: httpx.AsyncClient) -> None:
    zeros = b"0" * 4_400
    empty = b"GET /v1/packages HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n" % zeros
    whole = ASK_QUOTE.replace(b"Content-Length: ", b"Content-Length: " + zeros) + QUOTE
    assert statuses(await exchange(direct, empty + whole + LAST)) == [200, 200, 200]
    large = b"GET /v1/packages HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %s%d\r\n\r\n"
    for length in (MAX_BODY_BYTES + 1, 2**63):
        with connection(direct, large % (zeros, length)) as raw:
            assert statuses(await until_closed(raw)) == [413]
    assert statuses(await exchange(direct, large % (b"9" * 4_400, 9))) == [400]
