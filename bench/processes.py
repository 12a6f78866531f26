"""Servers and our processes for a bench run, all gone when it ends."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from app.devstack.process import free_port

ROOT = Path(__file__).parent.parent
START_SECONDS = 30


class BenchError(Exception):
    """The run cannot go on. The message is one line."""


@contextmanager
def module(*arguments: str, environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python -m arguments…` until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  our own modules with arguments of ours
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def http_server(application: str, *, environment: Mapping[str, str], log: Path, path: str) -> Iterator[str]:
    """Run an ASGI application in one uvicorn process; gives its base URL once `path` answers below 500."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    options = ("--port", str(port), "--no-access-log", "--log-level", "warning", "--loop", "uvloop")
    with module("uvicorn", application, *options, environment=environment, log=log) as process:
        wait_for_http(base + path, process, log)
        yield base


def wait_for_http(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when `url` answers. Raises BenchError when the process ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if httpx.get(url, timeout=2).is_server_error is False:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"{url} did not come up: {log.read_text()[-400:]}")
        time.sleep(0.02)
