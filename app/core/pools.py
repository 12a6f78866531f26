"""SQLAlchemy's pool as we use it: fair, told when the server falls silent, and without dead connections."""

from typing import Any, cast

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.util import await_only

from app.core.pulse import Pulse, Queue


class FairPool(AsyncAdaptedQueuePool):
    """A pool behind a queue of ours. Its own gives a free connection to whoever comes, past those who wait."""

    _ours: Queue
    _pulse: Pulse

    def stand_behind(self, pulse: Pulse, queue: Queue) -> None:
        """Have this queue, with a place for each connection. To be called before the pool is used."""
        self._pulse, self._ours = pulse, queue
        event.listen(self, "checkout", _not_closed)

    def recreate(self) -> "FairPool":
        """As SQLAlchemy's."""
        pool = cast("FairPool", super().recreate())
        pool.stand_behind(self._pulse, self._ours)
        return pool

    def _do_get(self) -> ConnectionPoolEntry:
        if not self._ours.enter_at_once():
            await_only(self._ours.enter())
        getting = object()
        self._pulse.begin(getting)  # a new connection is asked this and that before it is anybody's
        try:
            entry = super()._do_get()
        except BaseException:
            self._ours.leave()
            raise
        finally:
            self._pulse.end(getting, answered=False)
        self._pulse.begin(entry)
        return entry

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        self._pulse.end(record, answered=_is_open(record))
        super()._do_return_conn(record)
        self._ours.leave()


def _is_open(entry: ConnectionPoolEntry) -> bool:
    connection: asyncpg.Connection | None = entry.driver_connection
    return connection is not None and not connection.is_closed()


def _not_closed(_connection: Any, entry: ConnectionPoolEntry, _proxy: Any) -> None:
    """Before a connection leaves the pool: one that was closed meanwhile is replaced."""
    if not _is_open(entry):
        raise DisconnectionError
