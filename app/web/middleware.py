"""The outermost layer of every request: its id, its size, the headers of every answer, the last catch. Pure ASGI."""

import re
import uuid

import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.problems import problem_response, too_large

MAX_BODY_BYTES = 32 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_DOCS_PATHS = ("/docs", "/redoc")
_API_CSP = "default-src 'none'; frame-ancestors 'none'"

_log = structlog.stdlib.get_logger(__name__)


class RequestMiddleware:
    """Gives each request an id that logs, alerts and the answer carry, and turns what nobody caught into a 500.

    A body over `MAX_BODY_BYTES` is 413, whether its length was announced or it comes in chunks.

    A caller's `X-Request-ID` is taken over when it is 8 to 64 letters, digits and hyphens.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        answered = False
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                raise HTTPException(413)
            return message

        async def send_with_headers(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers.setdefault("Cache-Control", "no-store")
                if not scope["path"].startswith(_DOCS_PATHS):
                    headers.setdefault("Content-Security-Policy", _API_CSP)
            await send(message)

        try:
            if _announced_length(scope) > MAX_BODY_BYTES:
                await too_large()(scope, receive, send_with_headers)
            else:
                await self._app(scope, receive_bounded, send_with_headers)
        except Exception:
            _log.exception("request_failed", method=scope["method"])
            if answered:
                raise
            response = problem_response(500, code="internal-error", title="We made a mistake; it is logged.")
            await response(scope, receive, send_with_headers)


def _announced_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given: str = value.decode("latin-1")
            if _REQUEST_ID.fullmatch(given):
                return given
    return uuid.uuid4().hex
