"""A mail server in the script's own process, with a memory of every mail and moods that it is put into.

The user who logs in is the worker's name.
"""

import asyncio
import base64
import email
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email import policy
from enum import StrEnum
from typing import Final

from app.core import clock

REPEAT_MARKS: Final = ("Możliwe powtórzenie", "Possible repeat")
GREYLISTED: Final = 0.04
DROPPED: Final = 0.03


class Mood(StrEnum):
    """How it treats who comes."""

    FINE = "fine"
    AWAY = "421"
    CUT = "cut at once"
    BUSY = "421 to the recipient"
    GREY = "450"
    DROP = "dropped after the content"


class Stage(StrEnum):
    """Moments at which somebody may lie in wait for a worker."""

    CONTENT = "before the content"
    YES = "after the yes"


@dataclass(slots=True)
class Attempt:
    """One connection that named a recipient."""

    worker: str
    recipient: str
    came: datetime
    """Simulated, as are all but the times called real."""
    answer: str = "none"
    message_id: str | None = None
    """Set when the content came whole, whatever was answered."""
    alert: str = ""
    link: str = ""
    asks: bool = False
    """Not a follow-up, but the question whether an unsubscribed address wants mails again."""
    marked: bool = False
    came_real: datetime | None = None
    answered_real: datetime | None = None
    """When the yes was written to the last byte."""

    @property
    def taken(self) -> bool:
        """Whether its reader has it."""
        return self.message_id is not None


class Mailbox:
    """The server. `now` gives the simulated time; `whims`: it also refuses and drops by chance."""

    def __init__(self, rng: random.Random, now: Callable[[], datetime], *, whims: bool = True) -> None:
        self.attempts: list[Attempt] = []
        self.turned_away = 0
        """Connections that were refused before they named a recipient."""
        self.ambushes: list[tuple[Stage, Callable[[str], None]]] = []
        self._rng = rng
        self._now = now
        self._whims = whims
        self._moods: Sequence[Mood] = (Mood.FINE,)
        self._greeted: set[str] = set()
        self._dropped: set[str] = set()

    @contextmanager
    def trouble(self, moods: Sequence[Mood]) -> Iterator[None]:
        """Treat each connection in one of these ways until the block ends."""
        self._moods = moods
        try:
            yield
        finally:
            self._moods = (Mood.FINE,)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        await self._talk(reader, writer, self._rng.choice(self._moods))

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mood: Mood) -> None:
        if mood in {Mood.AWAY, Mood.CUT}:
            self.turned_away += 1
            if mood is Mood.AWAY:
                await _say(writer, "421 4.3.2 Come back later")
            return
        await _say(writer, "220 mailbox.example ESMTP")
        worker, attempt = "", None
        while line := (await reader.readuntil(b"\r\n")).decode("ascii").strip():
            verb = line[:4].upper()
            if verb == "EHLO":
                await _say(writer, "250-mailbox.example\r\n250-AUTH PLAIN\r\n250 8BITMIME")
            elif verb == "AUTH":
                worker = base64.b64decode(line.split()[2]).split(b"\0")[1].decode()
                await _say(writer, "235 2.7.0 Welcome")
            elif verb == "MAIL":
                await _say(writer, "250 2.1.0 OK")
            elif verb == "RCPT":
                attempt = Attempt(worker, _address(line), self._now(), came_real=clock.now())
                self.attempts.append(attempt)
                attempt.answer = self._first_answer(attempt, mood)
                await _say(writer, f"{attempt.answer} about {attempt.recipient}")
                if attempt.answer == "421":
                    return
            elif verb == "DATA":
                assert attempt is not None
                self._spring(Stage.CONTENT, worker)
                await _say(writer, "354 Go on")
                _read(attempt, await reader.readuntil(b"\r\n.\r\n"))
                if self._drops(attempt, mood):
                    attempt.answer = "dropped"
                    writer.transport.abort()
                    return
                await _say(writer, "250 2.0.0 Taken")
                attempt.answer, attempt.answered_real = "250", clock.now()
                self._spring(Stage.YES, worker)
            elif verb == "QUIT":
                await _say(writer, "221 2.0.0 Bye")
                return
            else:
                await _say(writer, "250 2.0.0 OK")

    def _first_answer(self, attempt: Attempt, mood: Mood) -> str:
        if mood is Mood.BUSY:
            return "421"
        new = attempt.recipient not in self._greeted
        self._greeted.add(attempt.recipient)
        return "450" if mood is Mood.GREY or (new and self._chance(GREYLISTED)) else "250"

    def _drops(self, attempt: Attempt, mood: Mood) -> bool:
        """At most once for each mail."""
        assert attempt.message_id is not None
        if attempt.message_id in self._dropped or not (mood is Mood.DROP or self._chance(DROPPED)):
            return False
        self._dropped.add(attempt.message_id)
        return True

    def _chance(self, share: float) -> bool:
        return self._whims and self._rng.random() < share

    def _spring(self, stage: Stage, worker: str) -> None:
        for ambush in [found for found in self.ambushes if found[0] is stage][:1]:
            self.ambushes.remove(ambush)
            ambush[1](worker)


def _read(attempt: Attempt, content: bytes) -> None:
    mail = email.message_from_bytes(content.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n."), policy=policy.default)
    body = mail.get_body(("plain",))
    text = body.get_content() if body is not None else ""
    attempt.alert = str(mail["X-NovaHouse-Alert"])
    attempt.link = str(mail["List-Unsubscribe"] or "").strip("<> ")
    attempt.asks = "about=opt_in" in text
    attempt.marked = any(mark in text for mark in REPEAT_MARKS)
    attempt.message_id = str(mail["Message-ID"])


def _address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]


async def _say(writer: asyncio.StreamWriter, reply: str) -> None:
    writer.write(f"{reply}\r\n".encode("ascii"))
    await writer.drain()
