"""All that the sink remembers, in memory and bounded: messages, refusals, counts and how each channel is to behave."""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import count
from typing import Any, Final

from app.core import clock

MAX_MESSAGES: Final = 1000
MAX_REJECTIONS: Final = 200
MAX_TIMES: Final = 1000
EXCERPT_CHARACTERS: Final = 600


class ChannelName(StrEnum):
    """What the sink plays."""

    SLACK = "slack"
    MONDAY = "monday"
    EMAIL = "email"


class Mode(StrEnum):
    """How a channel answers."""

    OK = "ok"
    STATUS = "status"
    REDIRECT = "redirect"
    SLOW = "slow"
    HANG = "hang"
    RESET = "reset"
    GARBAGE = "garbage"


class Stage(StrEnum):
    """Where in a mail's conversation the sink does what it was told."""

    CONNECT = "connect"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way to answer. With `accept` the message is taken first, so that only its sender does not learn of it."""

    mode: Mode = Mode.OK
    status: int = 500
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    delay_ms: int = 1000
    accept: bool = False
    at: Stage | None = None
    """For mail; see `stage`."""

    @property
    def stage(self) -> Stage:
        """Mail that is accepted has been sent to its end; a status is the answer to that too, unless `at` says where.

        Everything else happens on connecting unless `at` says otherwise.
        """
        if self.accept:
            return Stage.DATA
        return self.at or (Stage.DATA if self.mode is Mode.STATUS else Stage.CONNECT)


OBEDIENT: Final = Behaviour()


@dataclass(frozen=True, slots=True)
class Message:
    """One message that the channel took. `content` is Slack's payload, monday's item, or a mail taken apart."""

    id: int
    channel: ChannelName
    received_at: datetime
    content: dict[str, Any]
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Rejection:
    """One request that the real service would have refused too, and why."""

    id: int
    channel: ChannelName
    received_at: datetime
    status: int
    reason: str
    excerpt: str


@dataclass(slots=True)
class Tally:
    """What one channel has seen since the last clearing."""

    requests: int = 0
    accepted: int = 0
    replayed: int = 0
    rejected: int = 0
    misbehaved: int = 0
    requested_at: deque[datetime] = field(default_factory=lambda: deque(maxlen=MAX_TIMES))


class SinkState:
    """The one mutable thing in the sink. `version` changes with everything a page shows."""

    def __init__(self) -> None:
        self.version = 0
        self.messages: deque[Message] = deque(maxlen=MAX_MESSAGES)
        self.rejections: deque[Rejection] = deque(maxlen=MAX_REJECTIONS)
        self.tallies = {name: Tally() for name in ChannelName}
        self.closing = asyncio.Event()
        self._behaviours: dict[ChannelName, tuple[Behaviour, int | None]] = {}
        self._changed: dict[ChannelName, asyncio.Event] = {name: asyncio.Event() for name in ChannelName}
        self._ids = count(1)

    def arrived(self, channel: ChannelName) -> Behaviour:
        """Count a request and say how to answer it; a behaviour with a number of times is used up by that."""
        tally = self.tallies[channel]
        tally.requests += 1
        tally.requested_at.append(clock.now())
        self.version += 1
        behaviour, times = self.behaviour(channel)
        if times is not None:
            self._behaviours[channel] = (behaviour, times - 1)
        if behaviour.mode is not Mode.OK:
            tally.misbehaved += 1
        return behaviour

    def behaviour(self, channel: ChannelName) -> tuple[Behaviour, int | None]:
        """How the next request is answered, and how many of them (None: until told otherwise)."""
        behaviour, times = self._behaviours.get(channel, (OBEDIENT, None))
        return (OBEDIENT, None) if times == 0 else (behaviour, times)

    def command(self, channel: ChannelName, behaviour: Behaviour, times: int | None) -> None:
        """Answer so from now on. Requests that hang are let go."""
        self._behaviours[channel] = (behaviour, times)
        self._changed[channel].set()
        self._changed[channel] = asyncio.Event()
        self.version += 1

    async def interruption(self, channel: ChannelName) -> None:
        """Wait until the channel gets another command or the sink closes."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._changed[channel], self.closing)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def accept(self, channel: ChannelName, content: dict[str, Any], headers: dict[str, str]) -> Message:
        """Keep a message that the channel took."""
        message = Message(next(self._ids), channel, clock.now(), content, headers)
        self.messages.append(message)
        self.tallies[channel].accepted += 1
        self.version += 1
        return message

    def withdraw(self, channel: ChannelName, content_id: str) -> None:
        """Forget what the channel took under this id: its sender had it deleted."""
        kept = [m for m in self.messages if m.channel is not channel or m.content.get("id") != content_id]
        self.messages = deque(kept, maxlen=MAX_MESSAGES)
        self.version += 1

    def replay(self, channel: ChannelName) -> None:
        """Count a repeat that was answered from memory."""
        self.tallies[channel].replayed += 1
        self.version += 1

    def reject(self, channel: ChannelName, *, status: int, reason: str, body: bytes) -> None:
        """Keep a refusal, with the beginning of what was sent."""
        excerpt = body[: 4 * EXCERPT_CHARACTERS].decode("utf-8", "replace")[:EXCERPT_CHARACTERS]
        self.rejections.append(Rejection(next(self._ids), channel, clock.now(), status, reason, excerpt))
        self.tallies[channel].rejected += 1
        self.version += 1

    def of(self, channel: ChannelName | None) -> Iterator[Message]:
        """Messages, newest last."""
        return (message for message in self.messages if channel in (None, message.channel))

    def clear(self) -> None:
        """Forget messages, refusals and counts. Behaviours stay as commanded."""
        self.messages.clear()
        self.rejections.clear()
        self.tallies = {name: Tally() for name in ChannelName}
        self.version += 1
