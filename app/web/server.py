"""What uvicorn lacks: who may keep a connection open for how long, and whose word it takes. Set at start.

It holds however uvicorn is started: `uvicorn app.main:app` without a flag is enough.
"""

import asyncio
import fcntl
import resource
import signal
import sys
import termios
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, Final, cast
from uuid import uuid4

import structlog
import uvicorn
from prometheus_client import Counter, Gauge
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.web.pacing import CONNECTION_KEY, Pace
from app.web.problems import MEDIA_TYPE, TYPE, Problem

PART_BYTES: Final = 4096
"""How much is parsed at once: so much holds 230 requests at most, which are 10 ms of this process's time."""
MAX_HEAD_BYTES: Final = 32 * 1024
"""Request line and headers; a little more may pass. The same for what stands between chunks and after the last one.

The parser itself would keep whatever comes, and copy it for each part that is added."""
MAX_REQUEST_BYTES: Final = 17 * 2**20
"""A whole request: a body that is refused is taken in so far (app/web/admission.py), its end may be anything."""
_OTHER_FILES: Final = 256
"""File descriptors that are no visitor's connection."""

OPEN = Gauge("http_connections", "Connections that are open.")
CLOSED = Counter("http_connections_closed", "Connections that were closed to protect the others.", ("reason",))

_log = structlog.stdlib.get_logger(__name__)


def running_server() -> uvicorn.Server | None:
    """The uvicorn server that runs this process; None in tests and under another server."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if isinstance(server, uvicorn.Server) else None


def harden(server: uvicorn.Server, *, pace: Pace, receive_seconds: float, max_connections: int) -> None:
    """Bound a server's connections and make it deaf to proxies' headers. Before it listens, hence in a lifespan.

    `app.web.client` alone decides who calls: uvicorn's own idea of it trusts 127.0.0.1 unless told otherwise.
    """
    config = server.config
    while isinstance(config.loaded_app, ProxyHeadersMiddleware):
        config.loaded_app = config.loaded_app.app
    config.ws_protocol_class = None
    if config.http_protocol_class is not HttpToolsProtocol:
        _log.warning("connections_unbounded", protocol=str(config.http_protocol_class))
        return
    bounds = Bounds(pace, receive_seconds, max_connections)
    config.http_protocol_class = partial(BoundedProtocol, bounds)  # type: ignore[assignment]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max_connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            if allowed < wanted:
                bounds.max_connections = max(1, allowed - _OTHER_FILES)
                _log.warning("fewer_connections", max_connections=bounds.max_connections, open_files=allowed)


@dataclass(slots=True)
class Bounds:
    """What the connections of one server share."""

    pace: Pace
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


_MALFORMED: Final = (400, "malformed-request", "This is no HTTP request.")
_HEAD_TOO_LARGE: Final = (431, "head-too-large", "The request's head is larger than 32 KiB.")


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds: a size and a time for a request's head, an end for whoever does not read.

    What arrives is parsed in parts, one in each turn of the loop, and no further than to the request after the one that
    is being answered: many requests in one packet would keep everybody waiting.
    """

    def __init__(self, bounds: Bounds, **given: Any) -> None:
        super().__init__(**given)
        self._bounds = bounds
        self._answering = False
        self._in_head = False
        self._head_bytes = 0
        self._request_bytes = 0
        self._unparsed = bytearray()
        self._parsing: asyncio.Handle | None = None
        self._refusal: tuple[int, str, str] | None = None
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
        if self._refusal is not None or self.transport.is_closing():
            self._unparsed.clear()
            return
        if not self.pipeline:
            part = bytes(self._unparsed[:PART_BYTES])
            del self._unparsed[:PART_BYTES]
            super().data_received(part)
            self._bound(len(part))
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
            return
        self._inflow.hold()
        if self._parsing is None and not self.pipeline:
            self._parsing = self.loop.call_soon(self._parse)

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

    def on_headers_complete(self) -> None:
        """A head is there."""
        self._answering = True
        self._in_head = False
        self._forget_head()
        self.resume()
        cast("dict[str, Any]", self.scope)[CONNECTION_KEY] = self
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """An answer was written, if not yet read."""
        next_one = bool(self.pipeline)
        super().on_response_complete()
        if self.transport.is_closing():
            self._expect_reading()
            return
        if not next_one:
            self._answering = False
            self._bounds.idle[self] = None
            if self._refusal is not None:
                self._refuse_in_time()
        self._parse_on()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP with a problem, as everything else is refused."""
        self._refuse(self._refusal or _MALFORMED)

    def _refuse(self, refusal: tuple[int, str, str]) -> None:
        """Answer what there is to answer, then refuse the rest and hang up."""
        if self._refusal is None:
            self._refusal = refusal
            self._inflow.hold()
            if not self._answering:
                self._refuse_in_time()

    def _refuse_in_time(self) -> None:
        peer = self.client[0] if self.client else ""
        self.loop.call_later(self._bounds.pace.delay(peer, self.loop.time()), self._send_refusal)

    def _send_refusal(self) -> None:
        if self._refusal is None or self.transport.is_closing():
            return
        status, code, title = self._refusal
        request_id = uuid4().hex
        _log.info("connection_refused", code=code, request_id=request_id)
        problem = Problem(
            type=f"{TYPE}{code}", title=title, status=status, code=code, detail=None, request_id=request_id
        )
        body = problem.model_dump_json(exclude_none=True).encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {MEDIA_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\nX-Request-ID: {request_id}\r\n"
            "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
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
