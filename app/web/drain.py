"""Leaving politely: on SIGTERM say so first, then let uvicorn finish what is in flight, and exit 0."""

import asyncio
import signal
from collections.abc import Callable
from types import FrameType

import structlog
import uvicorn

from app.web.server import running_server

FINISH_SECONDS = 20
"""How long requests in flight may take once the sockets are closed."""

_log = structlog.stdlib.get_logger(__name__)


class Drain:
    """Turns readiness off on SIGTERM and stops the server `delay` seconds later; a second SIGTERM stops it at once.

    uvicorn alone closes its sockets the moment the signal comes, before a load balancer could notice, waits for ever
    for the last request, and ends by the signal instead of by exit code 0.
    """

    def __init__(self, delay: float, *, begun: Callable[[], None]) -> None:
        """`begun` is called on the signal: what would last for ever ends."""
        self.draining = False
        self._delay = delay
        self._begun = begun
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None

    def install(self) -> None:
        """Take SIGTERM over from the uvicorn server that runs this app; without one, do nothing."""
        server = running_server()
        if server is None:
            return
        self._loop = asyncio.get_running_loop()
        self._server = server
        if server.config.timeout_graceful_shutdown is None:
            server.config.timeout_graceful_shutdown = FINISH_SECONDS
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def _on_sigterm(self, _signal: int, _frame: FrameType | None) -> None:
        assert self._loop is not None  # noqa: S101  set before the handler is installed
        self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        assert self._loop is not None  # noqa: S101  as above
        delay = 0 if self.draining else self._delay
        self.draining = True
        self._begun()
        _log.info("draining", seconds=delay)
        self._loop.call_later(delay, self._stop)

    def _stop(self) -> None:
        assert self._server is not None  # noqa: S101  as above
        self._server.should_exit = True
