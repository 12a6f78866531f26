"""The contact form: what the visitor is called and reached by, and consents, in one step instead of in words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.consent.service import Origin, Purpose
from app.conversations import answers, repository, turns
from app.conversations.answers import Decision
from app.conversations.consents import look_at_address
from app.conversations.service import Chat, authenticate_locked
from app.leads import service as leads
from app.leads.service import LeadFacts


@dataclass(frozen=True, slots=True)
class Given:
    """An answer to a consent question that the form showed."""

    purpose: Purpose
    decision: Decision
    text_version: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Submitted:
    """What is known now, and whether it was known before."""

    context: dict[str, Any]
    state: str
    replayed: bool


async def submit(
    session: AsyncSession,
    chat: Chat,
    *,
    token_hash: bytes,
    name: str | None,
    phone: str | None,
    email: str | None,
    consents: Sequence[Given],
    origin: Origin,
) -> Submitted:
    """Store contact data, the lead and the answers, all or nothing; None leaves what was said before.

    `phone` is E.164, `email` normalised. The last value wins, whether typed in the chat or here: a turn that was
    computed from the earlier one is computed anew. Raises SessionUnknownError, ConsentTextStaleError.
    """
    conversation_id = await authenticate_locked(session, token_hash)
    row = await repository.read_in(session, token_hash)
    before = turns.slots(row)
    now = replace(before, name=name or before.name, phone=phone or before.phone, email=email or before.email)
    changed = now != before
    if changed:
        await repository.set_contact(session, conversation_id, name=now.name, phone=now.phone, email=now.email)
        facts = LeadFacts(
            language=row["language"],
            score=chat.engine.score(now, messages=row["visitor_messages"]),
            rodo_consent=row["rodo_consent"],
            marketing_consent=row["marketing_consent"],
            **{fact: getattr(now, fact) for fact in repository.FACTS},
        )
        await leads.capture(
            session,
            conversation_id=conversation_id,
            facts=facts,
            channels=chat.reach.alert_channels,
            hot_score=chat.reach.hot_score,
        )
    if row["marketing_consent"] and now.email != before.email:
        await look_at_address(session, conversation_id)
    for given in consents:
        _, stood = await answers.give(
            session,
            chat.reach,
            chat.texts,
            conversation_id=conversation_id,
            purpose=given.purpose,
            decision=given.decision,
            text_version=given.text_version,
            sha256=given.sha256,
            origin=origin,
        )
        changed = changed or not stood
    after = await repository.read_in(session, token_hash)
    facts_now = {fact: getattr(now, fact) for fact in repository.FACTS}
    context = turns.context(facts_now, rodo=after["rodo_consent"], marketing=after["marketing_consent"])
    return Submitted(context, after["state"], replayed=not changed)
