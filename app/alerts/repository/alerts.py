"""Recording alerts and listing them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, true, tuple_
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.models import OutboundAlert
from app.core.db import AnyRow


async def insert_new(session: AsyncSession, *, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Record alerts; those whose dedupe key exists already are left alone. Gives the channels of the new ones."""
    inserted = await session.scalars(
        upsert(OutboundAlert)
        .values(list(rows))
        .on_conflict_do_nothing(index_elements=["dedupe_key"])
        .returning(OutboundAlert.channel)
    )
    return list(inserted)


async def page(
    session: AsyncSession, *, channel: str | None, state: str | None, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[AnyRow]:
    """One page of alerts, newest first, after the keyset position `before`."""
    key = tuple_(OutboundAlert.created_at, OutboundAlert.id)
    return (
        await session.execute(
            select(
                OutboundAlert.id,
                OutboundAlert.event,
                OutboundAlert.channel,
                OutboundAlert.subject_id,
                OutboundAlert.state,
                OutboundAlert.attempts,
                OutboundAlert.ambiguous_since.is_not(None).label("possible_repeat"),
                OutboundAlert.last_outcome,
                OutboundAlert.last_error,
                OutboundAlert.next_attempt_at,
                OutboundAlert.created_at,
                OutboundAlert.delivered_at,
            )
            .where(
                OutboundAlert.channel == channel if channel else true(),
                OutboundAlert.state == state if state else true(),
                key < before if before else true(),
            )
            .order_by(OutboundAlert.created_at.desc(), OutboundAlert.id.desc())
            .limit(limit)
        )
    ).all()
