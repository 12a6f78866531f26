"""What a decision about a consent changes, all in one transaction: the proof, the answer, its copies, and what waits.

The one way to decide, whoever asks: the visitor in the chat or by the API, an unsubscribe link, a privacy request.
Transactions lock conversations (in the order of their ids), then the audit chain, then the suppression list.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import service as alerts
from app.consent import repository as consent_rows
from app.consent import service as consent
from app.consent.service import Origin, Purpose, Seen
from app.conversations import repository
from app.core.db import ring_when_committed
from app.core.keys import KeyRing
from app.core.settings import Settings
from app.leads import service as leads

ENDS: Final[Mapping[str, Sequence[str] | None]] = {
    "rodo": None,
    "marketing_email": ("followup.due",),
    "marketing_phone": (),
}
"""Which waiting alerts end with a refusal, by their event; None: all of them."""
HANDOFF_REQUESTED: Final = "handoff.requested"
"""Somebody asked for a person. It needs no consent: without one it says nothing of them, and refusing ends it not."""
OPT_INS: Final = "opt_ins"
"""What the doorbell says when addresses wait to be looked at."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a decision may touch outside its conversation: the suppression list, by its keys, and sales' channels."""

    keys: KeyRing
    alert_channels: tuple[str, ...]
    hot_score: int
    """From this score a lead is hot, 0 to 100."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The reach that the environment describes."""
        return cls(KeyRing.of(settings), settings.alert_channels, settings.high_score_lead_threshold)


@dataclass(frozen=True, slots=True)
class Standing:
    """The answers that `chat_conversations` and `leads` repeat; None: not answered."""

    rodo: bool | None
    marketing: bool | None


async def decide(
    session: AsyncSession,
    reach: Reach,
    *,
    conversation_id: UUID,
    purpose: Purpose,
    granted: bool,
    surface: str,
    seen: Seen | None,
    origin: Origin | None = None,
    message_seq: int | None = None,
) -> Standing:
    """Record a decision and everything that follows from it. The caller holds the lock of the conversation's row.

    A refusal is effective when the transaction commits: what is unclaimed is cancelled here, what is claimed later
    meets the guard. Only a message that a worker is sending at that moment may still arrive. A consent to `rodo`
    alerts sales of the lead, where there is one. A consent to marketing by e-mail lifts no suppression: whoever typed
    the address has not proved it, so a worker looks, and asks its owner by mail.
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
    standing = Standing(answers.get("rodo"), consent.marketing(answers))
    await repository.set_consents(session, conversation_id, rodo=standing.rodo, marketing=standing.marketing)
    await leads.follow_consents(
        session,
        conversation_id=conversation_id,
        rodo=standing.rodo,
        marketing=standing.marketing,
        channels=reach.alert_channels,
        hot_score=reach.hot_score,
    )
    if not granted:
        await alerts.cancel(
            session,
            conversation_ids=[conversation_id],
            events=ENDS[purpose],
            reason="consent_refused",
            but=(HANDOFF_REQUESTED,),
        )
    elif purpose == "marketing_email":
        await look_at_address(session, conversation_id)
    return standing


async def look_at_address(session: AsyncSession, conversation_id: UUID) -> None:
    """Have a worker look whether the address of a conversation that agreed to marketing is on the suppression list.

    The same work for every address, so that neither the answer nor its time tells who is on it.
    """
    await consent_rows.add_opt_in_check(session, conversation_id)
    ring_when_committed(session, [OPT_INS])
