"""The delivery of one process: a pump for each configured channel, and the sweep that finds what nobody rang for."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta
from typing import Final

import structlog

from app.alerts.repository import gate, queue
from app.core.db import DATABASE_ERRORS, Database
from worker import metrics
from worker.pump import Pump

FINISH_SECONDS: Final = 25.0
"""How long the end waits for what is in flight; a container's grace period must be longer."""
LAPSE_MARGIN_SECONDS: Final = 0.05

_log = structlog.stdlib.get_logger(__name__)


class Delivery:
    """Runs the pumps and sweeps. `catch_up` is called with every sweep, for jobs that nobody rang for either."""

    def __init__(
        self,
        pumps: Mapping[str, Pump],
        *,
        database: Database,
        lease: timedelta,
        max_attempts: int,
        max_age: timedelta,
        sweep_seconds: float,
        catch_up: Callable[[], Awaitable[None]],
    ) -> None:
        self._pumps = pumps
        self._database = database
        self._lease = lease
        self._max_attempts = max_attempts
        self._max_age = max_age
        self._sweep_seconds = sweep_seconds
        self._catch_up = catch_up
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self) -> None:
        """Begin to deliver. Channels that we paused ourselves are tried: their settings may have been mended."""
        async with self._database.driver() as connection:
            await gate.try_paused(connection, list(self._pumps))
        self._tasks = [asyncio.create_task(pump.run(), name=f"pump-{name}") for name, pump in self._pumps.items()]
        self._sweeper = asyncio.create_task(self._sweep_for_ever(), name="sweeper")

    def wake(self, channels: Collection[str]) -> None:
        """Something may be due on these channels. Channels that are off here are somebody else's."""
        for name in channels:
            if name in self._pumps:
                self._pumps[name].wake()

    async def finish(self) -> None:
        """Claim nothing more, and wait until everything in flight is settled, FINISH_SECONDS at most."""
        self._stopping = True
        self._sweeper.cancel()
        for pump in self._pumps.values():
            pump.stop()
        _, unfinished = await asyncio.wait([*self._tasks, self._sweeper], timeout=FINISH_SECONDS)
        for task in unfinished:
            _log.error("ended_unsettled", task=task.get_name())
            task.cancel()
        await asyncio.gather(*self._tasks, self._sweeper, return_exceptions=True)

    async def _sweep_for_ever(self) -> None:
        while not self._stopping:  # a cancellation alone may be swallowed by whatever is awaited
            wait = self._sweep_seconds
            try:
                wait = await self._sweep()
                await self._catch_up()
                metrics.SWEPT.set_to_current_time()
            except Exception as error:  # noqa: BLE001  without its sweep a process forgets what nobody rings for
                _log.warning(
                    "sweep_failed",
                    error=type(error).__name__,
                    exc_info=None if isinstance(error, DATABASE_ERRORS) else error,
                )
            await asyncio.sleep(wait)

    async def _sweep(self) -> float:
        """Recover lost claims, give up what is too old, wake every pump; gives the seconds until the next sweep."""
        async with self._database.driver() as connection:
            lost = await queue.recover(connection, lease=self._lease, max_attempts=self._max_attempts)
            expired = await queue.expire(connection, age=self._max_age)
            suspected = await queue.suspected(connection)
        for alert in lost:
            metrics.LEASES_LAPSED.labels(alert.channel).inc()
            _log.warning("worker_lost", alert_id=str(alert.id), channel=alert.channel, given_up=alert.given_up)
        for alert_id in expired:
            _log.error("alert_too_old", alert_id=str(alert_id))
        self.wake(self._pumps)
        for name in self._pumps.keys() & suspected:
            while await self._pumps[name].send_suspect():
                pass
        async with self._database.driver() as connection:
            lapse = await queue.seconds_until_lapse(connection)
        if lapse is None:
            return self._sweep_seconds
        return min(max(lapse, 0) + LAPSE_MARGIN_SECONDS, self._sweep_seconds)
