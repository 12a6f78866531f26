"""Signals that end the stack: counted when they come, looked at where it is safe."""

import os
import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Any, Self

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(Exception):  # noqa: N818  a request, not an error
    """Somebody asked the stack to end. No error: whoever catches it ends things in order."""


class Interrupts:
    """While entered (main thread only), SIGINT, SIGTERM and SIGHUP are requests to stop, and the second one to hurry.

    SIGHUP stays ignored where the caller ignores it (nohup). With with_parent, the end of the parent process is a
    request too.
    """

    def __init__(self, *, with_parent: bool = False) -> None:
        self._requests = 0
        self._parent = os.getppid() if with_parent else None
        self._before: dict[signal.Signals, Any] = {}
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)

    @property
    def requested(self) -> bool:
        """Whether the stack should end."""
        return self._requests > 0 or (self._parent is not None and os.getppid() != self._parent)

    def hurry(self) -> bool:
        """Whether somebody asked again."""
        return self._requests > 1

    def check(self) -> None:
        """Raise StopRequested if the stack should end."""
        if self.requested:
            raise StopRequested

    def wait(self, seconds: float) -> None:
        """Sleep, at most until the next signal or the end of a child."""
        select.select([self._woken], [], [], seconds)
        while True:
            try:
                self._woken.recv(4096)
            except BlockingIOError:
                return

    def __enter__(self) -> Self:
        for number in ASKING:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._count)
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _wake_only)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._woken.close()
        self._waker.close()

    def _count(self, _number: int, _frame: FrameType | None) -> None:
        self._requests += 1


def _wake_only(_number: int, _frame: FrameType | None) -> None:
    """The wake-up byte is all that is wanted of SIGCHLD."""
