"""The clocks of privacy requests: a proof within a day, an export for a day, an answer within a month."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import service as alerts
from app.core.db import Database
from app.privacy.repository import clocks

PROOF_WITHIN: Final = timedelta(hours=24)
OPT_IN_MAILED_WITHIN: Final = timedelta(days=3)
"""An opt-in whose mail could not be sent for so long lapses; one that was mailed waits as long as its token works."""
WARN_AHEAD: Final = timedelta(days=7)


async def keep(database: Database, *, pagers: Sequence[str]) -> int:
    """Close what lapsed, and tell operators once of each request whose month ends within WARN_AHEAD; gives how many."""
    closed = await _all(database, lambda session: clocks.expire_unproved(session, age=PROOF_WITHIN))
    closed += await _all(database, lambda session: clocks.expire_opt_ins(session, unmailed=OPT_IN_MAILED_WITHIN))
    closed += await _all(database, clocks.close_answered)
    if not pagers:
        return closed  # nobody could be told, and each is told of once only: `novahouse privacy list` shows the clock
    async with database.transaction() as session:
        due = await clocks.warn_of_due(session, ahead=WARN_AHEAD)
        if due:
            await alerts.tell_operators(session, kind="notice.privacy_due", reason=None, pagers=pagers)
    return closed + due


async def _all(database: Database, close: Callable[[AsyncSession], Awaitable[int]]) -> int:
    total = 0
    while True:
        async with database.transaction() as session:
            count = await close(session)
        total += count
        if count < clocks.BATCH:
            return total
