"""The sink as an ASGI application and as a server: every route, and starting and stopping it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from app.devstack.sink.control import Connections, delay, misbehave, registering
from app.devstack.sink.monday import MondayService
from app.devstack.sink.routes import controls, views
from app.devstack.sink.settings import SinkSettings
from app.devstack.sink.slack import SlackService
from app.devstack.sink.smtp import HOST, SmtpService
from app.devstack.sink.state import Behaviour, Mode, SinkState

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
            *views(state, monday, settings.monday_columns),
            *controls(state),
            Mount("/assets", StaticFiles(directory=ASSETS)),
        ]
    )
    app.state.sink = state
    app.state.connections = connections
    app.state.smtp = SmtpService(settings, state)
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


class SinkServer(uvicorn.Server):
    """uvicorn with the mail server beside it. Lets hanging requests go before it waits for them."""

    def __init__(self, app: Starlette, *, port: int, smtp_port: int) -> None:
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
        self.listening = asyncio.Event()
        self.smtp_port = smtp_port
        self._state: SinkState = app.state.sink
        self._smtp: SmtpService = app.state.smtp

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen for mail, then as uvicorn does. OSError when the mail port is taken."""
        self.smtp_port = await self._smtp.start(self.smtp_port)
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what hangs, then as uvicorn does."""
        self._state.closing.set()
        await self._smtp.stop()
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
    smtp_url: str
    state: SinkState


@asynccontextmanager
async def running_sink(settings: SinkSettings, *, port: int = 0, smtp_port: int = 0) -> AsyncIterator[RunningSink]:
    """A sink on real sockets in this event loop, for tests; port 0 takes any free one."""
    app = create_sink(settings)
    server = _GuestServer(app, port=port, smtp_port=smtp_port)
    # Named as TCP, because asyncio sets TCP_NODELAY on such sockets only; without it each answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, port))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    ready = asyncio.create_task(server.listening.wait())
    await asyncio.wait((serving, ready), return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    try:
        if serving.done():
            await serving
        base_url = f"http://{HOST}:{listener.getsockname()[1]}"
        yield RunningSink(base_url, f"smtp://{HOST}:{server.smtp_port}", app.state.sink)
    finally:
        server.should_exit = True
        try:
            await serving
        finally:
            listener.close()
