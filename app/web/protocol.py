"""uvicorn's HTTP protocol with bounds: what a connection may say, how slowly, and who leaves when it gets crowded."""

import asyncio
import fcntl
import re
import sys
import termios
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, cast
from uuid import uuid4

import structlog
from httptools import HttpParserInvalidMethodError
from prometheus_client import Counter, Gauge
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.web.pacing import CONNECTION_KEY, Pace
from app.web.problems import MEDIA_TYPE, TYPE, Problem

PART_BYTES: Final = 4096
"""How much is parsed at once: so much holds 230 requests at most, which are 10 ms of this process's time."""
MAX_HEAD_BYTES: Final = 16 * 1024
"""Request line and headers; a little more may pass. The same for what stands between chunks and after the last one.

The parser itself would keep whatever comes, and copy it for each part that is added."""
MAX_REQUEST_BYTES: Final = 17 * 2**20
"""A whole request: a body that is refused is taken in so far (app/web/admission.py), its end may be anything."""

Headers = Iterable[tuple[bytes, bytes]]

OPEN = Gauge("http_connections", "Connections that are open.")
CLOSED = Counter("http_connections_closed", "Connections that were closed to protect the others.", ("reason",))


_log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class Bounds:
    """What the connections of one server share."""

    pace: Pace
    headers: Headers
    receive_seconds: float
    """In which a request's head must arrive, and a client must have read something of what waits for it."""
    max_connections: int
    idle: "OrderedDict[BoundedProtocol, None]" = field(default_factory=OrderedDict)
    """Connections on which nothing is worked on, the one that has waited longest first: they go first when it gets
    crowded."""


