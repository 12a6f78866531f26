"""A request's body as bytes: received whole and within its bound before anybody works on it."""

import asyncio
from contextlib import suppress
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope

MAX_BODY_BYTES: Final = 32 * 1024
REFUSED_BYTES: Final = 16 * 2**20
REFUSED_SECONDS: Final = 2.0
"""How much of a body that is too large is read before its client is told, and for how long."""
_LENGTH_DIGITS: Final = 19


class BodyTooLargeError(Exception):
    """The body has more than MAX_BODY_BYTES, announced or in chunks."""


def has_body(scope: Scope) -> bool:
    """Whether a body comes with the request."""
    return _announced_length(scope) != 0


async def receive_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body. Raises BodyTooLargeError, and ClientDisconnect when its client has gone."""
    announced = _announced_length(scope)
    if announced is not None and announced > MAX_BODY_BYTES:
        if not _waits_for_permission(scope):
            await _take_in(receive)
        raise BodyTooLargeError
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            await _take_in(receive)
            raise BodyTooLargeError
        if not message.get("more_body", False):
            return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """A body that was received, to be received by somebody else; after it comes what `receive` gives."""
    unread = True

    async def receive_again() -> Message:
        nonlocal unread
        if unread:
            unread = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return receive_again


def _announced_length(scope: Scope) -> int | None:
    """Bytes of the body; None when it comes in chunks, until it ends."""
    length = 0
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length" and value.isdigit():
            length = int(value.lstrip(b"0")[:_LENGTH_DIGITS] or b"0")  # more digits make it no smaller
    return length


def _waits_for_permission(scope: Scope) -> bool:
    """Whether the client sends its body only when told to go on (RFC 9110, section 10.1.1)."""
    return any(name == b"expect" for name, _ in scope["headers"])


async def _take_in(receive: Receive) -> None:
    """Read a body that is refused, and forget it: a client that is cut off while it sends does not read the answer."""
    taken, more = 0, True
    with suppress(TimeoutError):
        async with asyncio.timeout(REFUSED_SECONDS):
            while more and taken < REFUSED_BYTES:
                message = await receive()
                taken += len(message.get("body", b""))
                more = message.get("more_body", False)
