"""Whom the schedule writes to: conversations that went quiet, by the plan, one message a day for one person."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.consent.suppression import suppressed_addresses
from app.core.db import AnyRow, driver_of
from app.core.keys import KeyRing
from app.followups import people
from app.followups import quiet_repository as repository
from app.followups.plan import Next, Quiet, next_followup
from app.followups.timing import Timing

BATCH: Final = 100
FORGOTTEN: Final = timedelta(days=30)
"""So long after the last delay nobody expects to hear from us."""


def earliest(timing: Timing, now: datetime) -> datetime:
    """Conversations that were last heard of before this are left alone."""
    return now - timing.delays[-1] - FORGOTTEN


async def due(
    session: AsyncSession, *, timing: Timing, keys: KeyRing, now: datetime, limit: int
) -> list[tuple[UUID, int, datetime]]:
    """What a run at `now` would write: conversation, number, and since when it is due. Nothing outside the hours."""
    found: list[tuple[UUID, int, datetime]] = []
    if not timing.hours.allow(now):
        return found
    written: set[bytes] = set()
    after: tuple[datetime, UUID] | None = None
    while len(found) < limit:
        rows = await repository.quiet(
            session, delays=timing.delays, earliest=earliest(timing, now), now=now, after=after, limit=BATCH
        )
        addresses = [row.email for row in rows if row.email]
        suppressed = await suppressed_addresses(await driver_of(session), addresses=addresses, keys=keys)
        who = {row.id: people.hmacs_of(keys, email=row.email, phone=row.phone) for row in rows}
        last = await repository.last_written(session, {digest for digests in who.values() for digest in digests})
        for row in rows:
            planned = plan(row, last, who[row.id], timing=timing, now=now)
            if planned is None or row.email in suppressed or not written.isdisjoint(who[row.id]):
                continue
            written.update(who[row.id])
            found.append((row.id, planned.number, planned.due_at))
        if len(rows) < BATCH:
            break
        after = (rows[-1].last_message_at, rows[-1].id)
    return found[:limit]


def plan(
    row: AnyRow, last: Mapping[bytes, tuple[datetime, bool]], who: list[bytes], *, timing: Timing, now: datetime
) -> Next | None:
    """The follow-up to write to a quiet conversation at `now`, or None. Nothing while the person's last one waits."""
    known = [last[digest] for digest in who if digest in last]
    if any(waits for _, waits in known):
        return None
    written_at = max((at for at, _ in known), default=None)
    planned = next_followup(
        Quiet(row.last_message_at, row.last_number, written_at), delays=timing.delays, hours=timing.hours
    )
    return planned if planned is not None and planned.due_at <= now else None
