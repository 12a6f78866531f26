"""Servers and our processes for a bench run, all gone when it ends, however it ends."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from signal import Signals
from typing import NamedTuple

import httpx

from app.devstack.process import Process, free_port

ROOT = Path(__file__).parent.parent
START_SECONDS = 30.0
STOP_SECONDS = 20.0
PORT_TRIES = 3
_POLL_SECONDS = 0.01
_KEPT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR")


class BenchError(Exception):
    """The run cannot go on. The message is for the person at the terminal."""


class PortTakenError(BenchError):
    """Somebody took the port between our look at it and our use of it."""


class Served(NamedTuple):
    """A server that answers."""

    base: str
    process: Process


def environment_of(values: Mapping[str, str]) -> dict[str, str]:
    """What a measured process is told: `values`, and of ours only what programs need to run.

    A `DATABASE_URL` or a `SLACK_WEBHOOK_URL` of the caller's shell must not be written to by a measurement.
    """
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | dict(values)


@contextmanager
def running(argv: Sequence[str], *, environment: Mapping[str, str], log: Path) -> Iterator[Process]:
    """Run a command in the project's folder until the block ends; it dies with us if we are killed."""
    process = Process(Path(argv[0]).name, argv, log=log, env=environment_of(environment), cwd=ROOT)
    try:
        yield process
    finally:
        process.send(Signals.SIGTERM)
        if not process.ended(seconds=STOP_SECONDS):
            process.kill()


def module(*arguments: str, environment: Mapping[str, str], log: Path) -> AbstractContextManager[Process]:
    """Run `python -m arguments…` until the block ends."""
    return running([sys.executable, "-m", *arguments], environment=environment, log=log)


@contextmanager
def serving(launch: Callable[[int], AbstractContextManager[Process]], *, path: str) -> Iterator[Served]:
    """Launch something that serves HTTP on the port it is given, and go on once `path` answers below 500.

    Another port is tried when the first was taken meanwhile. Raises BenchError when it does not come up.
    """
    for tries_left in reversed(range(PORT_TRIES)):
        port = free_port()
        base = f"http://127.0.0.1:{port}"
        with launch(port) as process:
            try:
                wait_for_http(base + path, process)
            except PortTakenError:
                if tries_left:
                    continue
                raise
            yield Served(base, process)
            return


def http_server(
    application: str, *, environment: Mapping[str, str], log: Path, path: str
) -> AbstractContextManager[Served]:
    """Serve an ASGI application from one uvicorn process."""
    options = (
        "--no-access-log",
        "--no-proxy-headers",
        "--log-level",
        "warning",
        "--loop",
        "uvloop",
        "--http",
        "httptools",
    )

    def launch(port: int) -> AbstractContextManager[Process]:
        return module("uvicorn", application, "--port", str(port), *options, environment=environment, log=log)

    return serving(launch, path=path)


def wait_for_http(url: str, process: Process) -> None:
    """Return when `url` answers below 500. Raises BenchError when the process ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.exit_code() is None:
        try:
            if not httpx.get(url, timeout=2, trust_env=False).is_server_error:
                return
        except httpx.TransportError:
            pass
        time.sleep(_POLL_SECONDS)
    said = process.output()
    error = PortTakenError if "already in use" in said or "is taken" in said else BenchError
    raise error(f"{process.name} did not come up at {url}: {said.strip()[-600:] or 'it said nothing'}")
