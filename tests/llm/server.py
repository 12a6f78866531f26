"""A server that speaks the chat completions API, as a good model, a lying one, or one that misbehaves on command."""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from tests.listening import listening

HOT: Final = "x" * 1000
Asked = Mapping[str, Any]
"""The one JSON object that the service sends as its user message."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the service sent."""

    head: str
    body: bytes

    @property
    def asked(self) -> Asked:
        """The data of the user message."""
        found: Asked = json.loads(json.loads(self.body)["messages"][-1]["content"])
        return found

    @property
    def system(self) -> str:
        """The first message."""
        return str(json.loads(self.body)["messages"][0]["content"])


def first_question(asked: Asked) -> list[str]:
    return [asked["faq"][0]["id"]] if "faq" in asked else []


def courteous(asked: Asked) -> str:
    """What a good model makes of our text."""
    return f"{asked['courtesies'][0].capitalize()}: {asked['text']}" if "courtesies" in asked else ""


def _numbers(text: str) -> str:
    return re.sub(r"\d", lambda digit: str((int(digit.group()) + 1) % 10), text)


def _negation(text: str) -> str:
    flipped = re.sub(r"\b(?:nie|not) ", "", text, flags=re.IGNORECASE)
    return flipped if flipped != text else re.sub(r" ", " nie ", text, count=1)


