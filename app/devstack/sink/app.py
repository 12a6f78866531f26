"""The sink as an ASGI application and as a server: every route, and starting and stopping it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from app.devstack.sink import page
from app.devstack.sink.control import Command, Connections, delay, describe, misbehave, registering
from app.devstack.sink.http import json_answer, read
from app.devstack.sink.monday import MondayService
from app.devstack.sink.settings import SinkSettings
from app.devstack.sink.slack import SlackService
from app.devstack.sink.state import Behaviour, ChannelName, Mode, SinkState

HOST: Final = "127.0.0.1"
ASSETS: Final = Path(__file__).parent / "assets"

Endpoint = Callable[[Request], Awaitable[Response]]


def create_sink(settings: SinkSettings) -> Starlette:
    """The application. `app.state.sink` is what it remembers."""
    state = SinkState()
    connections: Connections = {}
    monday = MondayService(settings, state)

    def played(service: SlackService | MondayService) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            behaviour = state.arrived(service.channel)
            if behaviour.mode is Mode.OK:
                return await service.answer(request)
            if behaviour.mode is Mode.SLOW:
                return await _slowly(behaviour, request, service, state)
            if behaviour.accept:
                await service.answer(request)
            return await misbehave(behaviour, request, channel=service.channel, state=state, connections=connections)

        return endpoint

    slack_endpoint = played(SlackService(settings, state))
    app = Starlette(
        routes=[
            Route("/slack/services/{rest:path}", slack_endpoint, methods=["GET", "POST", "PUT", "DELETE", "PATCH"]),
            Route("/monday/v2", played(monday), methods=["GET", "POST"]),
            *_views(state, monday, settings.monday_columns),
            *_controls(state),
            Mount("/assets", StaticFiles(directory=ASSETS)),
        ]
    )
    app.state.sink = state
    app.state.connections = connections
    return app


async def _slowly(
    behaviour: Behaviour, request: Request, service: SlackService | MondayService, state: SinkState
) -> Response:
    """Answer late. With `accept` the message is there at once and only the answer is late."""
    if behaviour.accept:
        answer = await service.answer(request)
        await delay(behaviour, service.channel, state)
        return answer
    await delay(behaviour, service.channel, state)
    return await service.answer(request)


def _views(state: SinkState, monday: MondayService, columns: dict[str, str]) -> list[Route]:
    async def show(_request: Request) -> Response:
        return HTMLResponse(page.page(state, columns), headers=page.HEADERS)

    async def show_fragment(request: Request) -> Response:
        if request.query_params.get("since") == str(state.version):
            return Response(status_code=204)
        return HTMLResponse(page.fragment(state, columns), headers=page.HEADERS)

    async def messages(request: Request) -> Response:
        if request.method == "DELETE":
            state.clear()
            monday.clear()
            return Response(status_code=204)
        wanted = request.query_params.get("channel")
        if wanted is not None and wanted not in set(ChannelName):
            return json_answer({"error": f"channel is one of {', '.join(ChannelName)}"}, status=400)
        found = list(state.of(ChannelName(wanted) if wanted is not None else None))
        return Response(page.messages_json(found), media_type="application/json")

    async def rejections(_request: Request) -> Response:
        return json_answer({"items": list(state.rejections)})

    async def health(_request: Request) -> Response:
        return json_answer({"status": "ok"})

    return [
        Route("/", show),
        Route("/fragment", show_fragment),
        Route("/messages", messages, methods=["GET", "DELETE"]),
        Route("/rejections", rejections),
        Route("/health", health),
    ]


def _controls(state: SinkState) -> list[Route]:
    async def overview(_request: Request) -> Response:
        return json_answer({channel.value: describe(state, channel) for channel in ChannelName})

    async def control(request: Request) -> Response:
        name = request.path_params["channel"]
        if name not in set(ChannelName):
            return json_answer({"error": f"channel is one of {', '.join(ChannelName)}"}, status=404)
        channel = ChannelName(name)
        if request.method == "PUT":
            try:
                command = Command.model_validate_json(await read(request))
            except ValidationError as invalid:
                return json_answer({"error": orjson.loads(invalid.json(include_input=False))}, status=422)
            state.command(channel, command.behaviour(), command.times)
        return json_answer({**describe(state, channel), "requested_at": list(state.tallies[channel].requested_at)})

    return [Route("/control", overview), Route("/control/{channel}", control, methods=["GET", "PUT"])]


class SinkServer(uvicorn.Server):
    """uvicorn that lets hanging requests go before it waits for them."""

    def __init__(self, app: Starlette, *, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=HOST,
                port=port,
                http=registering(app.state.connections),
                ws="none",
                lifespan="off",
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=2,
            )
        )
        self._state: SinkState = app.state.sink

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what hangs, then as uvicorn does."""
        self._state.closing.set()
        await super().shutdown(sockets)


class _GuestServer(SinkServer):
    """In somebody else's event loop: signals are the host's business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(frozen=True, slots=True)
class RunningSink:
    """A sink that listens."""

    base_url: str
    state: SinkState


@asynccontextmanager
async def running_sink(settings: SinkSettings, *, port: int = 0) -> AsyncIterator[RunningSink]:
    """A sink on a real socket in this event loop, for tests; port 0 takes any free one."""
    app = create_sink(settings)
    server = _GuestServer(app, port=port)
    # Named as TCP, because asyncio sets TCP_NODELAY on such sockets only; without it each answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield RunningSink(f"http://{HOST}:{listener.getsockname()[1]}", app.state.sink)
    finally:
        server.should_exit = True
        await serving
