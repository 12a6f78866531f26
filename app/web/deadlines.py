"""Ending what takes too long: one timer looks after all requests, where `asyncio.timeout` sets up to three for each."""

import asyncio
from typing import Final

EVERY_SECONDS: Final = 0.1
"""How often it is looked, and so how late a task may be ended."""


class Deadline:
    """When a task is ended. `at`, in the loop's time, may be moved; `over` says that it was reached."""

    __slots__ = ("_cancelling", "at", "over", "task")

    def __init__(self, task: asyncio.Task[object], at: float) -> None:
        self.task = task
        self.at = at
        self.over = False
        self._cancelling = task.cancelling()

    def passed(self) -> bool:
        """For a task that was cancelled: whether this ended it, and nobody else did too. Then it may go on."""
        return self.over and self.task.uncancel() <= self._cancelling


class Deadlines:
    """The deadlines of one event loop's tasks."""

    def __init__(self) -> None:
        self._open: set[Deadline] = set()
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float) -> Deadline:
        """End the current task at this time, by a cancellation, unless the deadline is moved or lifted before."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline is for a task")
        deadline = Deadline(task, at)
        self._open.add(deadline)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY_SECONDS, self._look)
        return deadline

    def lift(self, deadline: Deadline) -> None:
        """Forget it."""
        self._open.discard(deadline)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for deadline in self._open:
            if deadline.at <= now and not deadline.over:
                deadline.over = True
                deadline.task.cancel()
        self._timer = loop.call_later(EVERY_SECONDS, self._look) if self._open else None
