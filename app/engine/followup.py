"""What a follow-up says: which text by its number, filled with what was talked about and today's prices. Pure."""

from dataclasses import dataclass

from app.engine import compose
from app.engine.compose import Voice
from app.engine.knowledge import FollowupFile, FollowupStep, Local
from app.engine.quote import area_is_sane
from app.engine.types import Slots


@dataclass(frozen=True, slots=True)
class MailWords:
    """What a follow-up's mail says around the message."""

    subject: str
    why: str
    """Why the person gets it."""
    refuse: str
    """How to say no in words."""
    unsubscribe: str
    """What the link that ends it is called."""
    book: str
    booking: str
    """Where a consultation is booked."""


def text(voice: Voice, number: int, slots: Slots) -> str:
    """The n-th follow-up, ending with how to refuse further ones. Numbers beyond the last text repeat its words."""
    words = voice.knowledge.followups
    filled = _filled(
        voice,
        _step(words, number).text,
        talk=words.talk[slots.property_type or "unknown"].get(voice.locale),
        where=_where(voice, slots.city),
        price=_filled(voice, words.dated, date=f"{voice.day:%d.%m.%Y}", price=_price(voice, slots)),
    )
    return f"{filled}\n\n{refusal(voice)}"


def mail_words(voice: Voice, number: int | None) -> MailWords:
    """What is around the n-th follow-up in a mail; None for words that a person wrote."""
    words = voice.knowledge.followups
    subject = words.mail.subject if number is None else _step(words, number).subject
    return MailWords(
        subject=_filled(voice, subject),
        why=_filled(voice, words.mail.why),
        refuse=refusal(voice),
        unsubscribe=_filled(voice, words.mail.unsubscribe),
        book=_filled(voice, words.mail.book),
        booking=voice.knowledge.firm.facts["booking"],
    )


def refusal(voice: Voice) -> str:
    """How to say no, in words that the chat understands."""
    words = voice.knowledge.followups
    return _filled(voice, words.refuse, refusal=words.refusal.get(voice.locale))


def _step(words: FollowupFile, number: int) -> FollowupStep:
    return words.steps[min(number, len(words.steps)) - 1]


def _where(voice: Voice, name: str | None) -> str:
    city = next((city for city in voice.knowledge.cities.cities if city.name == name and city.served), None)
    if city is None:
        return ""
    return f" {city.where}" if voice.locale == "pl" else f" in {city.name}"


def _price(voice: Voice, slots: Slots) -> str:
    if slots.area_m2 is not None and area_is_sane(voice.knowledge.prices, slots.area_m2):
        package = slots.package or voice.lexicon.most_chosen
        reply = compose.quote_reply(voice, [package], slots.area_m2, slots.property_type)
        return reply.text
    if slots.package is not None:
        return compose.price_only(voice, slots.package)
    return compose.price_only(voice, min(voice.order, key=lambda package: voice.row(package).per_m2))


def _filled(voice: Voice, local: Local, **values: object) -> str:
    return local.get(voice.locale).format_map({**voice.knowledge.facts, **values})
