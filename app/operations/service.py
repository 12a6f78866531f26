"""The journals: what operators did, and when scheduled jobs last ran."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import AnyRow
from app.operations import repository

OVERDUE_INTERVALS: Final = 2


@dataclass(frozen=True, slots=True)
class Job:
    """A scheduled job and its last runs."""

    name: str
    every_seconds: float
    started_at: datetime
    succeeded_at: datetime | None
    failed_at: datetime | None
    last_error: str | None
    last_count: int | None
    overdue: bool
    """It has not succeeded for OVERDUE_INTERVALS of its intervals, or fails and never succeeded."""


async def note(
    session: AsyncSession, *, actor: str, action: str, target: str, reason: str | None = None, count: int = 1
) -> UUID:
    """Journal what an operator did, in the transaction that did it, with the request that asked for it.

    Gives the entry's id.
    """
    return await repository.add_action(
        session,
        actor=actor,
        action=action,
        target=target,
        reason=reason,
        count=count,
        request_id=structlog.contextvars.get_contextvars().get("request_id"),
    )


async def add_to(session: AsyncSession, entry: UUID, *, count: int) -> None:
    """Count `count` more in an entry, in the transaction that did more of it."""
    await repository.add_to_action(session, entry, count=count)


async def actions(
    session: AsyncSession, *, target: str | None, before: tuple[datetime, UUID] | None = None, limit: int
) -> Sequence[AnyRow]:
    """One page of what operators did, newest first."""
    return await repository.actions(session, target=target, before=before, limit=limit)


async def jobs(session: AsyncSession, *, now: datetime) -> list[Job]:
    """Every job that a worker has run, by name."""
    return [
        Job(
            name=row.name,
            every_seconds=row.every.total_seconds(),
            started_at=row.started_at,
            succeeded_at=row.succeeded_at,
            failed_at=row.failed_at,
            last_error=row.last_error,
            last_count=row.last_count,
            overdue=_overdue(row, row.every * OVERDUE_INTERVALS, now),
        )
        for row in await repository.jobs(session)
    ]


def _overdue(row: AnyRow, after: timedelta, now: datetime) -> bool:
    if row.succeeded_at is None:
        return row.failed_at is not None or bool(row.started_at < now - after)
    return bool(row.succeeded_at < now - after)
