"""Who gets in: hosts, limits, a bound on requests at once, a size and a time for each. Pure ASGI, before FastAPI."""

import asyncio
import math
import re
from collections.abc import Iterable
from typing import Final, cast

from prometheus_client import Counter, Gauge
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.bodies import BodyTooLargeError, has_body, receive_body, replay
from app.web.client import SCOPE_KEY
from app.web.deadlines import Deadlines
from app.web.enforcement import Enforcement, LimitedError
from app.web.pacing import CONNECTION_KEY, Connection, Pace
from app.web.problems import problem_response, too_large
from app.web.ratelimit import Rule
from app.web.sse import STANDING

UNBOUNDED_PATH: Final = "/health/live"
"""Answers whatever else happens: it waits for nothing."""
EXEMPT_AT_ONCE: Final = 16
"""Requests at once to the other routes that no limit holds for."""
RETRY_SECONDS: Final = 1
_SUCCESS: Final = range(200, 300)
_UNAUTHENTICATED: Final = 401
_ANY_HOST_PATHS: Final = ("/health/", "/metrics")
"""Asked by address, from load balancers and supervisors that know no name."""
_LOOPBACK: Final = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})

IN_FLIGHT = Gauge("http_requests_in_flight", "Requests that are being worked on.")
SHED = Counter("http_requests_shed", "Requests that were refused or given up to protect the others.", ("reason",))


class _Lane:
    """Requests that are worked on at the same time."""

    def __init__(self, size: int, gauge: Gauge | None = None) -> None:
        self._size = size
        self._gauge = gauge
        self._inside = 0

    def is_full(self) -> bool:
        return self._inside >= self._size

    def count(self, change: int) -> None:
        self._inside += change
        if self._gauge is not None:
            self._gauge.set(self._inside)


class AdmissionMiddleware:
    """Lets a request in when it keeps its limits and there is room, and ends it when its time is over.

    Everything it refuses is a problem: 400 `host-unknown` when `Host` is none of `hosts` (without any, all will do; for
    health too), 429 `rate-limited`, 503 `overloaded`, 413 `body-too-large` for more than MAX_BODY_BYTES, announced or
    in chunks, 408 `request-timeout` when a body does not arrive within `receive_seconds`, 503 `deadline-exceeded` when
    no answer has begun after `request_seconds`. A request takes its place among those `at_once` when its body is there,
    and a standing stream gives it back when it begins: its feature bounds how many there are. A client with many
    refusals waits for them outside (app/web/pacing.py).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        pace: Pace,
        at_once: int,
        receive_seconds: float,
        request_seconds: float,
        hosts: Iterable[str] = (),
    ) -> None:
        self._app = app
        self._pace = pace
        self._receive_seconds = receive_seconds
        self._request_seconds = request_seconds
        self._hosts = frozenset(host.lower().encode() for host in hosts)
        self._lane = _Lane(at_once, IN_FLIGHT)
        self._exempt = _Lane(EXEMPT_AT_ONCE)
        self._deadlines = Deadlines()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        enforcement: Enforcement = scope["app"].state.enforcement
        rule = enforcement.rule(scope)
        if self._hosts and not self._knows_host(scope):
            refusal: Response | None = problem_response(
                400, code="host-unknown", title="This service is not reached by that host name."
            )
        elif rule.exempt:
            refusal = await self._look_after(scope, receive, send)
        else:
            refusal = await self._admit(enforcement, rule, scope, receive, send)
        if refusal is not None:
            await self._pace.wait(scope)
            await refusal(scope, receive, send)

    def _knows_host(self, scope: Scope) -> bool:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"").lower()
        name = host.rpartition(b":")[0] if re.search(rb":\d*$", host) else host
        return name in self._hosts or name in _LOOPBACK or scope["path"].startswith(_ANY_HOST_PATHS)

    async def _look_after(self, scope: Scope, receive: Receive, send: Send) -> Response | None:
        """Answer a request that no limit holds for; gives the refusal when there are too many."""
        if scope[SCOPE_KEY].public:  # supervisors and load balancers ask from networks of our own
            await self._pace.wait(scope)
        if scope["path"] == UNBOUNDED_PATH:
            await self._app(scope, receive, send)
        elif self._exempt.is_full():
            return _overloaded()
        else:
            await self._work(self._exempt, scope, receive, send)
        return None

    async def _admit(
        self, enforcement: Enforcement, rule: Rule, scope: Scope, receive: Receive, send: Send
    ) -> Response | None:
        """Answer a request that keeps its limits and finds room; gives the refusal of one that does not."""
        if self._lane.is_full():
            return _overloaded()
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

        if has_body(scope):
            body = await self._receive(scope, receive)
            if isinstance(body, Response):
                await body(scope, receive, send_with_standing)
                return None
            if self._lane.is_full():
                return _overloaded()
            receive = replay(body, receive)
        await self._work(self._lane, scope, receive, send_with_standing)
        return None

    async def _receive(self, scope: Scope, receive: Receive) -> bytes | Response:
        """The body, or the refusal of one that is too large or late. Nothing is worked on while it arrives.

        Raises ClientDisconnect.
        """
        connection = cast("Connection | None", scope.get(CONNECTION_KEY))
        deadline = self._deadlines.set(asyncio.get_running_loop().time() + self._receive_seconds)
        if connection is not None:
            connection.rest()
        try:
            return await receive_body(scope, receive)
        except BodyTooLargeError:
            return too_large()
        except asyncio.CancelledError:
            if not deadline.passed():
                raise
        finally:
            self._deadlines.lift(deadline)
            if connection is not None:
                connection.resume()
        return _body_late()

    async def _work(self, lane: _Lane, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, in its time."""
        inside, answered = True, False

        async def send_watched(message: Message) -> None:
            nonlocal inside, answered
            if not answered:
                answered = True
                deadline.at = math.inf
                if STANDING in scope:
                    inside = False
                    lane.count(-1)
            await send(message)

        lane.count(1)
        deadline = self._deadlines.set(asyncio.get_running_loop().time() + self._request_seconds)
        try:
            await self._app(scope, receive, send_watched)
        except asyncio.CancelledError:
            if not deadline.passed():
                raise
        finally:
            self._deadlines.lift(deadline)
            if inside:
                lane.count(-1)
        if deadline.over and not answered:
            await _answer_late()(scope, receive, send)


def _overloaded() -> Response:
    SHED.labels("overloaded").inc()
    return problem_response(
        503,
        code="overloaded",
        title="The service has too much to do right now.",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )


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
