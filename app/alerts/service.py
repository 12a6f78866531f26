"""Recording alerts with the event that causes them."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import repository
from app.core.db import ring_when_committed


async def record(
    session: AsyncSession, *, event: str, subject_id: UUID, conversation_id: UUID, channels: Sequence[str]
) -> list[UUID]:
    """Record one alert for each channel in the caller's transaction, and ring for the new ones once it commits.

    An event and subject that were recorded before cause nothing: the ids of the new alerts are given back.
    """
    if not channels:
        return []
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    new = await repository.insert_new(
        session,
        rows=[
            {
                "id": uuid4(),
                "event": event,
                "channel": channel,
                "subject_id": subject_id,
                "conversation_id": conversation_id,
                "dedupe_key": f"{event}:{subject_id}:{channel}",
                "request_id": request_id,
            }
            for channel in channels
        ],
    )
    ring_when_committed(session, new)
    return new
