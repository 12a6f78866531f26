"""Slack's webhook and monday.com's API in the script's own process, with a memory of every request and every answer."""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.core import clock

REPEAT_MARK = "możliwe powtórzenie"
SLOWEST_ANSWER = 0.4
HANG_SECONDS = 10.0
RETRY_AFTER = 1

_LENGTH = re.compile(r"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)
_KEY = re.compile(r"^idempotency-key: *(\S+)", re.IGNORECASE | re.MULTILINE)
_PATH = re.compile(r"POST /(slack|monday)/(\S+) ")
_ALERT = re.compile(r"alert `([0-9a-f]{8})`")


class Mood(StrEnum):
    """How a remote treats what comes. `late`: it has taken the message before it fails."""

    FINE = "fine"
    ERROR = "500"
    LATE_ERROR = "late 500"
    THROTTLE = "429"
    RESET = "reset"
    LATE_RESET = "late reset"
    CUT = "cut"
    HANG = "hang"


_FORGETFUL = frozenset({Mood.ERROR, Mood.THROTTLE, Mood.RESET})


@dataclass(slots=True)
class Request:
    """One request that arrived whole."""

    channel: str
    alert: str
    """The last eight hex digits of the alert's id."""
    worker: str
    key: str | None
    marked: bool
    arrived: datetime
    stored: bool = False
    """It made a message that people see."""
    answer: str = "none"
    answered: datetime | None = None
    """When its answer, a yes, was written to the last byte."""

    @property
    def asks_only(self) -> bool:
        """It looks an item up and makes none."""
        return self.answer == "look-up"


class Receiver:
    """Both remotes. monday answers a known Idempotency-Key from memory, and 409 while its first request lasts."""

    def __init__(self, rng: random.Random) -> None:
        self.requests: list[Request] = []
        self.busy: Counter[str] = Counter()
        """Requests under way, by worker."""
        self._rng = rng
        self._moods: dict[str, Sequence[Mood]] = {"slack": (Mood.FINE,), "monday": (Mood.FINE,)}
        self._calm = asyncio.Event()
        self._items: dict[str, str] = {}
        self._under_way: set[str] = set()

    @contextmanager
    def trouble(self, channel: str, moods: Sequence[Mood]) -> Iterator[None]:
        """Treat each request on this channel in one of these ways until the block ends."""
        self._moods[channel] = moods
        self._calm.clear()
        try:
            yield
        finally:
            self._moods[channel] = (Mood.FINE,)
            self._calm.set()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = _LENGTH.search(head)
            await self._take(head, await reader.readexactly(int(length[1]) if length else 0), writer)

    async def _take(self, head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        path = _PATH.search(head)
        assert path is not None, head
        content = json.loads(body)
        if "items_page_by_column_values" in content.get("query", ""):
            await self._look_up(path[2], content["variables"]["values"][0], writer)
            return
        request = _request(path[1], path[2], head, content)
        self.requests.append(request)
        mood = self._rng.choice(self._moods[request.channel])
        if request.key in self._under_way:
            request.answer = "409"
            await _answer(writer, "{}", status=409)
            return
        if request.key is not None:
            self._under_way.add(request.key)
        self.busy[request.worker] += 1
        try:
            await self._treat(request, mood, writer)
        finally:
            self.busy[request.worker] -= 1
            self._under_way.discard(request.key or "")

    async def _treat(self, request: Request, mood: Mood, writer: asyncio.StreamWriter) -> None:
        request.answer = mood.value
        if mood in _FORGETFUL:
            if mood is Mood.RESET:
                writer.transport.abort()
            else:
                await _answer(writer, "trouble", status=int(mood.value))
            return
        yes = self._store(request)
        if mood is Mood.FINE:
            await asyncio.sleep(self._rng.uniform(0, SLOWEST_ANSWER))
            await _answer(writer, yes)
            if not writer.transport.is_closing():
                request.answered = clock.now()
        elif mood is Mood.LATE_ERROR:
            await _answer(writer, "trouble", status=500)
        elif mood is Mood.CUT:
            await _answer(writer, yes[:-1], length=len(yes))
            writer.transport.abort()
        else:
            if mood is Mood.HANG:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._calm.wait(), HANG_SECONDS)
            writer.transport.abort()

    def _store(self, request: Request) -> str:
        if request.key is None:
            request.stored = True
            return "ok"
        if request.key not in self._items:
            request.stored = True
            self._items[request.key] = str(len(self._items) + 1)
        return json.dumps({"data": {"create_item": {"id": self._items[request.key]}}})

    async def _look_up(self, worker: str, alert_id: str, writer: asyncio.StreamWriter) -> None:
        request = Request("monday", alert_id[-8:], worker, None, marked=False, arrived=clock.now(), answer="look-up")
        self.requests.append(request)
        items = [{"id": item} for key, item in self._items.items() if key.startswith(alert_id)]
        await _answer(writer, json.dumps({"data": {"items_page_by_column_values": {"items": items[:1]}}}))
        if items:
            request.answered = clock.now()


def _request(channel: str, worker: str, head: str, content: dict[str, Any]) -> Request:
    if channel == "slack":
        text = json.dumps(content, ensure_ascii=False)
        alert = _ALERT.search(text)
        assert alert is not None, text
        return Request(channel, alert[1], worker, None, REPEAT_MARK in text, clock.now())
    key = _KEY.search(head)
    assert key is not None, head
    alert_id = json.loads(content["variables"]["values"])["alert_id"]
    return Request(channel, alert_id[-8:], worker, key[1], marked=False, arrived=clock.now())


async def _answer(writer: asyncio.StreamWriter, body: str, *, status: int = 200, length: int | None = None) -> None:
    wait = f"Retry-After: {RETRY_AFTER}\r\n" if status in {409, 429} else ""
    writer.write(f"HTTP/1.1 {status} X\r\n{wait}Content-Length: {length or len(body)}\r\n\r\n{body}".encode())
    await writer.drain()
