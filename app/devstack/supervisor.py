"""Starts units in stages, starts again those that end, stops all in reverse. Knows nothing of what they are."""

import sys
import time
from collections.abc import Callable
from signal import Signals

from app.devstack.home import Home
from app.devstack.interrupts import Interrupts
from app.devstack.unit import Unit

FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 15.0
STEADY_SECONDS = 30.0
IDLE_SECONDS = 0.5
PENDING_SECONDS = 0.02


def say(line: str) -> None:
    """Write a line to the terminal or the pipe at once. A reader that is gone is no reason to stop."""
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError:
        return


class Supervisor:
    """Runs stages of units under one home. A stage is started together and stopped together."""

    def __init__(self, home: Home, interrupts: Interrupts) -> None:
        self._home = home
        self._interrupts = interrupts
        self._stages: list[list[_Watched]] = []

    def start(self, *units: Unit) -> None:
        """Start a stage; returns when each of its units answers.

        Raises DevstackError if one cannot, StopRequested if somebody asks; either way the caller calls stop().
        """
        self.launch(*units)
        self.wait_ready(*units)

    def launch(self, *units: Unit) -> None:
        """The first half of start(), for a stage that may come up while other work is done."""
        stage: list[_Watched] = []
        self._stages.append(stage)
        for unit in units:
            self._interrupts.check()
            stage.append(_Watched(unit))
            unit.launch()
            self._record()

    def wait_ready(self, *units: Unit) -> None:
        """The second half of start()."""
        pending = list(units)
        while pending:
            self._interrupts.check()
            for unit in [unit for unit in pending if unit.look()]:
                pending.remove(unit)
                say(f"  {unit.name:<11} ready after {_milliseconds(unit)} ms")
            if pending:
                self._interrupts.wait(PENDING_SECONDS)
        self._record()

    def watch(self) -> None:
        """Start again what ends, until somebody asks to stop."""
        watched = [unit for stage in self._stages for unit in stage]
        while not self._interrupts.requested:
            for one in watched:
                one.look(self._record)
            self._home.bound_logs()
            self._interrupts.wait(min(one.patience() for one in watched))

    def stop(self) -> None:
        """Stop every stage, the last one first. A second request to stop kills what has not ended."""
        for stage in reversed(self._stages):
            units = [watched.unit for watched in stage]
            for unit in units:
                unit.request_stop()
            for unit in units:
                unit.finish_stop(hurry=self._interrupts.hurry)
        self._stages.clear()
        self._record()

    def _record(self) -> None:
        units = [watched.unit for stage in self._stages for watched in stage]
        self._home.record(unit.process.pid for unit in units if unit.running)


class _Watched:
    """A unit, and what happened to it since it was first ready."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self._ends = 0
        self._launch_at: float | None = None
        self._coming_back = False

    def look(self, record: Callable[[], None]) -> None:
        """Do what its state asks for now: report an end, launch it again when its delay is over, report its return."""
        if self.unit.running:
            if self._coming_back and self.unit.answers():
                self._coming_back = False
                say(f"  {self.unit.name:<11} is back after {_milliseconds(self.unit)} ms")
        elif self._launch_at is None:
            self._report_end()
        elif time.monotonic() >= self._launch_at:
            self._launch_at = None
            self._coming_back = True
            self.unit.launch()
            record()

    def patience(self) -> float:
        """Seconds until it should be looked at again if no signal comes before."""
        if self._launch_at is not None:
            return max(0.0, self._launch_at - time.monotonic())
        return PENDING_SECONDS if self._coming_back else IDLE_SECONDS

    def _report_end(self) -> None:
        process = self.unit.process
        steady = time.monotonic() - process.started > STEADY_SECONDS
        self._ends = 1 if steady else self._ends + 1
        delay = min(FIRST_DELAY_SECONDS * 2 ** (self._ends - 1), LONGEST_DELAY_SECONDS)
        self._launch_at = time.monotonic() + delay
        say(
            f"  {self.unit.name:<11} ended ({_how(process.exit_code())}), starts again in {delay:.1f} s; "
            f"its last line: {process.last_line()}"
        )


def _milliseconds(unit: Unit) -> int:
    return round((time.monotonic() - unit.process.started) * 1000)


def _how(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return Signals(-exit_code).name
    return f"exit code {exit_code}"
