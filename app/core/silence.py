"""Whether a server that does not answer is slow or silent: frozen, or cut off. Nobody waits long for a silent one."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Final, Self

import asyncpg
import structlog

SUSPECT_SECONDS: Final = 0.75
"""How long a transaction may last before the server is asked whether it is there, and again after each such time."""
PROBE_SECONDS: Final = 0.75
"""In which it must answer somebody new."""
PROBE_STEPS: Final = 15
SILENT_AFTER_SECONDS: Final = SUSPECT_SECONDS + PROBE_SECONDS
"""After so long it is known."""

_log = structlog.stdlib.get_logger(__name__)


class Watch:
    """Ends the waiting of transactions for a silent server.

    A statement that takes long is let be as long as the server answers others: it waits for a lock, or has much to do.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._probe: asyncio.Task[bool] | None = None
        self._asking: set[asyncio.Task[None]] = set()

    def over(self) -> "Watched":
        """A transaction, for as long as the block lasts."""
        return Watched(self)

    def ask(self, watched: "Watched") -> None:
        """Find out whether the server is there, and tell."""
        asking = asyncio.create_task(self._judge(watched))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    async def aclose(self) -> None:
        """Stop asking."""
        tasks = [*self._asking, *((self._probe,) if self._probe is not None else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _judge(self, watched: "Watched") -> None:
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._answers())
        watched.judged(silent=not await asyncio.shield(self._probe))

    async def _answers(self) -> bool:
        """Whether the server has anything to say to a newcomer; a refusal is an answer too."""
        asking = asyncio.create_task(self._newcomer())
        try:
            # in steps, in each of which this process reads what has come: it may be what was too busy, not the server
            for _ in range(PROBE_STEPS):
                if (await asyncio.wait({asking}, timeout=PROBE_SECONDS / PROBE_STEPS))[0]:
                    break
            else:
                _log.warning("database_silent")
                return False
            asking.result()
        except asyncpg.PostgresError:
            return True
        except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            _log.warning("database_silent", error=type(error).__name__)
            return False
        finally:
            asking.cancel()
        return True

    async def _newcomer(self) -> None:
        connection = await asyncpg.connect(self._url, statement_cache_size=0)
        try:
            await connection.execute("SELECT 1")
            await connection.close()
        finally:
            connection.terminate()  # nothing, once it is closed


class Watched:
    """One transaction under a Watch."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._end: Callable[[], object] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self.look_later()
        return self

    def __exit__(self, *_: object) -> None:
        self._end = None
        if self._timer is not None:
            self._timer.cancel()

    def ends_by(self, end: Callable[[], object]) -> None:
        """What makes that fail which is waited for from now on."""
        self._end = end

    def look_later(self) -> None:
        """Let it be for another while."""
        loop = asyncio.get_running_loop()
        # what is found out concerns everybody: it is not logged as the request's that happened to ask
        self._timer = loop.call_later(SUSPECT_SECONDS, self._watch.ask, self, context=Context())

    def judged(self, *, silent: bool) -> None:
        """Take the answer, unless the transaction was over before it came."""
        if self._end is None:
            return
        if silent:
            self._end()
        else:
            self.look_later()
