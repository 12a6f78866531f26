"""A circuit breaker of one process: after failures in a row nobody is asked for a while, then one trial decides. Pure."""

from typing import Final

FAIL_MAX: Final = 5
OPEN_SECONDS: Final = 30.0


class Breaker:
    """Whether calls are let through. Times are seconds on one monotonic clock.

    A trial that never tells how it went, because it was given up, is followed by the next one after `open_seconds`.
    """

    def __init__(self, *, fail_max: int = FAIL_MAX, open_seconds: float = OPEN_SECONDS) -> None:
        self._fail_max = fail_max
        self._open_seconds = open_seconds
        self._failures = 0
        self._shut_until: float | None = None
        """When the next trial may be made; None while everybody is let through."""

    def admits(self, now: float) -> bool:
        """Whether a call may be made: any while the remote works, else one trial in `open_seconds`."""
        if self._shut_until is None:
            return True
        if now < self._shut_until:
            return False
        self._shut_until = now + self._open_seconds
        return True

    def succeeded(self) -> None:
        """The remote answers: everybody is let through."""
        self._failures, self._shut_until = 0, None

    def failed(self, now: float) -> None:
        """The remote failed, and with the last of `fail_max` in a row, or in a trial, nobody is let through."""
        self._failures += 1
        if self._failures >= self._fail_max:
            self._shut_until = now + self._open_seconds
