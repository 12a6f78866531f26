"""The end of an answer: thanks for contact data, broken data sent back, and the question for consent."""

from dataclasses import dataclass

from app.engine.compose import Voice
from app.engine.consent import Stated
from app.engine.slots.reader import Found
from app.engine.types import Purpose, Reply, Slots, Turn

_WANTS_CONTACT = frozenset({"callback", "human", "booking"})
_ABOUT_THE_QUESTION = frozenset({"consent_info", "privacy"})


@dataclass(frozen=True, slots=True)
class Closing:
    """The last bubbles, the purposes they ask about, and the consent texts they show word for word."""

    replies: tuple[Reply, ...] = ()
    asked: tuple[Purpose, ...] = ()
    shown: tuple[Purpose, ...] = ()
    answered: bool = False
    """True when the decisions already said everything there is to say."""


def closing(
    turn: Turn,
    voice: Voice,
    found: Found,
    stated: Stated,
    slots: Slots,
    contact: bool | None,
    acts: set[str],
) -> Closing:
    """Thanks for contact data and asks for consent, unless it was given or just decided."""
    lines: list[str] = []
    given = found.changed & {"phone", "email"}
    if given:
        lines.append(
            voice.say("thanks_both" if len(given) > 1 else "thanks_phone" if "phone" in given else "thanks_email")
        )
    if found.bad_email and "email" not in given:
        lines.append(voice.say("bad_email"))
    if found.bad_phone and "phone" not in given:
        lines.append(voice.say("bad_phone"))
    decided = any(decision.purpose == "rodo" for decision in stated.decisions)
    asked_back = contact is None and bool(acts & _ABOUT_THE_QUESTION)
    wanted = bool(given) or (slots.has_contact and (asked_back or bool(acts & _WANTS_CONTACT)))
    if wanted and not decided and not contact:
        return _ask(turn, voice, lines, "rodo")
    if "rodo" in stated.passed_over and not contact:
        return _ask(turn, voice, lines, "rodo")
    if stated.interest:
        return _ask(turn, voice, lines, "marketing_email")
    if given and contact and not decided:
        lines.append(voice.say("consent_given_when", when=voice.when()))
    replies = (Reply("text", " ".join(lines)),) if lines else ()
    return Closing(replies, answered=bool(stated.decisions))


def _ask(turn: Turn, voice: Voice, lines: list[str], purpose: Purpose) -> Closing:
    """The consent question with the exact text, or a plain question where no text was given."""
    body = turn.consent_texts.get((purpose, voice.locale))
    kind = "consent_ask" if purpose == "rodo" else "marketing_ask"
    question = voice.say(f"{kind}_plain") if body is None else voice.say(kind, text=body)
    reply = Reply("form", " ".join([*lines, question]), {"purposes": [purpose]}, voice.chips("qr_yes", "qr_no"))
    return Closing((reply,), (purpose,), () if body is None else (purpose,))
