"""The simulation's time: it passes as ours does, and leaps when the simulation says so.

How far it is ahead stands in a file, for the processes (`tests.simulation.clocked`), and in a table of the
simulation's database, whose `now()` and `clock_timestamp()` are functions of its own. Statements name them without a
schema, so the search path decides which they get; nothing of ours knows.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import asyncpg

from app.core import clock

_INSTALL: Final = """
CREATE SCHEMA simulation;
CREATE TABLE simulation.clock (ahead interval NOT NULL);
INSERT INTO simulation.clock VALUES ('0');
CREATE FUNCTION simulation.now() RETURNS timestamptz LANGUAGE sql STABLE AS
    'SELECT pg_catalog.now() + ahead FROM simulation.clock';
CREATE FUNCTION simulation.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
    'SELECT pg_catalog.clock_timestamp() + ahead FROM simulation.clock';
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET search_path = public, simulation, pg_catalog', current_database());
END $$
"""


class Leaps:
    """The clock of one simulation."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._ahead = timedelta(0)
        self._write()

    async def install(self, url: str) -> None:
        """Give a database without tables its clock, for every connection from now on."""
        sql = await asyncpg.connect(url)
        try:
            await sql.execute(_INSTALL)
        finally:
            await sql.close()

    def now(self) -> datetime:
        """The simulated instant."""
        return clock.now() + self._ahead

    async def leap(self, pool: asyncpg.Pool, to: datetime, *, over_claims: bool = False) -> bool:
        """It is then, everywhere: in the processes first, so that for a moment the database seems late, never early.

        False, and nothing happens, while an alert is claimed: its lease would end by the leap. Claims wait meanwhile.
        `over_claims`: whoever claimed is dead.
        """
        async with pool.acquire() as sql, sql.transaction():
            await sql.execute("LOCK TABLE outbound_alert IN SHARE ROW EXCLUSIVE MODE")
            if not over_claims and await sql.fetchval(
                "SELECT EXISTS (SELECT FROM outbound_alert WHERE state = 'sending')"
            ):
                return False
            self._ahead = to.astimezone(UTC) - clock.now()
            self._write()
            await sql.execute("UPDATE simulation.clock SET ahead = $1", self._ahead)
        return True

    def _write(self) -> None:
        beside = self.file.with_suffix(".new")
        beside.write_text(str(self._ahead // timedelta(microseconds=1)), encoding="ascii")
        beside.replace(self.file)
