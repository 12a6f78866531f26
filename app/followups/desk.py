"""What operators do with follow-ups, by HTTP or by the command line: the service's use cases, journaled."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import AnyRow
from app.followups import repository, service
from app.followups.service import Followups, Written
from app.operations import service as journal


async def write(
    session: AsyncSession,
    followups: Followups,
    *,
    conversation_id: UUID,
    number: int,
    message: str | None,
    actor: str,
) -> Written:
    """Write the n-th follow-up of a conversation. Raises what `service.write` raises."""
    written = await service.write(
        session, followups, conversation_id=conversation_id, number=number, message=message, author=actor
    )
    if not written.replayed:
        await journal.note(session, actor=actor, action="followup.write", target=str(written.row.id))
    return written


async def cancel(session: AsyncSession, followup_id: UUID, *, reason: str, actor: str) -> AnyRow:
    """Take back one that has not left, and give it; again changes nothing. Raises what `service.cancel` raises."""
    before = await repository.get(session, followup_id)
    row = await service.cancel(session, followup_id, reason=reason)
    if before is None or before.state != "cancelled":
        await journal.note(session, actor=actor, action="followup.cancel", target=str(followup_id), reason=reason)
    return row
