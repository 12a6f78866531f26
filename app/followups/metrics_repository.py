"""What a scrape asks of follow-ups."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import AnyRow
from app.followups.models import FollowupEvent


async def counts(session: AsyncSession, *, days: int) -> Sequence[AnyRow]:
    """How many were written in the last days, by number and state."""
    return (
        await session.execute(
            select(FollowupEvent.followup_number, FollowupEvent.state, func.count().label("total"))
            .where(FollowupEvent.created_at >= func.now() - timedelta(days=days))
            .group_by(FollowupEvent.followup_number, FollowupEvent.state)
        )
    ).all()


async def oldest_pending_seconds(session: AsyncSession) -> float:
    """The age of the oldest that has not left; 0 when there is none."""
    age = func.extract("epoch", func.now() - func.min(FollowupEvent.created_at))
    found = (await session.execute(select(age).where(FollowupEvent.state == "pending"))).scalar_one()
    return float(found or 0)
