"""Our processes as an operator runs them: alone, from environment variables, with real signals."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.forks import IMPORTED, Fork, nursery

ROOT = Path(__file__).parent.parent
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")

AMPLE = "1000000 per minute"
"""Limits are on in every test and in nobody's way, unless limits are what it is about."""
AMPLE_LIMITS = dict.fromkeys(
    ("CHAT_RATE_LIMIT", "API_RATE_LIMIT_HOUR", "API_RATE_LIMIT_MINUTE", "BULK_RATE_LIMIT"), AMPLE
)


def inherited() -> dict[str, str]:
    """What every process of ours has from the one that starts it."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def eventually(condition: Callable[[], Awaitable[object]], *, seconds: float = 20, every: float = 0.02) -> None:
    """Wait until `condition` gives something true; AssertionError with its last answer when it never does."""
    deadline = time.monotonic() + seconds
    while not (answer := await condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s; last answer: {answer!r}"
        await asyncio.sleep(every)


class Running:
    """One of our processes."""

    def __init__(self, process: asyncio.subprocess.Process | Fork, log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def output(self) -> str:
        """Everything it has written to stdout and stderr."""
        return self._log.read_text()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def exit_code(self, *, seconds: float = 30) -> int:
        """Its exit code; negative when a signal ended it. AssertionError when it does not end in time."""
        try:
            async with asyncio.timeout(seconds):
                return await self.process.wait()
        except TimeoutError:
            raise AssertionError(f"still running after {seconds} s: {self.output[-2000:]}") from None


async def start(
    *arguments: str, environment: Mapping[str, str], log: Path, errors: Path | None = None, cwd: Path = ROOT
) -> asyncio.subprocess.Process | Fork:
    """Start `python -m arguments…` with this environment; it writes to `log`, and its errors to `errors` if given."""
    errors = errors or log
    if arguments[0] in IMPORTED and "PYTHONPATH" not in environment:
        return nursery(arguments[0], ROOT).fork(arguments, environment=environment, folder=cwd, log=log, errors=errors)
    with log.open("ab") as output, errors.open("ab") as beside:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            cwd=cwd,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=beside,
        )


@asynccontextmanager
async def running(
    *arguments: str, environment: Mapping[str, str], log: Path, cwd: Path = ROOT
) -> AsyncIterator[Running]:
    """Run `python -m arguments…` with this environment and ample limits; it is killed at the end if it still runs."""
    process = await start(*arguments, environment={**inherited(), **AMPLE_LIMITS, **environment}, log=log, cwd=cwd)
    try:
        yield Running(process, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def api(
    environment: Mapping[str, str], log: Path, *, through: Sequence[str] = ()
) -> AsyncIterator[tuple[Running, httpx.AsyncClient]]:
    """The HTTP process, ready, and a client of it. `through`: a module that runs it, with that module's arguments."""
    port = free_port()
    command = (*through, "uvicorn", "app.main:app", "--port", str(port))
    async with (
        running(*command, environment=environment, log=log) as process,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client,
    ):

        async def ready() -> bool:
            assert process.process.returncode is None, process.output
            try:
                return (await client.get("/health/ready")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(ready)
        yield process, client


@asynccontextmanager
async def worker(environment: Mapping[str, str], log: Path, *, through: Sequence[str] = ()) -> AsyncIterator[Running]:
    """The worker process, ready. `through`: a module that runs it, with that module's arguments."""
    async with running(*through, "arq", "worker.settings.WorkerSettings", environment=environment, log=log) as process:

        async def ready() -> bool:
            assert process.process.returncode is None, process.output
            return "worker_ready" in process.output

        await eventually(ready)
        yield process
