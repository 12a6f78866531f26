"""HTTP as every channel uses it: one bounded POST whose failures are outcomes, and what a bare status means."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from app.core import clock
from worker.channels.base import Health, Outcome, OutcomeKind

MAX_BODY_BYTES: Final = 64 * 1024
MAX_CONNECTIONS: Final = 10
TOTAL_SECONDS: Final = 14.0
TIMEOUT: Final = httpx.Timeout(connect=3.0, read=10.0, write=5.0, pool=5.0)
LONGEST_WAIT: Final = timedelta(hours=24)
USER_AGENT: Final = "novahouse-chatbot-api/3"

_NOT_SENT: Final[Mapping[type[Exception], str]] = {
    httpx.ConnectTimeout: "connect_timeout",
    httpx.ConnectError: "connect_failed",
    httpx.PoolTimeout: "no_free_connection",
    httpx.UnsupportedProtocol: "unsupported_url",
}
_OUR_OWN: Final = frozenset({httpx.PoolTimeout, httpx.UnsupportedProtocol})
"""Failures that came before a connection was tried: they say nothing about the remote."""
_AMBIGUOUS: Final[Mapping[type[Exception], str]] = {
    httpx.ReadTimeout: "read_timeout",
    httpx.WriteTimeout: "write_timeout",
    httpx.ReadError: "connection_lost",
    httpx.WriteError: "connection_lost",
    httpx.RemoteProtocolError: "protocol_error",
}
_THROTTLED: Final = frozenset({423, 429})
_PAYLOAD_PERMANENT: Final = frozenset({400, 411, 413, 414, 415, 422, 431})
_AMBIGUOUS_STATUS: Final = frozenset({408, 409, 425})


@dataclass(frozen=True, slots=True)
class Reply:
    """What the remote answered. `body` holds at most MAX_BODY_BYTES and is never decompressed."""

    status: int
    headers: httpx.Headers
    body: bytes
    complete: bool
    """False when the body was cut, by us or by the remote; a success must not be read out of such a body."""


def new_client(*, max_connections: int = MAX_CONNECTIONS, timeout: httpx.Timeout = TIMEOUT) -> httpx.AsyncClient:
    """A client for one channel: bounded, follows no redirect, and deaf to proxy and netrc settings of the machine.

    Keep-alive ends well before the vendors' load balancers would hang up, so that an idle connection is not the reason
    for an ambiguous send. Few connections are enough, since both vendors take about one message at a time, and the
    pool looks at every one of them for each request: fifty cost four times the CPU of ten.
    """
    return httpx.AsyncClient(
        timeout=timeout,
        limits=httpx.Limits(
            max_connections=max_connections, max_keepalive_connections=max_connections, keepalive_expiry=15.0
        ),
        follow_redirects=False,
        trust_env=False,
    )


async def post(
    client: httpx.AsyncClient,
    url: httpx.URL,
    *,
    headers: httpx.Headers,
    content: bytes,
    total_seconds: float = TOTAL_SECONDS,
) -> Reply | Outcome:
    """POST once. A reply when the remote gave a status, else the outcome that fits where the attempt broke.

    Cancellation passes through; nothing else is raised.
    """
    request = httpx.Request("POST", url, headers=headers, content=content)
    try:
        async with asyncio.timeout(total_seconds):
            response = await client.send(request, stream=True)
            try:
                return await _read(response)
            finally:
                await response.aclose()
    except TimeoutError:
        return Outcome(OutcomeKind.AMBIGUOUS, error="total_timeout")
    except httpx.TransportError as broken:
        not_sent = _NOT_SENT.get(type(broken))
        if not_sent is not None:
            health = Health.UNKNOWN if type(broken) in _OUR_OWN else Health.FAILING
            return Outcome(OutcomeKind.NOT_SENT, error=not_sent, health=health)
        return Outcome(OutcomeKind.AMBIGUOUS, error=_AMBIGUOUS.get(type(broken), "transport_error"))


async def _read(response: httpx.Response) -> Reply:
    body = bytearray()
    complete = True
    try:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                complete = False
                break
    except httpx.TransportError:
        complete = False
    return Reply(response.status_code, response.headers, bytes(body[:MAX_BODY_BYTES]), complete)


def by_status(reply: Reply, *, error: str | None = None) -> Outcome:
    """What a status means when nothing more specific is known. Never DELIVERED: a 2xx alone proves nothing.

    A 3xx or an unknown 4xx says that the destination is not what we think it is; such rows wait for a person instead of
    dying one by one. Any 4xx comes from a remote that lives, even where it leaves open what became of the message.
    """
    status = reply.status
    if status in _THROTTLED:
        kind = OutcomeKind.THROTTLED
    elif status in _PAYLOAD_PERMANENT:
        kind = OutcomeKind.PAYLOAD_PERMANENT
    elif status in _AMBIGUOUS_STATUS or httpx.codes.is_server_error(status) or httpx.codes.is_success(status):
        kind = OutcomeKind.AMBIGUOUS
    else:
        kind = OutcomeKind.DESTINATION_PERMANENT
    health = Health.ALIVE if status in _AMBIGUOUS_STATUS else None
    return Outcome(
        kind, status=status, error=error or f"http_{status}", retry_after=retry_after(reply.headers), health=health
    )


def retry_after(headers: httpx.Headers) -> timedelta | None:
    """The wait asked for in `Retry-After`, seconds or date (RFC 9110 section 10.2.3), within 0 and LONGEST_WAIT."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return bounded_wait(float(value))
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return bounded_wait((_in_utc(until) - clock.now()).total_seconds())


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def bounded_wait(seconds: float) -> timedelta:
    """`seconds` as a wait within 0 and LONGEST_WAIT."""
    return timedelta(seconds=min(max(seconds, 0.0), LONGEST_WAIT.total_seconds()))
