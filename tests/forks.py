"""Processes of ours that begin with their modules imported: what takes 3 s of a start is done once for all tests.

`python -m tests.forks MODULE…` imports the modules and forks a process for each order on its standard input. A fork
goes on as `python -m …` would, with an environment, a folder and files of its own. tests/devstack starts from nothing.
"""

import asyncio
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

IMPORTED: Final[Mapping[str, tuple[str, ...]]] = {
    "uvicorn": ("uvicorn.main", "uvicorn.lifespan.on", "uvicorn.protocols.http.httptools_impl", "app.main"),
    "arq": ("arq.cli", "uvloop", "worker.context", "worker.jobs", "worker.tasks"),
    "app.cli": (
        "app.cli.commands",
        "app.cli.dlq",
        "app.cli.followups",
        "app.cli.audit",
        "app.cli.privacy",
        "app.cli.keys",
        "app.cli.questions",
        "app.cli.conversations",
        "app.cli.status",
        "app.devstack.adopt",
    ),
}
"""What is imported before `python -m` one of these."""
_POLL_SECONDS: Final = 0.005


class Fork:
    """A process that was forked: as much of `asyncio.subprocess.Process` as tests use."""

    def __init__(self, pid: int, ended: Path) -> None:
        self.pid = pid
        self._ended = ended

    @property
    def returncode(self) -> int | None:
        """Its exit code, negative when a signal ended it; None while it runs."""
        return int(self._ended.read_text()) if self._ended.exists() else None

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing when it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for its end; gives its exit code."""
        while (code := self.returncode) is None:  # noqa: ASYNC110  it is no child of ours
            await asyncio.sleep(_POLL_SECONDS)
        return code


class Nursery:
    """The process that has imported and forks."""

    def __init__(self, modules: Sequence[str], root: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603  ourselves
            [sys.executable, "-m", "tests.forks", *modules], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def fork(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path, errors: Path
    ) -> Fork:
        """Run `python -m arguments…` in a fork that writes its output to `log` and its errors to `errors`."""
        ended = log.with_name(f"{log.name}.ended")
        ended.unlink(missing_ok=True)
        for file in (log, errors):
            file.write_bytes(b"")
        order = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "folder": str(folder),
            "log": str(log),
            "errors": str(errors),
            "ended": str(ended),
        }
        sending, reading = self._process.stdin, self._process.stdout
        assert sending is not None
        assert reading is not None
        sending.write(json.dumps(order).encode() + b"\n")
        sending.flush()
        return Fork(int(reading.readline()), ended)


@cache
def nursery(name: str, root: Path) -> Nursery:
    """The one for this `python -m name`; it ends with the process that asked for it."""
    return Nursery(IMPORTED[name], root)


def main(modules: Sequence[str]) -> None:
    """Import, and fork for every order until there are no more."""
    for module in modules:
        importlib.import_module(module)
    children: dict[int, Path] = {}
    reading, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking)
    orders = b""
    while True:
        ready, _, _ = select.select([0, reading], [], [])
        if reading in ready:
            os.read(reading, 4096)
            _bury(children)
        if 0 not in ready:
            continue
        received = os.read(0, 65_536)
        if not received:
            return
        orders += received
        while b"\n" in orders:
            line, orders = orders.split(b"\n", 1)
            order = json.loads(line)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(reading)
                os.close(waking)
                _become(order)
                return
            children[pid] = Path(order["ended"])
            os.write(1, b"%d\n" % pid)


def _bury(children: dict[int, Path]) -> None:
    """Note the ends of those that ended."""
    for pid in list(children):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            ended = children.pop(pid)
            unfinished = ended.with_name(f"{ended.name}.part")
            unfinished.write_text(str(os.waitstatus_to_exitcode(status)))
            unfinished.rename(ended)


def _become(order: dict[str, Any]) -> None:
    """Go on as `python -m` does. Raises SystemExit and whatever the module raises, as that would."""
    files = (
        os.open(os.devnull, os.O_RDONLY),
        os.open(order["log"], os.O_WRONLY | os.O_APPEND),
        os.open(order["errors"], os.O_WRONLY | os.O_APPEND),
    )
    for target, file in enumerate(files):
        os.dup2(file, target)
        os.close(file)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    module, *arguments = order["arguments"]
    sys.path[0] = order["folder"]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
