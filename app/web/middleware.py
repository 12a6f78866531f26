"""The outermost layers of every request: its ids, its caller, the headers of every answer, the last catch.

Pure ASGI. `RequestMiddleware` stands outside CORS, so that a preflight has an id and our headers too; `CatchMiddleware`
stands inside, so that a browser may read a 500.
"""

import os
import re
from collections.abc import Iterable
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.client import Callers
from app.web.pacing import Pace
from app.web.problems import internal_error, problem_response

PREFLIGHT_SECONDS: Final = 7_200
"""How long browsers may remember a preflight; none of them remembers it longer."""

_REQUEST_ID: Final = re.compile(
    rb"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|(?=[0-9]*[a-f])[0-9a-f]{16,64}|(?=[0-9]*[A-F])[0-9A-F]{16,64}"
    rb"|(?!(?:[^0-9]*[0-9]){9})(?!(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z]).{40})[A-Za-z0-9-]{8,64}"
)
"""A UUID, a digest, or what holds neither a telephone number nor a token: nothing that our logs hide, or should."""
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
)
SAFE_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
TRANSPORT_SECURITY: Final = (b"strict-transport-security", b"max-age=31536000")

_log = structlog.stdlib.get_logger(__name__)


class RequestMiddleware:
    """Gives each request an id, its caller and a place in the caller's trace, which logs, alerts and the answer carry.

    A caller's `X-Request-ID` is taken over when it is 8 to 64 letters, digits and hyphens and can be nobody's number or
    secret (`_REQUEST_ID`), its `traceparent` when it is valid by W3C Trace Context; else both begin here.
    `transport_security`: browsers shall come by TLS only from now on.
    """

    def __init__(self, app: ASGIApp, *, callers: Callers, transport_security: bool = False) -> None:
        self._app = app
        self._callers = callers
        self._headers = safe_headers(transport_security=transport_security)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, (trace_id, traceparent) = _identify(scope["headers"])
        structlog.contextvars.clear_contextvars()
        client = self._callers.identify(scope)
        structlog.contextvars.bind_contextvars(request_id=request_id, trace_id=trace_id, client_hash=client.hashed)
        ids = ((b"x-request-id", request_id.encode()), (b"traceparent", traceparent))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                message["headers"] = [*given, *ids, *(pair for pair in self._headers if pair[0] not in names)]
            await send(message)

        await self._app(scope, receive, send_with_headers)


class CorsMiddleware(CORSMiddleware):
    """CORS for exactly these origins, without credentials; what it refuses it refuses with a problem.

    A preflight counts against no limit, hence it is paced like a refusal.
    """

    def __init__(self, app: ASGIApp, *, pace: Pace, origins: Iterable[str]) -> None:
        self._pace = pace
        super().__init__(
            app,
            allow_origins=tuple(origins),
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=(
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "Last-Event-ID",
                "X-Request-ID",
                "traceparent",
            ),
            expose_headers=(
                "X-Request-ID",
                "traceparent",
                "Idempotent-Replayed",
                "Retry-After",
                "RateLimit",
                "RateLimit-Policy",
            ),
            max_age=PREFLIGHT_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            await self._pace.wait(scope)
        await super().__call__(scope, receive, send)

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a preflight."""
        response = super().preflight_response(request_headers)
        if response.status_code == 200:  # noqa: PLR2004  its name is its meaning
            return response
        vary = {"Vary": response.headers["Vary"]}
        return problem_response(400, code="cors-refused", title="Pages of that origin may not send this.", headers=vary)


class CatchMiddleware:
    """Turns what nobody caught into a 500. A client that has gone is answered nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answered = False

        async def send_and_remember(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_remember)
        except ClientDisconnect:
            _log.debug("client_gone")
        except Exception:
            _log.exception("request_failed", method=scope["method"])
            if answered:
                raise
            await internal_error()(scope, receive, send)


def safe_headers(*, transport_security: bool) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of every answer that says nothing else."""
    return (*SAFE_HEADERS, TRANSPORT_SECURITY) if transport_security else SAFE_HEADERS


def _identify(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, tuple[str, bytes]]:
    """Request id, and trace id with the `traceparent` of our part in it."""
    request_id = None
    parents: list[bytes] = []
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            request_id = value.decode()
        elif name == b"traceparent":
            parents.append(value)
    fresh = os.urandom(40).hex()
    return request_id or fresh[:32], _trace(parents, trace_id=fresh[32:64], span_id=fresh[64:])


def _trace(parents: list[bytes], *, trace_id: str, span_id: str) -> tuple[str, bytes]:
    """The caller's trace when exactly one valid `traceparent` names it, else the new one."""
    found = _TRACEPARENT.fullmatch(parents[0]) if len(parents) == 1 else None
    flags = "00"
    if found and not (found[1] == b"00" and found[4]):
        trace_id, flags = found[2].decode(), "01" if int(found[3], 16) & 1 else "00"
    return trace_id, f"00-{trace_id}-{span_id}-{flags}".encode()
