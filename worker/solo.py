"""Sending an alert with nothing else in flight, so that a message that kills its process takes nobody along."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Solo:
    """Counts what is in flight in this process, and lets one suspect have the process to itself."""

    def __init__(self) -> None:
        self._busy = 0
        self._open, self._idle = asyncio.Event(), asyncio.Event()
        self._open.set()
        self._idle.set()
        self._one_at_a_time = asyncio.Lock()

    async def begin(self) -> None:
        """Enter; waits while a suspect is about to be sent or under way."""
        while not self._open.is_set():
            await self._open.wait()
        self.add(1)

    def add(self, count: int) -> None:
        """So many more are in flight, of somebody who has entered."""
        self._busy += count
        self._idle.clear()

    def end(self, count: int) -> None:
        """So many are over."""
        self._busy -= count
        if self._busy == 0:
            self._idle.set()

    async def idle(self) -> None:
        """Return when nothing is in flight."""
        await self._idle.wait()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Keep others out, and begin when the last of them has left."""
        async with self._one_at_a_time:
            self._open.clear()
            try:
                await self._idle.wait()
                yield
            finally:
                self._open.set()
