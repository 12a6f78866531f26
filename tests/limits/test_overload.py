"""Too much of everything: requests, connections, slowness, silence. Whoever behaves is answered."""

import asyncio
import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.limits.conftest import sample
from tests.processes import api, eventually
from tests.talk import open_session, say

HALF_HEAD = b"GET /v1/packages HTTP/1.1\r\nHost: x\r\n"
HALF_BODY = b"POST /v1/quotes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
WHOLE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
IDLE_SECONDS = 6
"""Longer than a second, in which others must say what they want, and than uvicorn's own five."""


@contextmanager
def connection(client: httpx.AsyncClient, *parts: bytes, buffer: int | None = None) -> Iterator[socket.socket]:
    """A socket to the service on which these bytes were sent."""
    address = urlsplit(str(client.base_url))
    with socket.socket() as raw:
        if buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        raw.connect((address.hostname, address.port))
        for part in parts:
            raw.sendall(part)
        raw.setblocking(False)
        yield raw


async def until_closed(raw: socket.socket) -> bytes:
    """Everything that comes until the server closes."""
    received = b""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20):
        while True:
            try:
                part = await loop.sock_recv(raw, 65_536)
            except ConnectionResetError:
                return received
            if not part:
                return received
            received += part


@asynccontextmanager
async def impatient(environment: dict[str, str], tmp_path: Path, **more: str) -> AsyncIterator[httpx.AsyncClient]:
    """A service that waits a second for what others wait ten for."""
    async with api(environment | {"RECEIVE_SECONDS": "1"} | more, tmp_path / "api.log") as (_, client):
        yield client


@pytest.mark.parametrize(
    "sent",
    [(), (HALF_HEAD,), (b"\r\n",), (WHOLE, HALF_HEAD)],
    ids=["nothing", "half a head", "an empty line", "half a second head"],
)
async def test_whoever_sends_no_whole_head_is_hung_up_on(
    environment: dict[str, str], tmp_path: Path, sent: tuple[bytes, ...]
) -> None:
    async with impatient(environment, tmp_path) as client:
        with connection(client, *sent) as raw:
            await until_closed(raw)
        assert await sample(client, "http_connections_closed_total", reason="head_late") == 1


async def test_a_connection_that_was_of_use_may_be_idle(environment: dict[str, str], tmp_path: Path) -> None:
    """Else a proxy sends now and then into one that was just closed, and its visitor reads 502."""
    async with impatient(environment, tmp_path) as client:
        with connection(client, WHOLE) as raw:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS):
                    await until_closed(raw)
            raw.sendall(WHOLE)
            assert (await asyncio.get_running_loop().sock_recv(raw, 65_536)).startswith(b"HTTP/1.1 200 ")


async def test_a_body_that_does_not_arrive_is_a_408(environment: dict[str, str], tmp_path: Path) -> None:
    async with impatient(environment, tmp_path) as client:
        with connection(client, HALF_BODY) as raw:
            answer = await until_closed(raw)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"request-timeout"' in answer
        assert await sample(client, "http_requests_in_flight") == 0