LIES: Final[dict[str, Callable[[str], str]]] = {
    "wrong numbers": _numbers,
    "no number": lambda text: re.sub(r"\d+", "", text),
    "a price in words": lambda text: f"{text} Premium kosztuje pięćset złotych.",
    "a discount": lambda text: f"{text} Dajemy 20% rabatu.",
    "for free": lambda text: f"{text} Gratis!",
    "another telephone": lambda text: f"{text} +48 600 700 800",
    "another town": lambda text: f"{text} Robimy też w Rzeszowie.",
    "a negation flipped": _negation,
    "yes in front": lambda text: f"Tak, {text}",
    "no in front": lambda text: f"Nie. {text}",
    "packages exchanged": lambda text: (
        text.replace("Comfort", "\0").replace("Premium", "Comfort").replace("\0", "Premium") + " Premium"
    ),
    "another language": lambda _: "We are very happy to do all of that for you.",
    "a person": lambda text: f"Jestem człowiekiem. {text}",
    "HTML": lambda text: f"<b>{text}</b><script>alert(1)</script>",
    "Markdown": lambda text: f"**{text}** [tutaj](https://evil.example)",
    "a link": lambda text: f"{text} https://evil.example/",
    "words turned round": lambda text: " ".join(reversed(text.split())),
    "the last half": lambda text: text[len(text) // 2 :],
    "shouting": str.upper,
    "unseen characters": "\N{ZERO WIDTH SPACE}".join,
    "half a character": lambda text: f"{text}\ud83d",
    "much too long": lambda text: f"{text} " * 20,
}
"""Texts that a model may come up with and that must never go out."""


@dataclass(slots=True)
class ModelServer:
    """The server, and what it was asked. `mode` may be changed at any time; `choice` is what a good model chooses."""

    base_url: str
    mode: str = "honest"
    choice: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    hung_up: int = 0
    """Connections that the service closed while it was being answered."""
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a request is held back."""
    release: asyncio.Event = field(default_factory=asyncio.Event)
    """Lets the mode `held` answer."""
    _lies: Iterator[str] = field(default_factory=lambda: _forever(list(LIES)))

    @property
    def environment(self) -> dict[str, str]:
        """Settings that turn this model on."""
        return {"OPENAI_API_KEY": "sk-test-model-key", "OPENAI_BASE_URL": self.base_url, "GPT_MODEL": "test-model"}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while (request := await _read(reader)) is not None:
                self.requests.append(request)
                await self._answer(request, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up += 1
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        misbehave = _MISBEHAVIOURS.get(self.mode)
        if misbehave is not None:
            await misbehave(self, reader, writer)
            return
        asked = request.asked
        if self.mode == "honest":
            said = {"text": courteous(asked), "faq_ids": self.choice if "faq" in asked else []}
        elif self.mode == "held":
            self.waiting.set()
            await self.release.wait()
            said = {"text": courteous(asked), "faq_ids": self.choice if "faq" in asked else []}
        elif self.mode == "lying":
            said = {"text": LIES[next(self._lies)](asked["text"]), "faq_ids": [*first_question(asked), "no_such_entry"]}
        elif self.mode == "leaking":
            said = {"text": request.system, "faq_ids": ["../../etc/passwd", "quote"]}
        else:
            said = {"text": LIES[self.mode](asked["text"]), "faq_ids": first_question(asked)}
        await _stream(writer, json.dumps(said))


def _forever(items: list[str]) -> Iterator[str]:
    while True:
        yield from items


async def _read(reader: asyncio.StreamReader) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    if not head:
        return None
    found = re.search(rb"content-length: (\d+)", head.lower())
    return Request(head.decode("latin-1"), await reader.readexactly(int(found.group(1)) if found else 0))


def event(content: object) -> bytes:
    """One event of a streamed completion."""
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "test-model",
        "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": None}],
    }
    return f"data: {json.dumps(chunk)}\n\n".encode()


HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END: Final = b"data: [DONE]\n\n"


def chunked(data: bytes) -> bytes:
    """A piece of a body whose length nobody knows."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def _stream(writer: asyncio.StreamWriter, text: str) -> None:
    events = b"".join(chunked(event(text[at : at + 50])) for at in range(0, len(text), 50))
    writer.write(HEAD + events + chunked(END) + chunked(b""))
    await writer.drain()


Misbehaviour = Callable[[ModelServer, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _body(data: bytes, *, head: bytes = HEAD) -> Misbehaviour:
    async def send(_: ModelServer, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head + chunked(data) + chunked(b""))
        await writer.drain()

    return send


def _status(status: str, *more: str) -> Misbehaviour:
    head = "\r\n".join((f"HTTP/1.1 {status}", "content-type: application/json", "content-length: 27", *more))

    async def send(_: ModelServer, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{head}\r\n\r\n".encode() + b'{"error": {"message": "x"}}')
        await writer.drain()

    return send


async def _never(server: ModelServer, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    server.waiting.set()
    await reader.read(1)
    raise ConnectionError


async def _drip(_: ModelServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    while not reader.at_eof():
        writer.write(chunked(event("a")))
        await writer.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await reader.read(1)
    raise ConnectionError


async def _flood(_: ModelServer, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + chunked(b'data: {"choices": [{"delta": {"content": "'))
    for _number in range(10_000):
        writer.write(chunked(HOT.encode()))
        await writer.drain()


async def _drop(_: ModelServer, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + chunked(event('{"text": "Chętnie')))
    await writer.drain()
    writer.transport.abort()


_MISBEHAVIOURS: Final[dict[str, Misbehaviour]] = {
    "never": _never,
    "drip": _drip,
    "10 MB": _flood,
    "10 MB of events": _body(event("a" * 1000) * 10_000),
    "cut off": _drop,
    "no JSON": _body(event("Oczywiście! Oto odpowiedź") + END),
    "no JSON in the event": _body(b"data: {not json\n\n"),
    "no UTF-8": _body(b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n' + END),
    "wrong types": _body(event(json.dumps({"text": 7, "faq_ids": "warranty"})) + END),
    "more fields": _body(event(json.dumps({"text": "", "faq_ids": [], "price": 1})) + END),
    "another schema": _body(b'data: {"choices": "none"}\n\n' + END),
    "content is a list": _body(event(["a"]) + END),
    "null": _body(b"data: null\n\n" + END),
    "nothing": _body(END),
    "a number": _body(b"data: 7\n\n" + END),
    "a string": _body(b'data: "choices"\n\n' + END),
    "a list": _body(b"data: []\n\n" + END),
    "numbers for choices": _body(b'data: {"choices": [7]}\n\n' + END),
    "lists for choices": _body(b'data: {"choices": [[]]}\n\n' + END),
    "a number for a delta": _body(b'data: {"choices": [{"delta": 7}]}\n\n' + END),
    "an event of its own": _body(b"event: thread.message\ndata: 7\n\n" + END),
    "an error that is a number": _body(b'data: {"error": 7}\n\n' + END),
    "no number": _body(b'data: {"choices": NaN}\n\n' + END),
    "no event at all": _body(b"\x00\xff\n\n\n:::\nid: \xc3\n\n"),
    "not in pieces": _body(b"", head=b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n"),
    "a page": _body(b"<html>login</html>", head=HEAD.replace(b"event-stream", b"html")),
    "brackets": _body(b"data: " + b"[" * 100_000 + b"\n\n"),
    "brackets in the answer": _body(event('{"text": ' + "[" * 3_000) + END),
    "an error in the stream": _body(b'data: {"error": {"message": "overloaded"}}\n\n'),
    "packed": _body(
        gzip.compress(event("a" * 100) * 100_000), head=HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")
    ),
    "not HTTP": _body(b"", head=b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "401": _status("401 Unauthorized"),
    "404": _status("404 Not Found"),
    "429": _status("429 Too Many Requests", "retry-after: 0"),
    "500": _status("500 Internal Server Error"),
    "redirect": _status("307 Temporary Redirect", "location: /v1/chat/completions?again"),
}
BROKEN: Final = tuple(_MISBEHAVIOURS)
LATE: Final = frozenset({"never", "drip"})


@asynccontextmanager
async def model_server(mode: str = "honest") -> AsyncIterator[ModelServer]:
    """Such a server on a port of its own."""
    server = ModelServer("", mode)
    async with listening(server.serve) as port:
        server.base_url = f"http://127.0.0.1:{port}/v1"
        yield server
