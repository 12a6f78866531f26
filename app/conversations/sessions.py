"""Conversations in which nobody speaks any more: one sentence after a while, and then they are closed.

Neither is a message to anybody: both happen in the window only. Closing forgets nothing; the visitor's next message
opens the conversation again (docs/decisions/0009-sessions.md).
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self
from uuid import UUID

from app.conversations import sessions_repository as repository
from app.conversations import turns
from app.conversations.service import MAX_SEQ
from app.core.db import AnyRow, Database
from app.core.settings import Settings
from app.engine.engine import Engine
from app.engine.types import Locale

BATCH: Final = 200
BUDGET_SECONDS: Final = 10.0
"""Of one run; what is left waits for the next."""
LATE: Final = timedelta(hours=1)
"""So long after its time a nudge reaches nobody: the worker was away."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long nobody must have spoken; None: never."""

    nudge: timedelta | None
    timeout: timedelta | None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the environment says, where 0 is never."""
        return cls(_minutes(settings.nudge_minutes), _minutes(settings.session_timeout_minutes))


NEVER: Final = Patience(None, None)
_LAST_ID: Final = UUID(int=2**128 - 1)


async def run(database: Database, engine: Engine, patience: Patience, *, now: datetime) -> int:
    """Close what is quiet for long at `now`, then nudge what is quiet for a while; gives how many of both."""
    deadline = time.monotonic() + BUDGET_SECONDS
    done = 0
    if patience.timeout is not None:
        done += await _close(database, quiet_since=now - patience.timeout, deadline=deadline)
    if patience.nudge is not None:
        latest = patience.nudge + LATE
        earliest = now - min(patience.timeout or latest, latest)
        done += await _nudge(
            database, engine, quiet_since=now - patience.nudge, earliest=earliest, now=now, deadline=deadline
        )
    return done


async def _close(database: Database, *, quiet_since: datetime, deadline: float) -> int:
    total = 0
    while time.monotonic() < deadline:
        async with database.transaction() as session:
            closed = await repository.close_quiet(session, quiet_since=quiet_since, limit=BATCH)
        total += closed
        if closed < BATCH:
            break
    return total


async def _nudge(
    database: Database, engine: Engine, *, quiet_since: datetime, earliest: datetime, now: datetime, deadline: float
) -> int:
    total = 0
    after = (earliest, _LAST_ID)
    while time.monotonic() < deadline:
        async with database.transaction() as session:
            rows = await repository.quiet(session, quiet_since=quiet_since, after=after, max_seq=MAX_SEQ, limit=BATCH)
        for row in rows:
            total += await _nudge_one(database, engine, row, now=now)
        if len(rows) < BATCH:
            break
        after = (rows[-1].last_message_at, rows[-1].id)
    return total


async def _nudge_one(database: Database, engine: Engine, row: AnyRow, *, now: datetime) -> bool:
    locale: Locale = "en" if row.language == "en" else "pl"
    reply = engine.nudge(turns.slots(row._asdict()), memory=row.memory.get("engine", {}), locale=locale, now=now)
    if reply is None:
        return False
    message = {
        "type": reply.type,
        "text": reply.text,
        "quick_replies": turns.plain_quick_replies(reply.quick_replies),
    }
    async with database.transaction() as session:
        return await repository.nudge(session, row.id, read_seq=row.last_seq, message=message, at=now)


def _minutes(minutes: float) -> timedelta | None:
    return timedelta(minutes=minutes) if minutes else None