class _Inflow(FlowControl):
    """Reading that stays paused while it is `held`, whoever asks for more."""

    held = False

    def hold(self) -> None:
        """Read nothing more until released."""
        self.held = True
        self.pause_reading()

    def release(self) -> None:
        """Read on."""
        if self.held:
            self.held = False
            self.resume_reading()

    def resume_reading(self) -> None:
        """Read on, unless held."""
        if not self.held:
            super().resume_reading()


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why what arrives is no request."""

    status: int
    code: str
    title: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


_MALFORMED: Final = _Refusal(400, "malformed-request", "This is no HTTP request.")
_HEAD_TOO_LARGE: Final = _Refusal(431, "head-too-large", "The request's head is larger than 16 KiB.")
_METHODS: Final = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
_METHOD_UNKNOWN: Final = _Refusal(
    405, "method-not-allowed", "This path does not support the method.", ((b"allow", _METHODS.encode()),)
)
_OTHER_METHOD: Final = re.compile(
    rf"(?:^|\n)(?!(?:{_METHODS.replace(', ', '|')}) )[!#$%&'*+.^_`|~0-9A-Za-z-]+ \S+ HTTP/1\.[01]\r?\n".encode()
)


_BODIES: Final = frozenset({b"content-length", b"transfer-encoding"})


class _AmbiguousError(Exception):
    """The head may be read in two ways. httptools makes a parser's error of it."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds: a size and a time for a request's head, an end for whoever does not read.

    What arrives is parsed in parts, one in each turn of the loop, and no further than to the request after the one that
    is being answered: many requests in one packet would keep everybody waiting.
    """

    def __init__(self, bounds: Bounds, **given: Any) -> None:
        super().__init__(**given)
        self._bounds = bounds
        self._answering = False
        self._answered: RequestResponseCycle | None = None
        """The request that is answered now, or was last; `cycle` is the one that came last."""
        self._in_head = False
        self._head_bytes = 0
        self._request_bytes = 0
        self._part = b""
        self._unparsed = bytearray()
        self._parsing: asyncio.Handle | None = None
        self._deaf = False
        """What arrives now is not read any more."""
        self._ended = False
        """Nothing will arrive any more."""
        self._standing = False
        """The answer stays open."""
        self._refusal: _Refusal | None = None
        self._head_due: asyncio.TimerHandle | None = None
        self._reading_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection; when there are too many, the longest idle one leaves, else the new one."""
        super().connection_made(transport)
        self.flow = self._inflow = _Inflow(transport)
        transport.set_write_buffer_limits(high=0)  # whoever reads too slowly is noticed with the first byte that waits
        self._bounds.idle[self] = None
        self._expect_head()
        if len(self.connections) > self._bounds.max_connections:
            CLOSED.labels("crowded").inc()
            next(iter(self._bounds.idle)).transport.abort()
        OPEN.set(len(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._bounds.idle.pop(self, None)
        self._forget_head()
        self._forget_reading()
        self._unparsed.clear()
        if self._parsing is not None:
            self._parsing.cancel()
        if self._answered is not None:
            self._answered.disconnected = not self._answered.response_complete
            self._answered.message_event.set()
        super().connection_lost(exc)
        OPEN.set(len(self.connections))

    def data_received(self, data: bytes) -> None:
        """Read on. What arrives between two requests must become a whole head in time."""
        self._unparsed += data
        if self._parsing is None:
            self._parse()

    def _parse(self) -> None:
        """Parse the next part, unless a request waits for its turn already, or nobody will be answered any more."""
        self._parsing = None
        if self._deaf or self.transport.is_closing():
            self._request_bytes += len(self._unparsed)
            self._unparsed.clear()
            if self._standing:
                self._bound(0)
            return
        if not self.pipeline:
            self._part = bytes(self._unparsed[:PART_BYTES])
            del self._unparsed[:PART_BYTES]
            super().data_received(self._part)
            self._bound(len(self._part))
            if self._head_due is None and not self._answering:
                self._expect_head()
        self._parse_on()

    def _bound(self, parsed: int) -> None:
        self._head_bytes += parsed
        self._request_bytes += parsed
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(_HEAD_TOO_LARGE)
        elif self._head_bytes > MAX_HEAD_BYTES or self._request_bytes > MAX_REQUEST_BYTES:
            CLOSED.labels("too_large").inc()
            self.transport.abort()

    def _parse_on(self) -> None:
        if not self._unparsed:
            self._inflow.release()
            if self._ended:
                self._end()
            return
        self._inflow.hold()
        if self._parsing is None and not self.pipeline:
            self._parsing = self.loop.call_soon(self._parse, context=Context())  # not the one of the request before

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        self._head_bytes = self._request_bytes = 0
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """Some of a request's body."""
        self._head_bytes = 0
        super().on_body(body)

    def rest(self) -> None:
        """A request waits here and nothing is worked on."""
        if not self.transport.is_closing():
            self._bounds.idle[self] = None

    def resume(self) -> None:
        """It is answered now."""
        self._bounds.idle.pop(self, None)

    def stand(self) -> None:
        """The answer that begins stays open, hence is the last one here: nothing that follows is read as a request.

        What arrives is read all the same, or nobody would notice that the client leaves.
        """
        if self._answered is None or self._ended:
            self.transport.close()
            return
        self._standing = self._deaf = True
        self._answered.keep_alive = False
        self._refusal = None
        self._in_head = False
        self._head_bytes = self._request_bytes = 0
        self._unparsed.clear()
        self.pipeline.clear()
        self._inflow.release()
        self._inflow.resume_reading()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header. What comes after a body is left alone: a proxy did not look at it (RFC 9110, section 6.5.1)."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A head is there."""
        self._check_head()
        cast("dict[str, Any]", self.scope)[CONNECTION_KEY] = self
        super().on_headers_complete()
        self._answering = True
        self._in_head = False
        self._forget_head()
        self.resume()
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _check_head(self) -> None:
        """Refuse what two readers could understand differently; the host of a target in absolute form counts.

        RFC 9112, sections 3.2 and 3.2.2.
        """
        names = [name for name, _ in self.headers]
        hosts = names.count(b"host")
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            raise _AmbiguousError("a request names exactly one host")
        if self.parser.should_upgrade() and not _BODIES.isdisjoint(names):
            raise _AmbiguousError("a body before a change of protocol is read by some and not by others")
        if not self.url.startswith(b"/") and b"://" in self.url:
            authority = self.url.split(b"/", 3)[2]
            self.headers[:] = [pair for pair in self.headers if pair[0] != b"host"] + [(b"host", authority)]

    def _unsupported_upgrade_warning(self) -> None:
        """The request is answered as if it did not ask for another protocol; what follows may be in any language."""
        self._deaf = True
        self._unparsed.clear()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client says no more. Whoever still waits for an answer gets it; a stream would never end."""
        self._ended = True
        if not self._unparsed:
            self._end()
        return True

    def _end(self) -> None:
        """Hang up when nobody waits for an answer that can still be given. What is not whole never will be."""
        if self.pipeline and self.pipeline[0][0].more_body:
            self.pipeline.popleft()
        whole = self._answered is not None and not self._answered.more_body
        if self._refusal is None and (self._standing or not self._answering or not whole):
            self.transport.close()

    def on_response_complete(self) -> None:
        """An answer was written, if not yet read."""
        next_one = bool(self.pipeline)
        super().on_response_complete()
        if self.transport.is_closing():
            self._expect_reading()
            return
        if not next_one and self.expect_100_continue and self.cycle.more_body:
            self.transport.close()  # refused: a body may come now, or the next request (RFC 9110, section 10.1.1)
        elif not next_one:
            self._answering = False
            self._bounds.idle[self] = None
            if self._in_head:
                self._expect_head()
            if self._refusal is not None:
                self._refuse_in_time()
        self._parse_on()
        if self.transport.is_closing():
            self._expect_reading()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP with a problem, as everything else is refused."""
        unknown = isinstance(sys.exception(), HttpParserInvalidMethodError) and _OTHER_METHOD.search(self._part)
        self._refuse(_METHOD_UNKNOWN if unknown else _MALFORMED)

    def _refuse(self, refusal: _Refusal) -> None:
        """Answer what there is to answer, then refuse the rest and hang up."""
        if self._refusal is None:
            self._refusal, self._deaf = refusal, True
            self._inflow.hold()
            if not self._answering:
                self._refuse_in_time()

    def _refuse_in_time(self) -> None:
        peer = self.client[0] if self.client else ""
        self.loop.call_later(self._bounds.pace.delay(peer, self.loop.time()), self._send_refusal, context=Context())

    def _send_refusal(self) -> None:
        if self._refusal is None or self.transport.is_closing():
            return
        found, request_id = self._refusal, uuid4().hex
        _log.info("connection_refused", code=found.code, request_id=request_id)
        problem = Problem(
            type=f"{TYPE}{found.code}",
            title=found.title,
            status=found.status,
            code=found.code,
            detail=None,
            request_id=request_id,
        )
        body = problem.model_dump_json(exclude_none=True).encode()
        headers = (
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
            *found.headers,
            *self._bounds.headers,
        )
        line = f"HTTP/1.1 {found.status} {HTTPStatus(found.status).phrase}\r\n".encode()
        self.transport.write(line + b"".join(b"%b: %b\r\n" % pair for pair in headers) + b"\r\n" + body)
        self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing more came: close, but not before the client had its time to read."""
        super().timeout_keep_alive_handler()
        self._expect_reading()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """It has taken everything."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._forget_reading()

    def _expect_head(self) -> None:
        self._head_due = self.loop.call_later(self._bounds.receive_seconds, self._head_late)

    def _forget_head(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def _head_late(self) -> None:
        CLOSED.labels("head_late").inc()
        self.transport.abort()

    def _expect_reading(self) -> None:
        if self._reading_due is None:
            self._reading_due = self.loop.call_later(self._bounds.receive_seconds, self._reading_late, self._untaken())

    def _untaken(self) -> int:
        """Bytes that the client has not taken: what waits here, and what the kernel has and nobody acknowledged.

        Ours alone would call a slow client deaf: a kernel takes more only when a good part of what it has is gone.
        """
        waiting = int(self.transport.get_write_buffer_size())
        with suppress(OSError, ValueError):
            answer = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
            waiting += int.from_bytes(answer, sys.byteorder)
        return waiting

    def _forget_reading(self) -> None:
        if self._reading_due is not None:
            self._reading_due.cancel()
            self._reading_due = None

    def _reading_late(self, waited: int) -> None:
        self._reading_due = None
        if not self.transport.get_write_buffer_size():
            return
        if self._untaken() >= waited:
            CLOSED.labels("unread").inc()
            self.transport.abort()
        else:
            self._expect_reading()