def ask_plainly(url: str, body: bytes) -> tuple[int, dict[str, object]]:
    """As clients ask that send everything before they read anything."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310  ours
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)  # noqa: S310  ours
    with refused.value as answer:
        return answer.code, json.loads(answer.read())


async def test_who_sends_far_too_much_still_reads_why_it_was_refused(direct: httpx.AsyncClient) -> None:
    status, said = await asyncio.to_thread(ask_plainly, f"{direct.base_url}/v1/quotes", b"x" * 5_000_000)
    assert (status, said["code"]) == (413, "body-too-large")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(80):
            yield b"x" * 65_536

    answer = await direct.post("/v1/quotes", content=chunks(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


async def test_who_waits_for_permission_to_send_too_much_is_refused_at_once(direct: httpx.AsyncClient) -> None:
    head = b"POST /v1/quotes HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5000000\r\n\r\n"
    with connection(direct, head) as raw:
        answer = await until_closed(raw)
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_what_is_no_http_is_refused_with_a_problem(direct: httpx.AsyncClient) -> None:
    with connection(direct, b"NONSENSE\r\n\r\n") as raw:
        head, _, body = (await until_closed(raw)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in head.lower()
    assert json.loads(body)["code"] == "malformed-request"


async def test_half_open_sockets_exhaust_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    ample = {"RECEIVE_SECONDS": "60", "MAX_CONNECTIONS": "40"}
    async with api(environment | ample, tmp_path / "api.log") as (_, client):
        with ExitStack() as stack:
            for number in range(200):
                stack.enter_context(connection(client, (HALF_HEAD, b"", WHOLE)[number % 3]))
            async with httpx.AsyncClient(base_url=client.base_url, timeout=10) as newcomer:
                for _ in range(20):
                    assert (await newcomer.get("/v1/packages")).status_code == 200
                assert await sample(newcomer, "http_connections") <= 41
                assert await sample(newcomer, "http_connections_closed_total", reason="crowded") >= 150


async def test_whoever_does_not_read_is_hung_up_on(environment: dict[str, str], tmp_path: Path) -> None:
    async with impatient(environment, tmp_path) as client:
        await client.get("/openapi.json")
        asks = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 60
        with connection(client, asks, buffer=4096):

            async def hung_up() -> bool:
                return await sample(client, "http_connections_closed_total", reason="unread") == 1

            await eventually(hung_up, every=0.1)


async def test_beyond_the_bound_a_request_is_told_to_come_back(
    environment: dict[str, str], tmp_path: Path, sql: asyncpg.Connection
) -> None:
    async with api(environment | {"MAX_REQUESTS": "2"}, tmp_path / "api.log") as (_, client):
        async with sql.transaction():
            await sql.execute("LOCK TABLE chat_conversations")
            inside = [asyncio.create_task(client.post("/v1/chat/sessions")) for _ in range(2)]

            async def both_are_in() -> bool:
                return await sample(client, "http_requests_in_flight") == 2

            await eventually(both_are_in)
            for refused in (await client.post("/v1/chat/sessions"), await client.post("/v1/chat/sessions", json={})):
                assert refused.status_code == 503
                assert refused.json()["code"] == "overloaded"
                assert refused.headers["Retry-After"] == "1"
                assert refused.headers["Content-Type"] == "application/problem+json"
            assert (await client.get("/health/live")).status_code == 200
            assert (await client.get("/health/ready")).status_code == 200
            assert await sample(client, "http_requests_shed_total", reason="overloaded") == 2
        assert [(await each).status_code for each in inside] == [201, 201]
        assert (await client.post("/v1/chat/sessions")).status_code == 201
        assert await sql.fetchval("SELECT count(*) FROM chat_conversations") == 3


async def test_a_request_that_takes_too_long_is_given_up(
    environment: dict[str, str], tmp_path: Path, sql: asyncpg.Connection
) -> None:
    async with api(environment | {"REQUEST_SECONDS": "1"}, tmp_path / "api.log") as (_, client):
        async with sql.transaction():
            await sql.execute("LOCK TABLE chat_conversations")
            late = await client.post("/v1/chat/sessions")
        assert late.status_code == 503
        assert late.json()["code"] == "deadline-exceeded"
        assert late.headers["Retry-After"] == "1"
        assert (await client.post("/v1/chat/sessions")).status_code == 201
        assert await sql.fetchval("SELECT count(*) FROM chat_conversations") == 1


async def blocked(client: httpx.AsyncClient) -> float:
    """How often it did for more than 50 ms."""
    name = "event_loop_blocked_seconds"
    (family,) = (
        family for family in text_string_to_metric_families((await client.get("/metrics")).text) if family.name == name
    )
    samples = {(each.name, each.labels.get("le")): each.value for each in family.samples}
    return samples[f"{name}_count", None] - samples[f"{name}_bucket", "0.05"]


async def test_nothing_that_a_visitor_asks_for_blocks_the_others(environment: dict[str, str], tmp_path: Path) -> None:
    """By the time that the process itself computed: a busy machine delays everybody and is nobody's fault here."""

    async with api(environment, tmp_path / "api.log") as (_, client):

        async def everything() -> None:
            token = await open_session(client)
            for text in ("Mam 52m2 w Warszawie, pakiet Premium", "ą" * 2000, "1" * 2000, "[" * 2000, "Dzień dobry"):
                assert (await say(client, token, text)).status_code in {201, 422}
            await client.post("/v1/quotes", content=b"[" * 32_000, headers={"Content-Type": "application/json"})
            for path in ("/v1/packages", "/v1/chat/messages", "/v1/chat/export", "/v1/consent/texts", "/openapi.json"):
                await client.get(path, headers=token)

        await everything()
        before = await blocked(client)
        for _ in range(5):
            await everything()
        assert await sample(client, "event_loop_lag_seconds_count") > 0
        assert await blocked(client) == before


async def test_whoever_asks_for_the_schema_first_or_in_vain_blocks_nobody(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """It takes half a second to make."""
    async with api(environment, tmp_path / "api.log") as (_, client):
        before = await blocked(client)
        assert (await client.post("/v1/packages")).status_code == 405
        asked = (client.get("/openapi.json") for _ in range(20))
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
        assert await sample(client, "event_loop_lag_seconds_count") > 0
        assert await blocked(client) == before


async def test_sigterm_still_ends_in_order_with_connections_open(environment: dict[str, str], tmp_path: Path) -> None:
    async with api(environment | {"DRAIN_SECONDS": "0"}, tmp_path / "api.log") as (process, client):
        with connection(client, HALF_HEAD), connection(client, WHOLE):
            process.send(signal.SIGTERM)
            assert await process.exit_code() == 0
