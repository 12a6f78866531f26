"""Answers that come before any business: decisions on consent, rights over one's data, abuse, a human."""

import re
from dataclasses import replace
from typing import Final

from app.engine.compose import Voice
from app.engine.consent import Stated
from app.engine.guards import Guard
from app.engine.hours import opens_at
from app.engine.normalise import Text
from app.engine.parts import Part
from app.engine.slots.reader import Found
from app.engine.types import HandoffWords, Purpose, Reply, Slots

_PHONE = re.compile(r"\b(?:numer\w*|telefon\w*|komork\w*|phone|number)\b")
_EMAIL = re.compile(r"\b(?:e-?mail\w*|mail\w*|mejl\w*)\b")
_PRICE = re.compile(r"\b(?:kosztuj\w*|cen\w*|zl|zlot\w*|pln|price\w*|costs?|darmo|gratis|free|rabat\w*|discount)\b")
OFFERS_HANDOFF: Final = {"handoff": True}
"""Beside a reply's facts: here a front end offers to call a person into the conversation."""
_RIGHTS: Final[frozenset[Guard]] = frozenset({"erasure", "access"})
_MARKETING: tuple[Purpose, ...] = ("marketing_email", "marketing_phone")


def decision_parts(voice: Voice, stated: Stated, slots: Slots) -> list[Part]:
    """What was decided, said back: one bubble for contact, one for marketing."""
    parts: list[Part] = []
    verdicts = {decision.purpose: decision.granted for decision in stated.decisions}
    if "rodo" in verdicts:
        parts.append(Part(Reply("text", _contact(voice, stated, slots, granted=verdicts["rodo"]))))
    for granted in (True, False):
        channels = [voice.say(f"channel_{purpose}") for purpose in _MARKETING if verdicts.get(purpose) is granted]
        if channels:
            template = "marketing_given" if granted else "marketing_refused"
            parts.append(Part(Reply("text", voice.say(template, channel=", ".join(channels)))))
    if stated.unclear:
        parts.append(Part(Reply("text", voice.say("consent_unclear"))))
    return parts


def _contact(voice: Voice, stated: Stated, slots: Slots, *, granted: bool) -> str:
    if not granted:
        return voice.say("consent_withdrawn" if stated.withdrawal else "consent_refused")
    follow = voice.say("consent_given_when", when=voice.when()) if slots.has_contact else voice.say("consent_given_how")
    return f"{voice.say('consent_given')} {follow}"


def guard_part(guard: Guard, voice: Voice, text: Text, found: Found) -> tuple[Part, Slots]:
    """The answer of a guard and the slots it leaves."""
    if guard == "injection":
        return Part(Reply("text", _injection(voice, text, found))), found.slots
    if guard == "human":
        return _human(voice, found), found.slots
    if guard == "abuse":
        return Part(Reply("text", voice.say("abuse"))), found.slots
    return Part(Reply("text", voice.say(guard))), found.slots


def _injection(voice: Voice, text: Text, found: Found) -> str:
    """A refusal; when a price was to be put into our mouth, with the real one."""
    refusal = voice.say("injection")
    if not found.named.packages and not _PRICE.search(text.folded):
        return refusal
    packages = found.named.packages or voice.order
    lines = ", ".join(f"{voice.name(package)} {voice.price_of(package)}/m²" for package in packages)
    return f"{refusal} {voice.say('injection_price', lines=lines)}"


def hours(voice: Voice) -> str:
    """When people are there, in one sentence."""
    return voice.say("team_now") if voice.is_open() else voice.say("team_later", when=voice.when())


def handoff(voice: Voice) -> HandoffWords:
    """What a visitor hears whose conversation a person takes over."""
    when = hours(voice)
    back_at = opens_at(voice.knowledge.firm, voice.now)
    return HandoffWords(voice.say("handed_over", hours=when), when, back_at, voice.is_open())


def rights_parts(
    guard: Guard | None, voice: Voice, stated: Stated, text: Text, found: Found
) -> tuple[list[Part], Slots]:
    """What may not wait for a person: decisions said back, rights over one's data. And the slots it leaves."""
    parts = decision_parts(voice, replace(stated, unclear=False), found.slots)
    if guard not in _RIGHTS or (stated.decisions and guard == "erasure"):
        return parts, found.slots
    part, slots = guard_part(guard, voice, text, found)
    return [*parts, part], slots


def _human(voice: Voice, found: Found) -> Part:
    text = voice.say("human", hours=hours(voice))
    if found.slots.has_contact:
        return Part(Reply("text", text, OFFERS_HANDOFF))
    fields = {"fields": ["phone", "email"], **OFFERS_HANDOFF}
    return Part(Reply("form", f"{text} {voice.say('human_contact')}", fields), asks="phone")


def forget(text: Text, slots: Slots) -> Slots:
    """Slots without the contact data that the visitor wants out of use."""
    if _PHONE.search(text.folded):
        slots = replace(slots, phone=None)
    if _EMAIL.search(text.folded):
        slots = replace(slots, email=None)
    return slots
