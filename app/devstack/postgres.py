"""The embedded PostgreSQL server: real, from a wheel, a child of the caller. For `novahouse up`, tests and bench.

    with EmbeddedPostgres(tmp_path / "pg", durable=False) as server:  # durable=True: fsync on, as in production
        server.url                  # postgresql://novahouse:...@127.0.0.1:24017/novahouse; may CREATE DATABASE
        server.stop("immediate")    # or kill() (SIGKILL), or suspend() ... resume() (SIGSTOP, SIGCONT)
        server.start()              # the same port and password, the same data

Start it from a thread that outlives it (a session fixture in the main thread is fine): Linux ends it with that thread.
"""

import time
from collections.abc import Callable
from pathlib import Path
from signal import Signals
from typing import Literal

import psutil  # type: ignore[import-untyped]

from app.devstack.cluster import DATABASE, ENVIRONMENT, ROLE, ClusterTools, programs
from app.devstack.identity import server_identity
from app.devstack.process import Process, nothing
from app.devstack.server import EmbeddedServer

FORCE_SECONDS = 5.0
RETRY_SECONDS = 15.0  # backends of a killed postmaster end when they next look for it
STILL_THERE = ("pre-existing shared memory block", 'lock file "postmaster.pid" already exists')


class EmbeddedPostgres(EmbeddedServer):
    """One PostgreSQL cluster in data_dir, created at the first start, served on 127.0.0.1 with a password.

    Without durable, a crash of the machine may lose it (fsync off); a kill of the server loses nothing that was
    committed, and nothing outside data_dir outlives a server that was killed and not started again.
    """

    name = "PostgreSQL"
    stop_signal = Signals.SIGINT
    stop_seconds = 20.0

    def __init__(
        self,
        data_dir: Path,
        *,
        durable: bool,
        password: str | None = None,
        port: int | None = None,
        log: Path | None = None,
        while_waiting: Callable[[], None] = nothing,
    ) -> None:
        data_dir = data_dir.absolute()
        super().__init__(
            log=log or data_dir.with_name(f"{data_dir.name}.log"),
            password=password,
            port=port,
            while_waiting=while_waiting,
        )
        self.data_dir = data_dir
        self.created = False
        self._durable = durable
        self._password_known = password is not None

    @property
    def url(self) -> str:
        """For asyncpg and psql; SQLAlchemy wants postgresql+asyncpg://."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """The URL of another database of this server."""
        return f"postgresql://{ROLE}:{self.password}@127.0.0.1:{self.port}/{database}"

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Fast: sessions are cut, a checkpoint is written. Immediate: as in a crash, the next start recovers."""
        if mode == "immediate" and self._process is not None:
            self._process.send(Signals.SIGQUIT)
        super().stop()

    def _force(self, process: Process) -> None:
        process.send(Signals.SIGQUIT)
        if not process.ended(seconds=FORCE_SECONDS):
            process.kill()

    def _prepare(self) -> None:
        self._identity = server_identity(self.data_dir, programs())
        tools = ClusterTools(
            self.data_dir,
            log=self.log,
            identity=self._identity,
            durable=self._durable,
            while_waiting=self._while_waiting,
        )
        self.created = tools.ensure(self.password)
        self._forget_stranger()
        if not self.created and not self._password_known:
            tools.set_password(self.password)
        self._password_known = True
        self._retry_until = time.monotonic() + RETRY_SECONDS

    def _forget_stranger(self) -> None:
        """Remove a stale pid file whose pid now belongs to something else, which PostgreSQL would take for a server."""
        record = self.data_dir / "postmaster.pid"
        try:
            pid = int(record.read_text(encoding="utf-8").partition("\n")[0])
            ours = str(self.data_dir) in psutil.Process(pid).cmdline()
        except (FileNotFoundError, ValueError, psutil.Error):
            return
        if not ours:
            record.unlink(missing_ok=True)

    def _spawn(self) -> Process:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "log_timezone": "UTC",
            "timezone": "UTC",
        }
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "dynamic_shared_memory_type": "mmap"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Process(
            "postgres",
            [str(programs() / "postgres"), "-D", str(self.data_dir), *options],
            log=self.log,
            env=ENVIRONMENT,
            identity=self._identity,
            death_signal=Signals.SIGINT,
        )

    def answers(self) -> bool:
        """Whether it accepts connections. As pg_ctl does it: our pid on line 1 of its pid file, `ready` on line 8."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"  # noqa: PLR2004

    def _worth_another_try(self, said: str) -> bool:
        if any(sign in said for sign in STILL_THERE) and time.monotonic() < self._retry_until:
            time.sleep(0.1)
            return True
        return super()._worth_another_try(said)
