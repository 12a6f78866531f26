"""Server-sent events (WHATWG HTML, section 9.2): who asked for them, where to go on, the answer that carries them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Annotated, Any, Final, cast

import orjson
from fastapi import Header
from pydantic import WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.core.errors import MalformedError
from app.web.pacing import CONNECTION_KEY, Connection

MEDIA_TYPE: Final = "text/event-stream"
PING_SECONDS: Final = 15.0
"""After so much silence a comment is sent: proxies hang up on what says nothing."""
STANDING: Final = "novahouse.standing"
"""In the scope of an answer that stays open and mostly waits: it takes no place among the requests being worked on."""
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

_HEADER: Final = "Last-Event-ID"
_PATTERN: Final = "^[0-9]{1,10}$"
_LARGEST: Final = 2**31 - 1
_DIGITS: Final = 10

Events = AsyncGenerator[bytes, None]


def content(example: str) -> dict[str, Any]:
    """The `content` of an answer in OpenAPI that is a stream, or may be one."""
    return {MEDIA_TYPE: {"schema": {"type": "string"}, "example": example}}


class LastEventIdMalformedError(MalformedError):
    """The header names no event of ours."""

    code = "last-event-id-malformed"
    title = "The Last-Event-ID is not valid."


LastEventIdHeader = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "pattern": _PATTERN}),
    Header(alias=_HEADER, description="`id` of the last event that was received: only what is after it is sent."),
]
"""For the schema of routes that stream; `last_event_id` is what reads it."""


def last_event_id(request: Request) -> int | None:
    """The `seq` after which to go on; None when the caller names none. Raises LastEventIdMalformedError."""
    given = request.headers.getlist(_HEADER)
    if not given:
        return None
    if len(given) == 1 and given[0].isascii() and given[0].isdigit() and len(given[0]) <= _DIGITS:
        number = int(given[0])
        if number <= _LARGEST:
            return number
    raise LastEventIdMalformedError("It is the number that an event had as its id.")


def wants_stream(request: Request) -> bool:
    """Whether `Accept` names text/event-stream and prefers it to JSON (RFC 9110, section 12.5.1).

    Who accepts anything gets JSON. Named with the same weight, JSON comes first.
    """
    accept = ",".join(request.headers.getlist("accept")).lower()
    if MEDIA_TYPE not in accept:
        return False
    weights = _weights(accept)
    stream = weights.get(MEDIA_TYPE, 0.0)
    if stream == 0:
        return False
    if (json := weights.get("application/json")) is not None:
        return stream > json
    return stream >= weights.get("application/*", weights.get("*/*", 0.0))


def _weights(accept: str) -> dict[str, float]:
    """Each media range and its weight; a weight that is none counts as nothing."""
    found: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((value[2:].strip() for value in parameters if value.startswith("q=")), "1")
        try:
            number = float(weight)
        except ValueError:
            number = 0.0
        found[name] = number if 0 <= number <= 1 else 0.0
    return found


def event(name: str, data: Any, *, seq: int | None = None) -> bytes:
    """One event: JSON on one line. With `seq` as its id it is what `Last-Event-ID` names when the client comes back."""
    number = b"" if seq is None else b"id: %d\n" % seq
    return b"event: %s\n%sdata: %s\n\n" % (name.encode(), number, orjson.dumps(data))


def retry(milliseconds: int) -> bytes:
    """How long a client waits before it comes again once the stream has ended."""
    return b"retry: %d\n\n" % milliseconds


def comment(text: str) -> bytes:
    """A line for people who look at the wire; clients ignore it."""
    return f": {text}\n\n".encode()


PING: Final = comment("ping")


class EventStream(Response):
    """An answer made of events, each sent when it happens.

    It goes on to its end whether anybody reads or not: what it does must be done.
    """

    media_type = MEDIA_TYPE

    def __init__(self, events: Events, *, headers: Mapping[str, str] | None = None) -> None:
        self._events = events
        super().__init__(headers={**HEADERS, **(headers or {})})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        async with aclosing(self._events) as events:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for piece in events:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


class StandingStream(EventStream):
    """An EventStream that mostly waits, hence takes no place among the requests being worked on.

    It ends when the client leaves, and after `seconds` at the latest, however slowly the client reads. `ended` is
    called once, whatever happened, also where no event was ever asked for.
    """

    def __init__(self, events: Events, *, seconds: float, ended: Callable[[], None]) -> None:
        super().__init__(events)
        self._seconds = seconds
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        scope[STANDING] = True
        connection = cast("Connection | None", scope.get(CONNECTION_KEY))
        if connection is not None:
            connection.stand()
        sending = asyncio.create_task(super().__call__(scope, receive, send))
        leaving = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait({sending, leaving}, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            self._ended()
        if not sending.cancelled():
            sending.result()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
