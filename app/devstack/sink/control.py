"""Misbehaviour on command: what a test tells a channel to do, and doing it."""

import asyncio
import contextlib
import socket
import struct
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.devstack.sink.state import Behaviour, ChannelName, Mode, SinkState, Stage

_LINGER_ZERO: Final = struct.pack("ii", 1, 0)
_REFUSALS: Final = range(400, 600)

Connections = dict[tuple[str, int], asyncio.Transport]


class Command(BaseModel):
    """The body of `PUT /control/{channel}`. Unset `times` means until the next command; `at` is for mail.

    For mail a status is an SMTP reply code, and one connection uses up one of `times`.
    """

    model_config = ConfigDict(extra="forbid")

    mode: Mode
    status: Annotated[int, Field(ge=200, le=599)] = 500
    body: Annotated[str, Field(max_length=1_000_000)] = ""
    headers: dict[str, str] = Field(default_factory=dict)
    delay_ms: Annotated[int, Field(ge=0, le=600_000)] = 1000
    accept: bool = False
    at: Stage | None = None
    times: Annotated[int, Field(ge=1)] | None = None

    def behaviour(self) -> Behaviour:
        """What the channel is to do."""
        return Behaviour(**self.model_dump(exclude={"times"}))

    def objection(self, channel: ChannelName) -> str | None:
        """Why the channel cannot do this, if it cannot."""
        if channel is not ChannelName.EMAIL:
            return "at is for email" if self.at is not None else None
        if self.mode is Mode.REDIRECT:
            return "mail knows no redirect"
        if self.mode is Mode.STATUS and self.status not in _REFUSALS:
            return "status is a reply code from 400 to 599"
        return "body is one line of ASCII" if not (self.body.isascii() and self.body.isprintable()) else None


def describe(state: SinkState, channel: ChannelName) -> dict[str, Any]:
    """How the channel answers now, and what it has seen."""
    behaviour, times = state.behaviour(channel)
    tally = state.tallies[channel]
    return {
        "mode": behaviour.mode,
        "times": times,
        "accept": behaviour.accept,
        "requests": tally.requests,
        "accepted": tally.accepted,
        "replayed": tally.replayed,
        "rejected": tally.rejected,
        "misbehaved": tally.misbehaved,
    }


def registering(connections: Connections) -> type[H11Protocol]:
    """uvicorn's protocol, noting each connection's transport: only there can a connection be broken off."""

    class Registering(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if self.client is not None:
                connections[self.client] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            if self.client is not None:
                connections.pop(self.client, None)
            super().connection_lost(exc)

    return Registering


async def misbehave(
    behaviour: Behaviour, request: Request, *, channel: ChannelName, state: SinkState, connections: Connections
) -> Response:
    """Answer as commanded, or break the connection off."""
    if behaviour.mode is Mode.STATUS:
        return Response(behaviour.body, behaviour.status, headers=behaviour.headers, media_type="text/plain")
    if behaviour.mode is Mode.REDIRECT:
        return Response(status_code=302, headers={"Location": str(request.url), **behaviour.headers})
    if behaviour.mode is Mode.HANG:
        await _first(state.interruption(channel), _gone(request))
    client = request.client
    transport = connections.get((client.host, client.port)) if client is not None else None
    if transport is not None:
        if behaviour.mode is Mode.GARBAGE:
            transport.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
            transport.close()
        else:
            _reset(transport)
        await _gone(request)
    return Response(status_code=500)


async def delay(behaviour: Behaviour, channel: ChannelName, state: SinkState) -> None:
    """Wait as long as commanded, or until another command or the end of the sink."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(behaviour.delay_ms / 1000):
            await state.interruption(channel)


def _reset(transport: asyncio.Transport) -> None:
    """Close with RST instead of FIN, so that the peer sees a connection reset."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _first(*awaitables: Any) -> None:
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
