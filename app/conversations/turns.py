"""One turn as data: from a conversation's row and a message to what is stored and what is answered. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID, uuid4

from app.consent.service import Seen, Texts
from app.conversations import repository
from app.core.addresses import normalise_email
from app.engine import types as engine_types
from app.engine.engine import Engine
from app.leads.service import LeadFacts

HANDOFF: Final = "handoff"
"""The state in which a person answers and the bot is silent."""
MAX_REPLIES = 10
_MESSAGE_FIELDS = ("id", "seq", "role", "type", "text", "data", "quick_replies", "created_at")


@dataclass(frozen=True, slots=True)
class Turn:
    """A message that was answered and is not stored yet."""

    conversation_id: UUID
    message_seq: int
    decisions: tuple[engine_types.Decision, ...]
    seen: Mapping[str, Seen]
    """The consent texts that stood in the chat before this message, by purpose."""
    lead_facts: LeadFacts | None
    """What the lead has to say now; None without contact data, or when nothing changed and it is not hot only now."""
    new_address: bool
    """The conversation has another e-mail address than before."""
    missed: bool
    """The message was not understood."""
    values: dict[str, Any]
    """Parameters of the statement that stores the turn."""
    body: dict[str, Any]
    said: engine_types.Turn
    answer: engine_types.Answer

    @property
    def stays_in_chat(self) -> bool:
        """True when nothing outside the chat's own tables has to change."""
        return not self.decisions and self.lead_facts is None and not self.missed


def take(
    engine: Engine,
    texts: Texts,
    row: Mapping[str, Any],
    *,
    text: str,
    client_message_id: str | None,
    at: datetime,
    hot_score: int,
    advice: engine_types.Advice | None = None,
) -> Turn:
    """Answer `text` in the conversation that `row` (of `repository.read_turn`) describes, with `advice` if it fits.

    A message that only makes the lead hot, by being one more, changes the lead too.
    """
    before = slots(row)
    memory = row["memory"]
    shown = memory.get("shown", {})
    said = engine_types.Turn(
        text=text,
        locale=row["locale"],
        now=at,
        slots=before,
        consent_contact=row["rodo_consent"],
        consent_marketing=row["marketing_consent"],
        memory=memory.get("engine", {}),
        consent_texts=texts.bodies,
        silent=row["state"] == HANDOFF,
    )
    answer = engine.answer(said)
    if advice is not None:
        answer = engine.take_advice(said, answer, advice)
    rodo, marketing = _consents_after(row, answer.decisions)
    facts = {name: getattr(answer.slots, name) for name in repository.FACTS}
    facts["email"] = _address(facts["email"])
    seq = row["last_seq"] + 1
    visitor = {
        "seq": seq,
        "id": uuid4(),
        "client_message_id": client_message_id,
        "role": "visitor",
        "type": "text",
        "text": text,
        "outcome": {
            "context": context(facts, rodo=rodo, marketing=marketing),
            "state": "open" if row["state"] == "closed" else row["state"],
            "replies": len(answer.replies),
        },
    }
    replies = [
        {
            "seq": seq + offset,
            "id": uuid4(),
            "role": "bot",
            "type": reply.type,
            "text": reply.text,
            "data": reply.data,
            "quick_replies": plain_quick_replies(reply.quick_replies),
        }
        for offset, reply in enumerate(answer.replies, start=1)
    ]
    spoken = row["visitor_messages"]
    score = engine.score(answer.slots, messages=spoken + 1)
    warmed = engine.score(before, messages=spoken) < hot_score <= score
    changed = answer.slots != before or bool(answer.decisions) or warmed
    return Turn(
        conversation_id=row["id"],
        message_seq=seq,
        decisions=answer.decisions,
        seen={purpose: Seen(*seen) for purpose, seen in shown.items()},
        lead_facts=LeadFacts(
            language=answer.language,
            score=score,
            rodo_consent=rodo,
            marketing_consent=marketing,
            **facts,
        )
        if changed and answer.slots.has_contact
        else None,
        new_address=facts["email"] not in {None, row["email"]},
        missed=answer.missed,
        values=repository.turn_values(
            read=row,
            at=at,
            facts=facts,
            language=answer.language,
            memory={"engine": answer.memory, "shown": shown | _shown_now(answer, texts)},
            messages=[visitor, *replies],
        ),
        body=body(visitor | {"created_at": at}, [reply | {"created_at": at} for reply in replies]),
        said=said,
        answer=answer,
    )


def body(visitor: Mapping[str, Any], replies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The answer to a message on the wire, from what was or will be stored: the same both times."""
    return {
        "message": message_out(visitor) | {"client_message_id": visitor["client_message_id"]},
        "replies": [message_out(reply) for reply in replies],
        "context": visitor["outcome"]["context"],
        "state": visitor["outcome"]["state"],
    }


def message_out(message: Mapping[str, Any]) -> dict[str, Any]:
    """One message on the wire."""
    out = {name: message.get(name) for name in _MESSAGE_FIELDS}
    out["id"] = str(out["id"])
    out["quick_replies"] = out["quick_replies"] or []
    return out


def plain_quick_replies(quick_replies: Iterable[engine_types.QuickReply]) -> list[dict[str, str]]:
    """Quick replies as plain JSON."""
    return [{"label": reply.label, "text": reply.text} for reply in quick_replies]


def slots(row: Mapping[str, Any]) -> engine_types.Slots:
    """What a conversation's row says about its visitor."""
    facts = {name: row[name] for name in repository.FACTS}
    facts["area_m2"] = plain_area(facts["area_m2"])
    return engine_types.Slots(**facts)


def _address(email: str | None) -> str | None:
    """The address in the form that every look-up uses; None when it is none after all."""
    if email is None:
        return None
    try:
        return normalise_email(email)
    except ValueError:
        return None


def plain_area(area: Decimal | None) -> Decimal | None:
    """An area without the zeros that its column adds: 52.00 is 52, 48.50 is 48.5."""
    if area is None:
        return None
    whole = area.to_integral_value()
    return whole if area == whole else area.normalize()


def context(facts: Mapping[str, Any], *, rodo: bool | None, marketing: bool | None) -> dict[str, Any]:
    """What the visitor told us, on the wire."""
    area = facts["area_m2"]
    number = None if area is None else int(area) if area == area.to_integral_value() else float(area)
    return {**facts, "area_m2": number, "consent_contact": rodo, "consent_marketing": marketing}


def _consents_after(
    row: Mapping[str, Any], decisions: Iterable[engine_types.Decision]
) -> tuple[bool | None, bool | None]:
    rodo, marketing = row["rodo_consent"], row["marketing_consent"]
    marketing_now = [decision.granted for decision in decisions if decision.purpose != "rodo"]
    for decision in decisions:
        if decision.purpose == "rodo":
            rodo = decision.granted
    return rodo, any(marketing_now) if marketing_now else marketing


def _shown_now(answer: engine_types.Answer, texts: Texts) -> dict[str, list[Any]]:
    shown = [texts.get(purpose, answer.language) for purpose in answer.consent_shown]
    return {text.purpose: [text.locale, text.version, text.sha256] for text in shown}
