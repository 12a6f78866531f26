"""What the people who run the service are told of."""

from collections.abc import Sequence
from uuid import UUID, uuid4

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.models import OperatorNotice, OutboundAlert
from app.core.db import AnyRow


async def add(session: AsyncSession, *, kind: str, reason: str | None) -> UUID:
    """Make a notice and give its id."""
    notice_id = uuid4()
    await session.execute(insert(OperatorNotice).values(id=notice_id, kind=kind, reason=reason))
    return notice_id


async def many(session: AsyncSession, notice_ids: Sequence[UUID]) -> dict[UUID, AnyRow]:
    """Those of `notice_ids` that exist, by id."""
    rows = await session.execute(
        select(
            OperatorNotice.id,
            OperatorNotice.kind,
            OperatorNotice.channel,
            OperatorNotice.reason,
            OperatorNotice.created_at,
        ).where(OperatorNotice.id.in_(notice_ids))
    )
    return {row.id: row for row in rows}


async def waiting(session: AsyncSession, channel: str) -> int:
    """How many alerts wait for a channel."""
    count: int = (
        await session.execute(
            select(func.count()).where(OutboundAlert.channel == channel, OutboundAlert.state == "pending")
        )
    ).scalar_one()
    return count
