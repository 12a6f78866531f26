"""Following a conversation: every open stream of this process, and the one look a second that serves them all."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import structlog
from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncSession

from app.conversations import events_repository as repository
from app.conversations.events_repository import Head
from app.conversations.service import SessionUnknownError
from app.core.db import DATABASE_ERRORS, Database
from app.core.errors import UnavailableError

POLL_SECONDS: Final = 1.0
PER_CONVERSATION: Final = 3
"""A visitor's tabs. One more ends the one that has been open for longest."""
CLIENT_SHARE: Final = 20
"""Nobody may have more than this part of all streams, but everybody as many as a conversation."""

OPEN = Gauge("chat_event_streams", "Event streams that are open.")

_log = structlog.stdlib.get_logger(__name__)


class StreamsFullError(UnavailableError):
    """This process follows as many conversations as it may, in all or for this client."""

    code = "streams-full"
    title = "Too many event streams are open."


@dataclass(slots=True, eq=False)
class Watcher:
    """One open stream, and what it has to be told."""

    head: Head
    seq: int
    """Of the last message that was sent."""
    ends_at: float
    """By the monotonic clock."""
    client: str
    """Who opened it, as a keyed hash."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    ending: str | None = None
    """Why it is to end, in a word or two; None while it goes on."""
    gone: bool = False
    """The conversation was erased."""

    def look(self, head: Head | None) -> None:
        """Take in how far the conversation has come; None: it is there no more."""
        if head is None:
            self.gone = True
        elif head == self.head:
            return
        else:
            self.head = head
        self.news.set()

    def end(self, reason: str) -> None:
        """Have it end."""
        self.ending = reason
        self.news.set()


class Feed:
    """The open streams of one process. None of them holds a connection to the database while it waits."""

    def __init__(self, database: Database, *, max_streams: int, seconds: float) -> None:
        self._database = database
        self._max_streams = max_streams
        self._of_client = max(PER_CONVERSATION, max_streams // CLIENT_SHARE)
        self.seconds = seconds
        """How long a stream lasts; then its client comes again."""
        self._watchers: dict[UUID, list[Watcher]] = {}
        self._count = 0
        self._clients: Counter[str] = Counter()
        self._anybody = asyncio.Event()
        self._closed = False

    def open(self, head: Head, *, after: int, client: str) -> Watcher:
        """Watch a conversation from the message `after` on. The caller calls `close`, whatever happens.

        `client` stands for whoever has at most a part of all streams: the same for all that one can easily come from.
        Raises StreamsFullError; UnavailableError once the process is about to stop.
        """
        if self._closed:
            raise UnavailableError("It is about to stop.", retry_after=1)
        if self._count >= self._max_streams:
            raise StreamsFullError(retry_after=5)
        if self._clients[client] >= self._of_client:
            raise StreamsFullError("This client has as many as one may have.", retry_after=5)
        watcher = Watcher(head, after, time.monotonic() + self.seconds, client)
        watchers = self._watchers.setdefault(head.conversation_id, [])
        staying = [each for each in watchers if each.ending is None]
        if len(staying) >= PER_CONVERSATION:
            staying[0].end("another one was opened")
        watchers.append(watcher)
        self._counted(client, 1)
        return watcher

    def close(self, watcher: Watcher) -> None:
        """Forget a stream."""
        watchers = self._watchers[watcher.head.conversation_id]
        watchers.remove(watcher)
        if not watchers:
            del self._watchers[watcher.head.conversation_id]
        self._counted(watcher.client, -1)

    def shut(self) -> None:
        """End every stream and open no other: the process is about to stop, and clients find another one."""
        self._closed = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.end("the service is about to stop")

    async def poll(self) -> None:
        """Look once a second what became of all conversations that are watched, until cancelled."""
        while True:
            await self._anybody.wait()
            watched = list(self._watchers)
            try:
                async with self._database.transaction() as session:
                    found = await repository.heads(session, watched)
            except DATABASE_ERRORS as error:
                _log.warning("events_not_polled", error=type(error).__name__)
            else:
                for conversation_id in watched:
                    for watcher in self._watchers.get(conversation_id, ()):
                        watcher.look(found.get(conversation_id))
            await asyncio.sleep(POLL_SECONDS)

    def _counted(self, client: str, change: int) -> None:
        self._clients[client] += change
        if not self._clients[client]:
            del self._clients[client]
        self._count += change
        OPEN.set(self._count)
        if self._count:
            self._anybody.set()
        else:
            self._anybody.clear()


async def head_of(session: AsyncSession, token_hash: bytes) -> Head:
    """How far the conversation has come that a token opens. Raises SessionUnknownError."""
    found = await repository.head(session, token_hash)
    if found is None:
        raise SessionUnknownError
    return found
