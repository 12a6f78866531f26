"""The router of every feature: its routes read JSON bodies strictly, and once."""

from collections.abc import Awaitable, Callable, Coroutine
from email.message import Message
from typing import Any, Final, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from app.core.errors import AppError
from app.web.json_body import decode

Solve = Callable[[Request, Any], Awaitable[dict[str, Any] | None]]
"""Gives a route's arguments from the request and its decoded body; None leaves them to FastAPI."""
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
_SOLVED_BY: Final = "__solved_by__"


def solved_by(solve: Solve) -> Callable[[Endpoint], Endpoint]:
    """Let `solve` find the arguments of the route below, for a hot path on which FastAPI's way costs too much.

    The declaration stays what the schema says, and FastAPI's solver the one that refuses: what `solve` cannot read it
    leaves alone. The route gives a Response.
    """

    def decorate(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _SOLVED_BY, solve)
        return endpoint

    return decorate


class UnsupportedMediaTypeError(AppError):
    """The body is not JSON, or says that it is not."""

    code = "unsupported-media-type"
    title = "The body must be application/json in UTF-8."


class _JsonRequest(Request):
    """A request whose body was decoded already."""

    decoded: Any = None

    async def json(self) -> Any:
        """What the body holds."""
        return self.decoded


class Route(APIRoute):
    """A route that refuses a body which is not the one JSON value that everybody reads the same way."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, behind our reading of the body where the route has one."""
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler
        endpoint = self.endpoint
        solve: Solve | None = getattr(endpoint, _SOLVED_BY, None)

        async def read_and_handle(request: Request) -> Response:
            reading = _JsonRequest(request.scope, request.receive)
            if body := await reading.body():
                if not _is_json(request.headers.get("content-type")):
                    raise UnsupportedMediaTypeError
                reading.decoded = decode(body)
                if solve is not None and (arguments := await solve(request, reading.decoded)) is not None:
                    response: Response = await endpoint(**arguments)
                    return response
            return await handler(reading)

        return read_and_handle


class Router(APIRouter):
    """A feature's routes."""

    def __init__(self, *, tags: list[str], prefix: str = "", include_in_schema: bool = True) -> None:
        super().__init__(
            prefix=prefix, tags=[*tags], include_in_schema=include_in_schema, route_class=Route, redirect_slashes=False
        )


def _is_json(content_type: str | None) -> bool:
    if content_type == "application/json":
        return True
    said = Message()
    said["content-type"] = content_type or ""
    charset = said.get_content_charset("utf-8")
    return said.get_content_type() == "application/json" and charset == "utf-8"
