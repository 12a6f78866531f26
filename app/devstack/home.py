"""The folder a stack keeps between runs (NOVAHOUSE_HOME): its lock, secrets, logs and the list of its processes."""

import fcntl
import json
import os
import secrets
import signal
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from app.core.settings import Settings
from app.devstack.process import DevstackError

MEMORY = "memory.json"
ENVIRONMENT = "environment.json"
LOG_BYTES = 10_000_000
LEFTOVER_SECONDS = 10.0
SAME_START_SECONDS = 2.0  # what the clock may have been corrected by between two looks at a process's start


def _key() -> str:
    return secrets.token_urlsafe(32)


@dataclass
class Memory:
    """What the next run should find again. Read and written as a whole, for its owner's eyes only."""

    admin_api_key: str = field(default_factory=lambda: f"dev-{_key()}")
    secret_key: str = field(default_factory=_key)
    monday_api_key: str = field(default_factory=lambda: f"dev-{_key()}")
    postgres_password: str | None = None
    postgres_port: int | None = None
    redis_password: str | None = None
    redis_port: int | None = None


class Home:
    """One NOVAHOUSE_HOME. Everything that writes needs hold() first."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self._lock = -1

    @property
    def exists(self) -> bool:
        """Whether a stack has lived here."""
        return self.path.is_dir()

    @property
    def new(self) -> bool:
        """Whether no stack has come up here yet."""
        return not (self.path / MEMORY).exists()

    def hold(self, url: str) -> None:
        """Make the folder and keep every other stack out of it until this process ends.

        Raises DevstackError, changing nothing, while another one runs in it.
        """
        if self._lock >= 0:
            return
        try:
            self.path.mkdir(mode=0o711, parents=True, exist_ok=True)  # 711: PostgreSQL may run as another user
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as failure:
            raise DevstackError(
                f"cannot write in {self.path} ({failure.strerror}). "
                "Run as the user it belongs to, or choose another folder with NOVAHOUSE_HOME."
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 4096).decode(errors="replace").strip()
            os.close(lock)
            raise DevstackError(
                f"already running{holder and f' ({holder})'}. Stop it first; its Ctrl-C will do."
            ) from None
        os.truncate(lock, 0)
        os.write(lock, f"pid {os.getpid()} at {url}".encode())
        self._lock = lock
        self.logs.mkdir(mode=0o700, exist_ok=True)
        (self.path / ENVIRONMENT).unlink(missing_ok=True)

    def release(self) -> None:
        """Let the next one in."""
        if self._lock >= 0:
            (self.path / ENVIRONMENT).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = -1

    def recall(self) -> Memory:
        """What the last run left, with fresh secrets where there are none."""
        path = self.path / MEMORY
        try:
            return Memory(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return Memory()
        except (ValueError, TypeError):
            raise DevstackError(
                f"{path} cannot be read. Remove it: the keys in it are made anew, no data is lost."
            ) from None

    def remember(self, memory: Memory) -> None:
        """Keep it for the next run."""
        self._write(MEMORY, asdict(memory))

    def publish(self, environment: Mapping[str, str]) -> None:
        """Note the settings of this run's processes, for other commands, until the run ends."""
        known = {name.upper() for name in Settings.model_fields}
        self._write(ENVIRONMENT, {name: value for name, value in environment.items() if name in known})

    def published(self) -> dict[str, str]:
        """The settings of the processes that run here; empty when nothing does, or when it is another user's."""
        try:
            found: dict[str, str] = json.loads((self.path / ENVIRONMENT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    def log(self, name: str) -> Path:
        """Where the unit of this name writes. Emptied first if it has grown large."""
        path = self.logs / f"{name}.log"
        self._bound(path)
        return path

    def bound_logs(self) -> None:
        """Empty the logs that have grown large, also under a process that writes to them."""
        for path in self.logs.glob("*.log"):
            self._bound(path)

    def record(self, pids: Iterable[int]) -> None:
        """Note the processes of this run, for a next one that finds them still there."""
        known = []
        for pid in pids:
            with suppress(psutil.Error):
                known.append({"pid": pid, "started": psutil.Process(pid).create_time()})
        self._write("processes.json", known)

    def end_leftovers(self) -> int:
        """End what a killed stack left running, PostgreSQL in order. Returns how many there were."""
        found = [process for record in self._recorded() if (process := _still(record)) is not None]
        for process in found:
            with suppress(psutil.Error):
                process.send_signal(signal.SIGINT if process.name() == "postgres" else signal.SIGTERM)
                process.send_signal(signal.SIGCONT)
        _, stubborn = psutil.wait_procs(found, timeout=LEFTOVER_SECONDS)
        for process in stubborn:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(stubborn, timeout=LEFTOVER_SECONDS)
        self.record(())
        return len(found)

    def _recorded(self) -> list[dict[str, Any]]:
        try:
            records = json.loads((self.path / "processes.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return []
        return [record for record in records if record.keys() == {"pid", "started"}]

    def _write(self, name: str, content: object) -> None:
        path = self.path / name
        fresh = path.with_name(f".{name}.new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        fresh.replace(path)

    def _bound(self, path: Path) -> None:
        with suppress(FileNotFoundError):
            if path.stat().st_size > LOG_BYTES:
                os.truncate(path, 0)


def _still(record: dict[str, Any]) -> psutil.Process | None:
    try:
        process = psutil.Process(record["pid"])
        same = abs(process.create_time() - record["started"]) < SAME_START_SECONDS
    except psutil.Error:
        return None
    return process if same and process.status() != psutil.STATUS_ZOMBIE else None
