"""One thing the stack runs: how it is launched, when it answers, how it ends. Servers and programs are units."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from signal import Signals
from types import TracebackType
from typing import Self

from app.devstack.process import DevstackError, Process, never, nothing, wait_until

TAIL_LINES = 15


class Unit(ABC):
    """A child process with a log and a question that tells whether it is ready.

    It lives at most as long as the thread that started it.
    """

    name = "unit"
    stop_signal = Signals.SIGTERM
    stop_seconds = 15.0
    ready_seconds = 60.0

    def __init__(self, *, log: Path, while_waiting: Callable[[], None] = nothing) -> None:
        self.log = log
        self._while_waiting = while_waiting
        self._process: Process | None = None
        self._deadline = 0.0

    @property
    def process(self) -> Process:
        """The process of the last launch, until stop() or kill()."""
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process

    @property
    def running(self) -> bool:
        """Whether it was launched and its process has not ended."""
        return self._process is not None and self._process.exit_code() is None

    def start(self) -> None:
        """Start and return when it answers. Raises DevstackError with its own words if it cannot."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """The first half of start(): ends what is left of the last run, and returns with the process running."""
        self.kill()
        self._prepare()
        self._deadline = time.monotonic() + self.ready_seconds
        self._process = self._spawn()

    def wait_ready(self) -> None:
        """The second half of start()."""
        wait_until(self.look, seconds=float("inf"), while_waiting=self._while_waiting)

    def look(self) -> bool:
        """One step of wait_ready(): whether it answers. Raises DevstackError if it ended, or had all its time."""
        if self.running:
            if self.answers():
                return True
            if time.monotonic() < self._deadline:
                return False
            trouble = f"was not ready after {self.ready_seconds:.0f} s"
        elif self._worth_another_try(self.process.output()):
            self._process = self._spawn()
            return False
        else:
            trouble = "did not start"
        reason = self._reason(self.process.output())
        self.kill()
        raise DevstackError(f"{self.name} {trouble}: {reason}\nIts log: {self.log}")

    @abstractmethod
    def answers(self) -> bool:
        """Whether it does its work now."""

    def stop(self) -> None:
        """End it in order. Nothing happens if it is not running."""
        self.request_stop()
        self.finish_stop()

    def request_stop(self) -> None:
        """The first half of stop(): says so, and does not wait."""
        if self._process is not None:
            self._process.send(self.stop_signal)

    def finish_stop(self, *, hurry: Callable[[], bool] = never) -> None:
        """The second half of stop(): waits, and ends by force what takes too long or when hurry() turns true."""
        if self._process is not None and not self._process.ended(seconds=self.stop_seconds, hurry=hurry):
            self._force(self._process)
        self._process = None

    def kill(self) -> None:
        """SIGKILL, as a crash would. Returns when every process of it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def suspend(self) -> None:
        """Freeze all its processes: connections are accepted by the kernel, and nothing answers."""
        self.process.suspend()

    def resume(self) -> None:
        """Undo suspend()."""
        self.process.resume()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _prepare(self) -> None:  # noqa: B027  most units need nothing
        """Whatever must be true before a launch."""

    @abstractmethod
    def _spawn(self) -> Process:
        """Launch it once."""

    def _force(self, process: Process) -> None:
        process.kill()

    def _worth_another_try(self, said: str) -> bool:
        """After an exit while starting, with what the process said: whether to launch it once more."""
        return False

    def _reason(self, said: str) -> str:
        lines = said.splitlines()[-TAIL_LINES:]
        return "\n".join(["", *(f"    {line}" for line in lines)]) if lines else "it said nothing"


class Program(Unit):
    """A unit described by data: a command, its environment, and a ready check."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: Path,
        answers: Callable[[], bool],
        while_waiting: Callable[[], None] = nothing,
    ) -> None:
        super().__init__(log=log, while_waiting=while_waiting)
        self.name = name
        self._argv = argv
        self._env = env
        self._cwd = cwd
        self._ask = answers

    def answers(self) -> bool:
        """Whether the ready check passes now."""
        return self._ask()

    def _spawn(self) -> Process:
        return Process(self.name, self._argv, log=self.log, env=self._env, cwd=self._cwd)
