"""Reading server-sent events as a client does."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

STREAM = {"Accept": "text/event-stream"}


@dataclass(frozen=True)
class Event:
    """One event; a comment has the name ""."""

    name: str
    id: int | None
    data: Any


def parse(text: str) -> list[Event]:
    """All events and comments of a stream."""
    return [_event(block) for block in text.split("\n\n") if block]


def _event(block: str) -> Event:
    fields = dict(line.split(": ", 1) for line in block.split("\n"))
    if "" in fields:
        return Event("", None, fields[""])
    if "retry" in fields:
        return Event("retry", None, int(fields["retry"]))
    return Event(fields["event"], int(fields["id"]) if "id" in fields else None, json.loads(fields["data"]))


async def read(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    """Each event of an open stream when it is whole."""
    block: list[str] = []
    async for line in lines:
        if line:
            block.append(line)
        elif block:
            yield _event("\n".join(block))
            block = []


@asynccontextmanager
async def streaming(
    client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str], **more: Any
) -> AsyncIterator[AsyncIterator[Event]]:
    """An open stream of events."""
    async with client.stream(method, path, headers={**STREAM, **headers}, **more) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["Content-Type"].startswith("text/event-stream")
        yield read(response.aiter_lines())
