"""The router of every feature: its routes read JSON bodies strictly, and once. And the short way of hot routes."""

import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.errors import AppError
from app.web.bodies import replay
from app.web.json_body import decode

Solve = Callable[[Request, Any], Awaitable[dict[str, Any] | None]]
"""Gives a route's arguments from the request and its decoded body; None leaves them to FastAPI."""
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
_SOLVED_BY: Final = "__solved_by__"
_JSON: Final = re.compile(rb'application/json(?:[ \t]*;[ \t]*charset=(?:utf-8|"utf-8"))?[ \t]*', re.IGNORECASE)
"""RFC 8259 knows no parameters; this one only says what is required anyway."""


def solved_by(solve: Solve) -> Callable[[Endpoint], Endpoint]:
    """Let `solve` find the arguments of the route below, for a hot path on which FastAPI's way costs too much.

    The declaration stays what the schema says, and FastAPI's solver the one that refuses: what `solve` cannot read it
    leaves alone. The route gives a Response, and its path has no parameters. `DirectMiddleware` takes the short way.
    """

    def decorate(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _SOLVED_BY, solve)
        return endpoint

    return decorate


class UnsupportedMediaTypeError(AppError):
    """The body is not JSON, or says that it is not."""

    code = "unsupported-media-type"
    title = "The body must be application/json in UTF-8."


class ContentCodingError(UnsupportedMediaTypeError):
    """The body is compressed, or otherwise not sent as it is (RFC 9110, section 15.5.16)."""

    @property
    def detail(self) -> str:
        """This occurrence in one sentence."""
        return "It must be sent as it is, without a Content-Encoding."


class _PlainRequest(Request):
    """A request whose body is refused when it is encoded, whoever reads it."""

    async def body(self) -> bytes:
        """The whole body. Raises ContentCodingError."""
        body = await super().body()
        if body and not all(
            value.lower() == b"identity" for name, value in self.scope["headers"] if name == b"content-encoding"
        ):
            raise ContentCodingError
        return body


class _JsonRequest(_PlainRequest):
    """A request whose body was decoded already."""

    decoded: Any = None

    async def json(self) -> Any:
        """What the body holds."""
        return self.decoded


class Route(APIRoute):
    """A route that refuses a body which is not the one JSON value that everybody reads the same way.

    A route that declares no body and reads one all the same gets it as it was sent, or not at all.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, behind our reading of the body where the route has one."""
        handler = super().get_route_handler()
        if self.body_field is None:

            async def handle(request: Request) -> Response:
                return await handler(_PlainRequest(request.scope, request.receive))

            return handle

        async def read_and_handle(request: Request) -> Response:
            reading = _JsonRequest(request.scope, request.receive)
            reading.decoded = await _read(reading)
            return await handler(reading)

        return read_and_handle


class DirectMiddleware:
    """Takes requests to routes that are `solved_by` somebody straight there. The innermost of all middleware.

    FastAPI's way to a route (two stacks of exit handlers, three layers of exception handlers, matching, its solver)
    costs as much as what the route does. Exceptions meet the application's own handlers here too.
    """

    def __init__(self, app: ASGIApp, *, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._direct: dict[tuple[str, str | None], tuple[Solve, Any]] = {
            (method, route.path): (solve, route.endpoint)
            for route in iter_route_contexts(routes)
            if (solve := getattr(route.endpoint, _SOLVED_BY, None)) is not None
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        direct = self._direct.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if direct is None:
            await self._app(scope, receive, send)
            return
        solve, endpoint = direct
        request = _PlainRequest(scope, receive)
        handlers = request.app.exception_handlers
        try:
            decoded = await _read(request)
            arguments = await solve(request, decoded)
            response = None if arguments is None else await endpoint(**arguments)
        except tuple(handlers) as error:
            response = await next(handlers[kind] for kind in type(error).__mro__ if kind in handlers)(request, error)
        if response is None:
            await self._app(scope, replay(await request.body(), receive), send)
        else:
            await response(scope, receive, send)


async def _read(request: Request) -> Any:
    """The value of the body; None without one. Raises UnsupportedMediaTypeError, MalformedJsonError."""
    body = await request.body()
    if not body:
        return None
    if not _is_json([value for name, value in request.scope["headers"] if name == b"content-type"]):
        raise UnsupportedMediaTypeError
    return decode(body)


class Router(APIRouter):
    """A feature's routes."""

    def __init__(self, *, tags: list[str], prefix: str = "", include_in_schema: bool = True) -> None:
        super().__init__(
            prefix=prefix, tags=[*tags], include_in_schema=include_in_schema, route_class=Route, redirect_slashes=False
        )


def _is_json(content_types: Sequence[bytes]) -> bool:
    """Whether exactly one Content-Type says so, without parameters but `charset=utf-8`: no parser that may disagree."""
    return len(content_types) == 1 and (
        content_types[0] == b"application/json" or _JSON.fullmatch(content_types[0]) is not None
    )
