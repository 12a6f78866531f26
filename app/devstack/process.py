"""One child process that cannot outlive its parent: start it, watch it, signal it. Nothing about what it serves."""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import IO

import psutil  # type: ignore[import-untyped]

LAUNCHER = Path(__file__).with_name("launcher.py")
POLL_SECONDS = 0.01
PORT_RANGE = range(20_000, 32_000)


class DevstackError(Exception):
    """The stack cannot start. The message is for the person at the terminal and says what to do."""


@dataclass(frozen=True)
class Identity:
    """The user a child runs as when the caller is root, and the one capability it keeps."""

    uid: int
    gid: int
    capability: int | None = None


def nothing() -> None:
    """The hook of a caller with nothing to check while it waits."""


def never() -> bool:
    """The answer of a caller that is in no hurry."""
    return False


def wait_until(condition: Callable[[], bool], *, seconds: float, while_waiting: Callable[[], None] = nothing) -> bool:
    """Poll until condition holds. False after `seconds`. Whatever while_waiting raises ends the wait."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        while_waiting()
        time.sleep(POLL_SECONDS)
    return True


def port_is_free(port: int) -> bool:
    """Whether nobody listens on this port of 127.0.0.1, or of all addresses."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def free_port() -> int:
    """A port nobody listens on, below the range of outgoing connections, so that it stays free over a restart."""
    for _ in range(1000):
        port = secrets.choice(PORT_RANGE)
        if port_is_free(port):
            return port
    raise DevstackError(f"no free port on 127.0.0.1 between {PORT_RANGE.start} and {PORT_RANGE.stop}")


class Process:
    """A child in its own session, its output in a log file.

    On Linux it gets `death_signal` when the thread that started it ends, however that happens: start it from a thread
    that lives as long as the child should. Elsewhere a killed parent leaves it running; `Home.end_leftovers` ends it.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path = Path("/"),
        identity: Identity | None = None,
        death_signal: Signals = Signals.SIGKILL,
        stdin: str | None = None,
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log_start = log.stat().st_size if log.exists() else 0
        spec: dict[str, int | None] = {"parent": os.getpid(), "death_signal": int(death_signal)}
        if identity is not None:
            spec |= {"uid": identity.uid, "gid": identity.gid, "capability": identity.capability}
        # Every descendant inherits the write end, so the read end reports the end of the last of them.
        self._lifeline, held_by_child = os.pipe()
        os.set_blocking(self._lifeline, False)
        with log.open("ab") as output:
            try:
                self._child = _spawn(spec, argv, env=env, cwd=cwd, output=output, stdin=stdin, keep_open=held_by_child)
            finally:
                os.close(held_by_child)
        self.started = time.monotonic()

    @property
    def pid(self) -> int:
        """Process id, and the id of its process group and session."""
        return self._child.pid

    def exit_code(self) -> int | None:
        """None while it runs; negative is the signal that ended it."""
        return self._child.poll()

    def send(self, number: Signals) -> None:
        """Send to the process itself; nothing happens if it has ended."""
        self._child.send_signal(number)

    def everyone_gone(self) -> bool:
        """Whether the process and all it ever started have ended."""
        if self._child.poll() is None:
            return False
        if self._lifeline < 0:
            return True
        try:
            ended = os.read(self._lifeline, 1) == b""
        except BlockingIOError:
            return False
        if ended:
            self._drop_lifeline()
        return ended

    def _drop_lifeline(self) -> None:
        os.close(self._lifeline)
        self._lifeline = -1

    def ended(self, *, seconds: float, hurry: Callable[[], bool] = never) -> bool:
        """Wait for an end that was asked for, waking a suspended child to it. False after `seconds` or in a hurry."""
        self.send(Signals.SIGCONT)
        wait_until(lambda: self.everyone_gone() or hurry(), seconds=seconds)
        return self.everyone_gone()

    def kill(self) -> None:
        """SIGKILL the group and wait until every descendant is gone."""
        try:
            os.killpg(self.pid, Signals.SIGKILL)
        except (ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
            self._child.kill()
        self._child.wait()
        if not wait_until(self.everyone_gone, seconds=10):
            self._drop_lifeline()

    def suspend(self) -> None:
        """SIGSTOP it and its descendants: sockets stay open and nothing answers."""
        self._signal_family(Signals.SIGSTOP)

    def resume(self) -> None:
        """Undo suspend()."""
        self._signal_family(Signals.SIGCONT)

    def _signal_family(self, number: Signals) -> None:
        self.send(number)
        for child in psutil.Process(self.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it may end between being listed and being told
                child.send_signal(number)

    def output(self) -> str:
        """What this process (not earlier ones with the same log) has written so far, at most the last 64 KiB."""
        with self.log.open("rb") as log:
            log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - 65_536))
            return log.read().decode(errors="replace")

    def last_line(self) -> str:
        """The last non-empty line of output(), or a word that there is none."""
        return next((line.strip() for line in reversed(self.output().splitlines()) if line.strip()), "(no output)")


def _spawn(
    spec: Mapping[str, int | None],
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    output: IO[bytes],
    stdin: str | None,
    keep_open: int,
) -> "subprocess.Popen[bytes]":
    child = subprocess.Popen(  # noqa: S603  no shell; every argument list is built in this package
        [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(spec), *argv],
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=output,
        stderr=output,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
        pass_fds=[keep_open],
    )
    if child.stdin is not None and stdin is not None:
        with suppress(BrokenPipeError), child.stdin:  # it may have ended already; its exit code tells
            child.stdin.write(stdin.encode())
    return child
