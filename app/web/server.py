"""What uvicorn lacks: who may keep a connection open for how long, and whose word it takes. Set at start.

It holds however uvicorn is started: `uvicorn app.main:app` without a flag is enough.
"""

import resource
import signal
from contextlib import suppress
from functools import partial
from typing import Final

import structlog
import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.web.pacing import Pace
from app.web.protocol import BoundedProtocol, Bounds, Headers

KEEP_ALIVE_SECONDS: Final = 75
"""How long a connection may be idle: longer than proxies keep theirs (nginx and load balancers 60 s), or they would now
and then send a request into one that was just closed. When it gets crowded, idle ones go anyway."""
_OTHER_FILES: Final = 256
"""File descriptors that are no visitor's connection."""

_log = structlog.stdlib.get_logger(__name__)


def running_server() -> uvicorn.Server | None:
    """The uvicorn server that runs this process; None in tests and under another server."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if isinstance(server, uvicorn.Server) else None


def harden(
    server: uvicorn.Server, *, pace: Pace, headers: Headers, receive_seconds: float, max_connections: int
) -> None:
    """Bound a server's connections and make it deaf to proxies' headers. Before it listens, hence in a lifespan.

    `headers` go out with what is refused before it is a request.

    `app.web.client` alone decides who calls: uvicorn's own idea of it trusts 127.0.0.1 unless told otherwise.
    """
    config = server.config
    while isinstance(config.loaded_app, ProxyHeadersMiddleware):
        config.loaded_app = config.loaded_app.app
    config.ws_protocol_class = None
    if config.http_protocol_class is not HttpToolsProtocol:
        _log.warning("connections_unbounded", protocol=str(config.http_protocol_class))
        return
    config.timeout_keep_alive = max(config.timeout_keep_alive, KEEP_ALIVE_SECONDS)
    bounds = Bounds(pace, headers, receive_seconds, max_connections)
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
