"""A remote that does what a test says: Slack's webhook and monday.com's API, every request noted in order."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from tests.listening import listening

_TAKEN: Final = {"slack": "ok", "monday": '{"data": {"create_item": {"id": "1"}}}'}
_LEAD: Final = re.compile(r"Lead \d+")


@dataclass(slots=True)
class Request:
    """One request as it came in. Instants are seconds since 1970."""

    channel: str
    number: int
    """1 for the first on its channel."""
    at: float
    body: Any
    over_at: float | None = None
    """When it was answered, or when its sender went away."""

    @property
    def who(self) -> str:
        """The name of the lead that it is about, as `alerts.seed` gave it; empty for a notice."""
        found = _LEAD.search(str(self.body))
        return found.group() if found else ""

    @property
    def says_repeat(self) -> bool:
        """Whether a reader of the message is warned that it may be a repeat."""
        return "możliwe powtórzenie" in str(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the remote answers. Without a body: its channel's yes."""

    status: int = 200
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


YES: Final = Answer()
BROKEN: Final = Answer(500, "broken")
REVOKED: Final = Answer(404, "no_service")

Script = Callable[[Request], Awaitable[Answer | None]]
"""What a channel does with each request. None: it says nothing until the sender goes away."""


async def obey(_request: Request) -> Answer:
    """Take everything."""
    return YES


class Receiver:
    """Listens while its context is open. `scripts` may be changed at any time."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = dict.fromkeys(_TAKEN, obey)
        self.requests: list[Request] = []
        self.port = 0

    @property
    def slack(self) -> list[Request]:
        """What came to Slack."""
        return self.to("slack")

    def to(self, channel: str) -> list[Request]:
        """What came to a channel."""
        return [request for request in self.requests if request.channel == channel]

    async def came(self, count: int, channel: str = "slack") -> bool:
        """Whether so many requests have come."""
        return len(self.to(channel)) >= count

    def url(self, channel: str) -> str:
        """Where a channel is."""
        return f"http://127.0.0.1:{self.port}/{channel}"

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen on a free port of 127.0.0.1."""
        async with listening(self._talk) as self.port:
            yield

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await self._answered(reader, writer):
            pass
        writer.transport.abort()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        content = await reader.readexactly(int(length.group(1)) if length else 0)
        channel = head.split()[1].strip("/")
        request = Request(channel, len(self.to(channel)) + 1, time.time(), orjson.loads(content))
        self.requests.append(request)
        answer = await self.scripts[channel](request)
        if answer is None:
            await reader.read()
            request.over_at = time.time()
            return False
        request.over_at = time.time()
        body = (_TAKEN[channel] if answer.body is None else answer.body).encode()
        headers = {"Content-Type": "text/plain", "Content-Length": str(len(body)), **answer.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {answer.status} Said\r\n{lines}\r\n".encode() + body)
        await writer.drain()
        return True
