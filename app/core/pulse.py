"""Whether a server still answers, and telling everybody at once when it does not.

A server that is gone refuses; one that is frozen, or behind a dead network, says nothing. That looks like a slow
statement. So when one has been waited for long, the server is asked for something that takes no time. An answer: the
statement may go on. None: everything that waits is given up, and whoever comes is refused until there is an answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final
from weakref import WeakSet

import asyncpg
import structlog

TICK_SECONDS: Final = 0.1
"""How often is looked. Time is counted in looks: a process that was held up itself has not waited for anybody."""
ASK_AGAIN_SECONDS: Final = 0.1

_log = structlog.stdlib.get_logger(__name__)


class BusyError(TimeoutError):
    """No connection became free in time."""


class SilentError(TimeoutError):
    """The server answers nobody."""


class Pulse:
    """One process's idea of whether a server answers.

    `ask` asks the server for an answer and raises when there is none. It is called by one task at a time, and only
    while something has been waited for longer than half of `silence_seconds`; the answer has the other half.
    """

    def __init__(self, ask: Callable[[], Awaitable[None]], *, silence_seconds: float) -> None:
        self.silent = False
        self._ask = ask
        self._silence_seconds = silence_seconds
        ticks = max(2, round(silence_seconds / TICK_SECONDS))
        self._late_ticks = ticks // 2
        self._answer_ticks = ticks - self._late_ticks
        self._began: dict[object, int] = {}  # in the order of time, hence the first is the oldest
        self._answers = 0
        self._tick = 0
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        self._connections: WeakSet[asyncpg.Connection] = WeakSet()
        self._attempts: set[asyncio.Task[asyncpg.Connection]] = set()
        self._queues: list[Queue] = []

    def queue(self, *, places: int, seconds: float) -> "Queue":
        """A queue that is told when the server falls silent."""
        queue = Queue(self, places=places, seconds=seconds)
        self._queues.append(queue)
        return queue

    def begin(self, use: object) -> None:
        """From now on the server is waited for."""
        self._began[use] = self._tick
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._look)

    def end(self, use: object, *, answered: bool) -> None:
        """It is not any more. `answered`: it said something."""
        del self._began[use]
        self._answers += answered

    @contextmanager
    def waiting(self, use: object) -> Iterator[None]:
        """The server is waited for as long as the block lasts, and has said something when that ends well."""
        answered = False
        self.begin(use)
        try:
            yield
            answered = True
        finally:
            self.end(use, answered=answered)

    async def connected(self, attempt: Coroutine[Any, Any, asyncpg.Connection]) -> asyncpg.Connection:
        """The connection that `attempt` makes, which is closed when the server falls silent.

        Raises SilentError when it does so before there is one.
        """
        making = asyncio.ensure_future(attempt)
        self._attempts.add(making)
        try:
            with self.waiting(making):
                connection = await making
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                making.add_done_callback(_close_unwanted)
                raise
            raise SilentError from None
        finally:
            self._attempts.discard(making)
        self._connections.add(connection)
        return connection

    async def aclose(self) -> None:
        """Look no more, and cut off whoever is still connected."""
        if self._timer is not None:
            self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        self._cut_off()

    def _late(self) -> bool:
        oldest = next(iter(self._began.values()), self._tick)
        return self._tick - oldest >= self._late_ticks

    def _look(self) -> None:
        self._tick += 1
        if self._watching is None and self._late():
            self._watching = asyncio.create_task(self._watch())
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._look) if self._began else None

    async def _watch(self) -> None:
        """Ask beside what is late, for as long as anything is."""
        asking: asyncio.Task[bool] | None = None
        try:
            while self._late():
                asking = asyncio.create_task(self._asked())
                if await self._answered(asking):
                    asking.cancel()
                else:
                    self._give_up()
                    while not await asking:
                        await asyncio.sleep(ASK_AGAIN_SECONDS)
                        asking = asyncio.create_task(self._asked())
                    self.silent = False
                    _log.warning("database_answers_again")
                await asyncio.sleep(self._late_ticks * TICK_SECONDS)
        finally:
            self._watching = None
            if asking is not None:
                asking.cancel()

    async def _answered(self, asking: asyncio.Task[bool]) -> bool:
        """Whether the server says anything to anybody in time: one that is only busy may let a newcomer wait."""
        answers = self._answers
        for _ in range(self._answer_ticks):
            done, _ = await asyncio.wait({asking}, timeout=TICK_SECONDS)
            if self._answers != answers:
                return True
            if done:
                return asking.result()
        return False

    async def _asked(self) -> bool:
        try:
            async with asyncio.timeout(self._silence_seconds):
                await self._ask()
        except asyncpg.PostgresError:
            return True  # a refusal is an answer
        except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            return False
        return True

    def _give_up(self) -> None:
        self.silent = True
        _log.error("database_silent", waiting=len(self._began))
        self._cut_off()  # idle ones too: nobody shall find out anew that they are dead
        for queue in self._queues:
            queue.refuse()

    def _cut_off(self) -> None:
        for connection in list(self._connections):
            connection.terminate()
        for attempt in self._attempts:
            attempt.cancel()


class Queue:
    """A fair queue for `places`: who comes first gets the next one, and nobody waits longer than `seconds`."""

    def __init__(self, pulse: Pulse, *, places: int, seconds: float) -> None:
        self._pulse = pulse
        self._free = places
        self._seconds = seconds
        self._waiting: dict[asyncio.Future[None], None] = {}

    def enter_at_once(self) -> bool:
        """Take a place if there is a free one. Raises SilentError."""
        if self._pulse.silent:
            raise SilentError
        if not self._free:
            return False
        self._free -= 1
        return True

    async def enter(self) -> None:
        """Wait for a place and take it. Raises BusyError and SilentError."""
        if self.enter_at_once():
            return
        loop = asyncio.get_running_loop()
        place: asyncio.Future[None] = loop.create_future()
        self._waiting[place] = None
        timer = loop.call_later(self._seconds, _refuse, place, BusyError)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled() and place.exception() is None:
                self.leave()  # it came just when its waiter was cancelled
            raise
        finally:
            timer.cancel()
            self._waiting.pop(place, None)

    def leave(self) -> None:
        """Give a place back."""
        while self._waiting:
            place = next(iter(self._waiting))
            del self._waiting[place]
            if not place.done():
                place.set_result(None)
                return
        self._free += 1

    def refuse(self) -> None:
        """Tell everybody who waits that the server is silent."""
        waiting, self._waiting = self._waiting, {}
        for place in waiting:
            _refuse(place, SilentError)


def _refuse(place: asyncio.Future[None], reason: type[TimeoutError]) -> None:
    if not place.done():
        place.set_exception(reason())


def _close_unwanted(making: asyncio.Task[asyncpg.Connection]) -> None:
    """The connection that was made just when nobody wanted it any more."""
    if not making.cancelled() and making.exception() is None:
        making.result().terminate()
