"""Who gets in: limits, a bound on requests at once, a size and a time for each. Pure ASGI, before a body is read."""

import asyncio
import math
from contextlib import suppress
from typing import Final

from prometheus_client import Counter, Gauge
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.client import SCOPE_KEY
from app.web.deadlines import Deadlines
from app.web.enforcement import Enforcement, LimitedError
from app.web.pacing import Pace
from app.web.problems import problem_response, too_large
from app.web.ratelimit import Rule
from app.web.sse import STANDING

MAX_BODY_BYTES: Final = 32 * 1024
REFUSED_BYTES: Final = 16 * 2**20
REFUSED_SECONDS: Final = 2.0
"""How much of a body that is too large is read before its client is told, and for how long."""
UNBOUNDED_PATH: Final = "/health/live"
"""Answers whatever else happens: it waits for nothing."""
EXEMPT_AT_ONCE: Final = 16
"""Requests at once to the other routes that no limit holds for."""
RETRY_SECONDS: Final = 1
_LENGTH_DIGITS: Final = 19
_SUCCESS: Final = range(200, 300)
_UNAUTHENTICATED: Final = 401

IN_FLIGHT = Gauge("http_requests_in_flight", "Requests that are being worked on.")
SHED = Counter("http_requests_shed", "Requests that were refused or given up to protect the others.", ("reason",))


class AdmissionMiddleware:
    """Lets a request in when it keeps its limits and there is room, and ends it when its time is over.

    Everything it refuses is a problem: 429 `rate-limited`, 503 `overloaded`, 413 `body-too-large` for more than
    MAX_BODY_BYTES, announced or in chunks, 408 `request-timeout` when a body does not arrive within `receive_seconds`,
    503 `deadline-exceeded` when no answer has begun after `request_seconds`. A standing stream is one of the requests
    at once until it begins; its feature bounds how many there are. A client with many refusals waits for them outside
    (app/web/pacing.py).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        pace: Pace,
        at_once: int,
        receive_seconds: float,
        request_seconds: float,
    ) -> None:
        self._app = app
        self._pace = pace
        self._at_once = at_once
        self._receive_seconds = receive_seconds
        self._request_seconds = request_seconds
        self._inside = 0
        self._exempt_inside = 0
        self._deadlines = Deadlines()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        enforcement: Enforcement = scope["app"].state.enforcement
        rule = enforcement.rule(scope)
        if rule.exempt:
            if scope[SCOPE_KEY].public:  # supervisors and load balancers ask from networks of our own
                await self._pace.wait(scope)
            await self._exempt(scope, receive, send)
            return
        if self._inside >= self._at_once:
            await self._pace.wait(scope)
            await _overloaded(scope, receive, send)
            return
        self._count(1)
        counted = True

        async def send_and_let_go(message: Message) -> None:
            nonlocal counted
            if counted and STANDING in scope:
                counted = False
                self._count(-1)
            await send(message)

        try:
            refusal = await self._admit(enforcement, rule, scope, receive, send_and_let_go)
        finally:
            if counted:
                self._count(-1)
        if refusal is not None:
            await self._pace.wait(scope)
            await refusal(scope, receive, send)

    def _count(self, change: int) -> None:
        self._inside += change
        IN_FLIGHT.set(self._inside)

    async def _exempt(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == UNBOUNDED_PATH:
            await self._app(scope, receive, send)
        elif self._exempt_inside >= EXEMPT_AT_ONCE:
            await _overloaded(scope, receive, send)
        else:
            self._exempt_inside += 1
            try:
                await self._timed(scope, receive, send)
            finally:
                self._exempt_inside -= 1

    async def _admit(
        self, enforcement: Enforcement, rule: Rule, scope: Scope, receive: Receive, send: Send
    ) -> Response | None:
        """Answer a request that keeps its limits; gives the refusal of one that does not."""
        request = Request(scope)
        try:
            standing, policies = await enforcement.enforce(rule, request)
        except LimitedError as limited:
            return problem_response(
                429,
                code="rate-limited",
                title="Too many requests.",
                headers={
                    "Retry-After": str(limited.verdict.retry_after()),
                    "RateLimit": limited.verdict.header(),
                    "RateLimit-Policy": limited.policies,
                },
            )

        async def send_with_standing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"ratelimit", standing.encode("latin-1")),
                    (b"ratelimit-policy", policies.encode("latin-1")),
                ]
                if rule.keyed:
                    if message["status"] in _SUCCESS:
                        enforcement.key_worked(request)
                    elif message["status"] == _UNAUTHENTICATED:
                        enforcement.key_failed(request)
            await send(message)

        await self._timed(scope, receive, send_with_standing)
        return None

    async def _timed(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = asyncio.get_running_loop().time()
        announced = _announced_length(scope)
        if announced is not None and announced > MAX_BODY_BYTES:
            if not _waits_for_permission(scope):
                await _take_in(receive)
            await too_large()(scope, receive, send)
            return
        receiving = announced != 0
        received = 0
        answered = False

        async def receive_watched() -> Message:
            nonlocal receiving, received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                await _take_in(receive)
                raise HTTPException(413)
            if receiving and not message.get("more_body", False):
                receiving = False
                if not answered:
                    deadline.at = began + self._request_seconds
            return message

        async def send_watched(message: Message) -> None:
            nonlocal answered
            if not answered:
                answered = True
                deadline.at = math.inf
            await send(message)

        deadline = self._deadlines.set(began + (self._receive_seconds if receiving else self._request_seconds))
        try:
            await self._app(scope, receive_watched, send_watched)
        except asyncio.CancelledError:
            if not deadline.passed():
                raise
        finally:
            self._deadlines.lift(deadline)
        if deadline.over and not answered:
            await (_body_late() if receiving else _answer_late())(scope, receive, send)


def _announced_length(scope: Scope) -> int | None:
    """Bytes of the body; None when it comes in chunks, until it ends."""
    length = 0
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length" and value.isdigit():
            length = int(value.lstrip(b"0")[:_LENGTH_DIGITS] or b"0")  # more digits make it no smaller
    return length


def _waits_for_permission(scope: Scope) -> bool:
    """Whether the client sends its body only when told to go on (RFC 9110, section 10.1.1)."""
    return any(name == b"expect" for name, _ in scope["headers"])


async def _take_in(receive: Receive) -> None:
    """Read a body that is refused, and forget it: a client that is cut off while it sends does not read the answer."""
    taken, more = 0, True
    with suppress(TimeoutError):
        async with asyncio.timeout(REFUSED_SECONDS):
            while more and taken < REFUSED_BYTES:
                message = await receive()
                taken += len(message.get("body", b""))
                more = message.get("more_body", False)


async def _overloaded(scope: Scope, receive: Receive, send: Send) -> None:
    SHED.labels("overloaded").inc()
    response = problem_response(
        503,
        code="overloaded",
        title="The service has too much to do right now.",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )
    await response(scope, receive, send)


def _body_late() -> Response:
    SHED.labels("body_late").inc()
    return problem_response(
        408, code="request-timeout", title="The request did not arrive in time.", headers={"Connection": "close"}
    )


def _answer_late() -> Response:
    SHED.labels("deadline").inc()
    return problem_response(
        503,
        code="deadline-exceeded",
        title="The request took too long and was given up.",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )
