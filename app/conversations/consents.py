"""What a decision about a consent changes, all in one transaction: the proof, the answer, its copies, and what waits.

The one way to decide, whoever asks: the visitor in the chat or by the API, an unsubscribe link, a privacy request.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import service as alerts
from app.consent import service as consent
from app.consent.service import Origin, Purpose, Seen
from app.conversations import repository
from app.leads import repository as leads

ENDS: Final[Mapping[str, Sequence[str] | None]] = {
    "rodo": None,
    "marketing_email": ("followup.due",),
    "marketing_phone": (),
}
"""Which waiting alerts end with a refusal, by their event; None: all of them."""


async def decide(
    session: AsyncSession,
    *,
    conversation_id: UUID,
    purpose: Purpose,
    granted: bool,
    surface: str,
    seen: Seen | None,
    origin: Origin | None = None,
    message_seq: int | None = None,
) -> None:
    """Record a decision and everything that follows from it.

    A refusal is effective when the transaction commits: what is unclaimed is cancelled here, what is claimed later
    meets the guard. Only a message that a worker is sending at that moment may still arrive.
    """
    await consent.record_decision(
        session,
        conversation_id=conversation_id,
        purpose=purpose,
        granted=granted,
        surface=surface,
        seen=seen,
        message_seq=message_seq,
        origin=origin,
    )
    answers = await consent.answers(session, conversation_id)
    rodo = answers.get("rodo")
    marketing = consent.marketing(answers)
    await repository.set_consents(session, conversation_id, rodo=rodo, marketing=marketing)
    await leads.set_consents(session, conversation_id, rodo=rodo, marketing=marketing)
    if not granted:
        await alerts.cancel(session, conversation_ids=[conversation_id], events=ENDS[purpose], reason="consent_refused")
