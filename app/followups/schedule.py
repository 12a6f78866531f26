"""One run of the schedule: writes every follow-up that is due, each number once however many runs overlap."""

from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import DATABASE_ERRORS, Database
from app.followups import mail_repository, people, quiet, service
from app.followups import quiet_repository as candidates
from app.followups.service import SCHEDULE, ConsentMissingError, Followups

MOST: Final = 1000
"""Follow-ups of one run; what is left is due in the next."""

_log = structlog.stdlib.get_logger(__name__)


async def run(database: Database, followups: Followups, *, now: datetime) -> int:
    """Write what is due at `now`, a transaction each; gives how many. Outside the hours it writes nothing.

    First it repeats on follow-ups what became of their mails where no settlement did.
    """
    async with database.driver() as connection:
        await mail_repository.catch_up_with_alerts(connection)
    timing = followups.timing
    if not timing.hours.allow(now):
        return 0
    written = 0
    after: tuple[datetime, UUID] | None = None
    while written < MOST:
        async with database.transaction() as session:
            batch = await candidates.quiet(
                session,
                delays=timing.delays,
                earliest=quiet.earliest(timing, now),
                now=now,
                after=after,
                limit=quiet.BATCH,
            )
        for row in batch:
            written += await _tried(database, followups, row.id, now=now)
        if len(batch) < quiet.BATCH:
            break
        after = (batch[-1].last_message_at, batch[-1].id)
    return written


async def _tried(database: Database, followups: Followups, conversation_id: UUID, *, now: datetime) -> bool:
    """One conversation to which nothing can be written must not keep the others from being written to."""
    try:
        async with database.transaction() as session:
            return await write_one(session, followups, conversation_id, now=now)
    except ConsentMissingError:
        return False
    except DATABASE_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, it is this conversation's own
        _log.exception("followup_unwritable", conversation_id=str(conversation_id), error=type(error).__name__)
        return False


async def write_one(session: AsyncSession, followups: Followups, conversation_id: UUID, *, now: datetime) -> bool:
    """Write to one conversation if it is due and nobody else is at it; false when nothing was written.

    Every fact is read anew by a statement that begins once its lock is held: the conversation's, the person's.
    Raises ConsentMissingError.
    """
    timing = followups.timing
    if not await candidates.claim(session, conversation_id):
        return False
    row = await candidates.still_quiet(
        session, conversation_id, delays=timing.delays, earliest=quiet.earliest(timing, now), now=now
    )
    if row is None:
        return False
    who = people.hmacs_of(followups.keys, email=row.email, phone=row.phone)
    await candidates.lock_person(session, int.from_bytes(who[0][:8], "big", signed=True))
    planned = quiet.plan(row, await candidates.last_written(session, who), who, timing=timing, now=now)
    if planned is None:
        return False
    written = await service.write(
        session,
        followups,
        conversation_id=conversation_id,
        number=planned.number,
        message=None,
        author=SCHEDULE,
        now=now,
    )
    return not written.replayed
