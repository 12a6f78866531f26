"""Whatever the other end does, a channel answers with the outcome that fits, once, and gives nothing away."""

import asyncio
import gzip
import socket
import struct
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.worker.channels.support import ALERT, raw_server
from worker.channels.base import Channel, Health, OutcomeKind
from worker.channels.http import MAX_BODY_BYTES, Reply, new_client, post

At = Callable[[str], Channel]


def response(status: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def never(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def test_a_refused_connection_was_certainly_not_sent(channel_at: At) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = await channel_at(f"http://127.0.0.1:{port}").send(ALERT)
    assert (outcome.kind, outcome.error, outcome.status) == (OutcomeKind.NOT_SENT, "connect_failed", None)
    assert outcome.remote_health is Health.FAILING


async def test_a_host_that_takes_no_connection_was_certainly_not_sent_to(channel_at: At) -> None:
    listener = socket.socket()
    waiting = [socket.socket() for _ in range(4)]
    try:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        outcome = await channel_at(f"http://127.0.0.1:{listener.getsockname()[1]}").send(ALERT)
    finally:
        for one in [*waiting, listener]:
            one.close()
    assert (outcome.kind, outcome.error) == (OutcomeKind.NOT_SENT, "connect_timeout")


async def test_no_free_connection_means_not_sent() -> None:
    client = new_client(max_connections=1, timeout=httpx.Timeout(connect=1, read=5, write=1, pool=0.1))
    async with raw_server(never) as server, client:
        url = httpx.URL(server.url)
        first = asyncio.create_task(post(client, url, headers=httpx.Headers(), content=b"{}"))
        await server.asked.wait()
        second = await post(client, url, headers=httpx.Headers(), content=b"{}")
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    assert not isinstance(second, Reply)
    assert (second.kind, second.error) == (OutcomeKind.NOT_SENT, "no_free_connection")
    assert second.remote_health is Health.UNKNOWN


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (never, "read_timeout"),
        (drip, "total_timeout"),
        (reset, "connection_lost"),
        (b"", "protocol_error"),
        (b"\x16\x03\x01 not HTTP at all\r\n\r\n", "protocol_error"),
    ],
    ids=["never", "drip", "reset", "hang-up", "garbage"],
)
async def test_a_request_without_an_answer_may_have_arrived(channel_at: At, behaviour: Any, error: str) -> None:
    async with raw_server(behaviour) as server:
        outcome = await channel_at(server.url).send(ALERT)
        assert (outcome.kind, outcome.error) == (OutcomeKind.AMBIGUOUS, error)
        assert outcome.remote_health is Health.FAILING
        assert server.requests == 1


@pytest.mark.parametrize(
    "answer",
    [
        response(200, b"<html>please sign in</html>", "Content-Type: text/html"),
        response(200, b""),
        response(200, b'{"data": {"create_item": '),
        response(204),
        response(201, b"ok"),
        response(200, gzip.compress(b"ok"), "Content-Encoding: gzip"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok",
        b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"data":{"create_item":{"id":"1"}}}',
    ],
    ids=["html", "empty", "half-json", "204", "201", "gzip", "cut-ok", "cut-json"],
)
async def test_a_success_that_does_not_say_so_properly_is_not_believed(channel_at: At, answer: bytes) -> None:
    async with raw_server(answer) as server:
        outcome = await channel_at(server.url).send(ALERT)
    assert (outcome.kind, outcome.remote_health) == (OutcomeKind.AMBIGUOUS, Health.FAILING)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, OutcomeKind.DESTINATION_PERMANENT),
        (307, OutcomeKind.DESTINATION_PERMANENT),
        (400, OutcomeKind.PAYLOAD_PERMANENT),
        (401, OutcomeKind.DESTINATION_PERMANENT),
        (402, OutcomeKind.DESTINATION_PERMANENT),
        (403, OutcomeKind.DESTINATION_PERMANENT),
        (404, OutcomeKind.DESTINATION_PERMANENT),
        (405, OutcomeKind.DESTINATION_PERMANENT),
        (408, OutcomeKind.AMBIGUOUS),
        (425, OutcomeKind.AMBIGUOUS),
        (410, OutcomeKind.DESTINATION_PERMANENT),
        (413, OutcomeKind.PAYLOAD_PERMANENT),
        (418, OutcomeKind.DESTINATION_PERMANENT),
        (422, OutcomeKind.PAYLOAD_PERMANENT),
        (423, OutcomeKind.THROTTLED),
        (429, OutcomeKind.THROTTLED),
        (500, OutcomeKind.AMBIGUOUS),
        (502, OutcomeKind.AMBIGUOUS),
        (503, OutcomeKind.AMBIGUOUS),
    ],
)
async def test_each_status_has_its_outcome(channel_at: At, status: int, kind: OutcomeKind) -> None:
    async with raw_server(response(status, b"whatever", "Location: http://127.0.0.1:9/elsewhere")) as server:
        outcome = await channel_at(server.url).send(ALERT)
        assert (outcome.kind, outcome.status, outcome.error) == (kind, status, f"http_{status}")
        assert outcome.remote_health is (Health.FAILING if status >= 500 else Health.ALIVE)
        assert server.requests == 1


async def test_a_refusal_counts_even_when_its_body_breaks_off(channel_at: At) -> None:
    async with raw_server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 500\r\n\r\nno_serv") as server:
        outcome = await channel_at(server.url).send(ALERT)
    assert outcome.kind is OutcomeKind.DESTINATION_PERMANENT


async def test_no_more_than_the_limit_of_a_body_is_read() -> None:
    hung_up = asyncio.Event()

    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                await writer.drain()
        finally:
            hung_up.set()

    async with raw_server(flood) as server, new_client() as client:
        reply = await post(client, httpx.URL(server.url), headers=httpx.Headers(), content=b"{}")
        async with asyncio.timeout(5):
            await hung_up.wait()
    assert isinstance(reply, Reply)
    assert (len(reply.body), reply.complete) == (MAX_BODY_BYTES, False)


async def test_a_gzip_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(20_000_000))
    async with raw_server(response(200, bomb, "Content-Encoding: gzip")) as server, new_client() as client:
        reply = await post(client, httpx.URL(server.url), headers=httpx.Headers(), content=b"{}")
    assert isinstance(reply, Reply)
    assert reply.body == bomb[:MAX_BODY_BYTES]


@pytest.mark.parametrize(
    "behaviour",
    [never, response(401, b"token-secret hook-secret Jan Kowalski"), response(500, b"hook-secret"), b""],
    ids=["never", "401", "500", "hang-up"],
)
async def test_outcomes_hold_no_secret_and_no_person(channel_at: At, behaviour: Any) -> None:
    async with raw_server(behaviour) as server:
        outcome = await channel_at(server.url).send(ALERT)
    told = repr(outcome)
    for secret in ("secret", "127.0.0.1", "Kowalski", "691", "example.com"):
        assert secret not in told


async def test_cancelling_a_send_is_not_swallowed(channel_at: At) -> None:
    async with raw_server(never) as server:
        sending = asyncio.create_task(channel_at(server.url).send(ALERT))
        await server.asked.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
