"""What tests of the channel clients share: an alert, and raw servers that answer as badly as told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from app.core import clock
from worker.channels.base import Envelope, LeadAlert, Notice

ALERT = LeadAlert(
    envelope=Envelope(UUID("0197c0de-0000-7000-8000-0000a1e27001")),
    lead_id=UUID("0197c0de-0000-7000-8000-00001ead0001"),
    conversation_id=UUID("0197c0de-0000-7000-8000-0000c0de0001"),
    captured_at=datetime(2026, 11, 24, 9, 15, 30, tzinfo=UTC),
    language="pl",
    score=85,
    name="Jan Kowalski",
    phone="+48691222333",
    email="jan.kowalski@example.com",
    city="Warszawa",
    property_type="apartment",
    area_m2=Decimal("52.00"),
    package="premium",
    package_name="Premium",
    budget_pln=120000,
    quote_pln=Decimal("103948.00"),
    consent_marketing=False,
    last_words="Mam 52m2 w Warszawie, pakiet Premium, proszę o kontakt 691 222 333",
)

NOTICE = Notice(
    envelope=Envelope(UUID("0197c0de-0000-7000-8000-0000a1e27002")),
    notice_id=UUID("0197c0de-0000-7000-8000-00000071ce01"),
    happened_at=datetime(2026, 11, 24, 9, 15, 30, tzinfo=UTC),
    title="3 alerts could not be delivered",
    text="Slack refuses every message since 10:02.\nNothing is lost: the alerts wait until the channel is mended.",
    facts=(("Channel", "slack"), ("Error", "no_service")),
    items=(("Alert", "Lead", "Error"), ("a1e27001", "1ead0001", "no_service"), ("a1e27003", "1ead0003", "no_service")),
    more=1,
    what_to_do=("Make a new webhook and set SLACK_WEBHOOK_URL.", "Run `novahouse alerts replay --channel slack`."),
)

M = TypeVar("M", LeadAlert, Notice)
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def with_envelope(message: M, **changes: Any) -> M:
    """The same message with another envelope."""
    return replace(message, envelope=replace(message.envelope, **changes))


def minutes_ago(minutes: float) -> datetime:
    """An instant in the past."""
    return clock.now() - timedelta(minutes=minutes)


@dataclass(slots=True)
class RawServer:
    """A server that speaks bytes."""

    url: str
    requests: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with the first request."""


@asynccontextmanager
async def raw_server(answer: bytes | Handler) -> AsyncIterator[RawServer]:
    """A server that reads one request and then sends these bytes and hangs up, or does what the function does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await _read_request(reader)
            server.requests += 1
            server.asked.set()
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(reader, writer)

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        writers.append(writer)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(lambda _done: writer.close())

    writers: list[asyncio.StreamWriter] = []
    tasks: set[asyncio.Task[None]] = set()
    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    server = RawServer(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    try:
        yield server
    finally:
        listening.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()
        await listening.wait_closed()


async def _read_request(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            await reader.readexactly(int(value))
