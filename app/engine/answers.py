"""One answer per act: the functions here turn an act and what is known into a bubble and a question to follow it."""

from collections.abc import Callable
from dataclasses import replace

from app.engine import compose, offers
from app.engine.compose import Voice
from app.engine.dialog import Act
from app.engine.knowledge import City
from app.engine.parts import Context, Part
from app.engine.rights import OFFERS_HANDOFF
from app.engine.slots.package import Named
from app.engine.types import Reply, Slots

_PRICED = frozenset({"quote", "recommend_package", "package_details", "cheapest_package", "lead_time", "booking"})


def answer(act: Act, context: Context) -> Part:
    """The part for an act: composed by code, by topic, or straight from the FAQ."""
    if act.about is not None:
        context = replace(
            context, found=replace(context.found, named=Named(offers.superlative(context.voice, act.about), ()))
        )
    compose_part = _COMPOSED.get(act.id)
    if compose_part is not None:
        return compose_part(context)
    wordable = act.entry is not None and act.entry.kind == "business" and not act.entry.verbatim
    if act.entry is not None and act.entry.topic is not None:
        return Part(compose.topic(context.voice, act.entry.topic, context.packages), wordable=wordable)
    words = context.voice.answer_of(act.id)
    return fallback(context) if words is None else Part(Reply("text", words), wordable=wordable)


def offered(voice: Voice) -> tuple[tuple[str, str], ...]:
    """Id and question of every entry that can be answered by itself, for whoever may choose one."""
    return tuple(
        (entry.id, next(iter(entry.phrasings.get(voice.locale, ())), entry.id))
        for entry in voice.knowledge.faq.entries
        if entry.kind == "business" and (entry.topic is not None or voice.answer_of(entry.id) is not None)
    )


def suggested(voice: Voice, chosen: str, slots: Slots) -> Reply | None:
    """The answer of a chosen entry, said to be a guess; None when it is not among those `offered`.

    It leaves nothing behind for the next turn: whoever chose it may be wrong.
    """
    if chosen not in dict(offered(voice)):
        return None
    entry = next(entry for entry in voice.knowledge.faq.entries if entry.id == chosen)
    if entry.topic is not None:
        words = compose.topic(voice, entry.topic, () if slots.package is None else (slots.package,)).text
    else:
        words = voice.answer_of(chosen) or ""
    return Reply("text", voice.say("perhaps", answer=words))


def fallback(context: Context) -> Part:
    """Two suggestions, then a request to rephrase, then a human."""
    voice, misses = context.voice, context.state.misses
    if misses == 0:
        return Part(Reply("text", voice.say("fallback"), None, voice.chips("qr_quote", "qr_packages")), missed=True)
    if misses == 1:
        popular = voice.name(voice.lexicon.most_chosen)
        return Part(
            Reply("text", voice.say("fallback_again", popular=popular), None, voice.chips("qr_booking")), missed=True
        )
    return Part(Reply("text", voice.say("fallback_human"), OFFERS_HANDOFF, voice.chips("qr_human")), missed=True)


def _lead_time(context: Context) -> Part:
    return Part(compose.lead_time(context.voice, context.packages))


def _service_area(context: Context) -> Part:
    voice = context.voice
    cities = list(context.found.cities) or _known_city(context)
    lines = []
    if cities and cities[-1].served:
        lines.append(voice.say("area_served", where=cities[-1].where, city=cities[-1].name))
    lines.append(voice.say_area())
    if cities and not cities[-1].served:
        lines.append(voice.say("area_outside", city=cities[-1].name))
    return Part(Reply("text", " ".join(lines), None, voice.chips("qr_quote", "qr_booking")))


def _known_city(context: Context) -> list[City]:
    return [city for city in context.voice.knowledge.cities.cities if city.name == context.slots.city]


def _city(context: Context) -> Part:
    """A town said without a question: whether we work there, and the next thing we need."""
    part = _service_area(context)
    if context.slots.area_m2 is None:
        return Part(Reply("text", f"{part.reply.text} {context.voice.say('ask_area')}"), asks="area_m2")
    return part


def outside_area(context: Context, acts: set[str]) -> list[Part]:
    """A word on a town named in passing that lies outside the area, unless the answer speaks of it already."""
    cities, voice = context.found.cities, context.voice
    if not cities or cities[-1].served or not acts & _PRICED:
        return []
    return [Part(Reply("text", f"{voice.say_area()} {voice.say('area_outside', city=cities[-1].name)}"))]


def _offices(context: Context) -> Part:
    voice = context.voice
    offices = "; ".join(office.address.get(voice.locale) for office in voice.knowledge.firm.offices)
    return Part(Reply("text", voice.say("offices", offices=offices)))


def _hours(context: Context) -> Part:
    voice = context.voice
    now = voice.say("open_now") if voice.is_open() else voice.say("closed_now", when=voice.when())
    return Part(Reply("text", f"{voice.say('hours')} {now}"))


def _booking(context: Context) -> Part:
    voice = context.voice
    return Part(Reply("booking", voice.say("booking"), {"url": voice.knowledge.firm.facts["booking"]}))


def _callback(context: Context) -> Part:
    voice = context.voice
    if not context.slots.has_contact:
        return Part(Reply("form", voice.say("callback_ask"), {"fields": ["phone", "email"]}), asks="phone")
    if context.consent_contact and not context.found.changed & {"phone", "email"}:
        return Part(Reply("text", voice.say("callback_done", when=voice.when())))
    return _nothing(context)


def _area_odd(context: Context) -> Part:
    prices = context.voice.knowledge.prices
    text = context.voice.say("area_odd", min=prices.min_area_m2, max=prices.max_area_m2)
    return Part(Reply("text", text), asks="area_m2")


def _enquiry(context: Context) -> Part:
    voice, slots = context.voice, context.slots
    if context.found.changed & {"area_m2", "package"} and slots.area_m2 is not None:
        return offers.quote(context)
    lines = [voice.say("enquiry")]
    if context.found.cities:
        lines.append(_service_area(context).reply.text)
    if slots.area_m2 is None:
        return Part(
            Reply("text", " ".join([*lines, voice.say("ask_area")]), None, voice.chips("qr_packages")), asks="area_m2"
        )
    return Part(
        Reply("text", " ".join([*lines, voice.say("ask_package", choices=voice.choices)])),
        asks="package",
        listed=voice.order,
    )


def _hello_name(context: Context) -> Part:
    voice, slots = context.voice, context.slots
    text = voice.say("hello_name", name=(slots.name or "").split(" ")[0])
    if slots.area_m2 is None:
        return Part(Reply("text", f"{text} {voice.say('enquiry')} {voice.say('ask_area')}"), asks="area_m2")
    return Part(Reply("text", f"{text} {voice.say('ack')}"))


def _partial(context: Context) -> Part:
    words = context.voice.answer_of("partial_scope")
    return fallback(context) if words is None else Part(Reply("text", words), offer="booking")


def _repeat_topic(context: Context) -> Part:
    """The last question again, for another package."""
    entry = next((item for item in context.voice.knowledge.faq.entries if item.id == context.state.topic), None)
    if entry is None or entry.topic is None:
        return offers.package_details(context) if context.slots.area_m2 is None else offers.quote(context)
    return answer(Act(entry.id, entry), context)


def _repeat_for_all(context: Context) -> Part:
    """The last answer again, for every package."""
    everyone = replace(context.slots, package=None)
    return _repeat_answer(replace(context, slots=everyone, state=replace(context.state, recommended=None)))


def _repeat_answer(context: Context) -> Part:
    """The last answer again, in the language now spoken."""
    topic = context.state.topic or ""
    entry = next((item for item in context.voice.knowledge.faq.entries if item.id == topic), None)
    return answer(Act(topic, entry), context)


def _discount(context: Context) -> Part:
    """What is off; to somebody who wants a named package for less, the one below it too."""
    words = context.voice.answer_of("discount")
    if words is None:
        return fallback(context)
    if not (context.cheaper and context.packages):
        return Part(Reply("text", words))
    lower = offers.next_package(context)
    return replace(lower, reply=replace(lower.reply, text=f"{words} {lower.reply.text}"))


def _nothing(_: Context) -> Part:
    """The closing says it all."""
    return Part(Reply("text", ""))


def _simple(template: str) -> Callable[[Context], Part]:
    return lambda context: Part(
        Reply("text", context.voice.say(template), None, context.voice.chips("qr_quote", "qr_booking"))
    )


_COMPOSED: dict[str, Callable[[Context], Part]] = {
    "quote": offers.quote,
    "package_list": offers.package_list,
    "package_details": offers.package_details,
    "partial_scope": _partial,
    "repeat_topic": _repeat_topic,
    "repeat_answer": _repeat_answer,
    "repeat_for_all": _repeat_for_all,
    "compare_packages": offers.compare_packages,
    "next_package": offers.next_package,
    "take_package": offers.take_package,
    "price_difference": offers.price_difference,
    "cheapest_package": offers.cheapest_package,
    "dearest_package": offers.dearest_package,
    "popular_package": offers.popular_package,
    "recommend_package": offers.recommend,
    "lead_time": _lead_time,
    "service_area": _service_area,
    "city": _city,
    "offices": _offices,
    "opening_hours": _hours,
    "booking": _booking,
    "callback": _callback,
    "area_odd": _area_odd,
    "enquiry": _enquiry,
    "hello_name": _hello_name,
    "contact": _nothing,
    "ack": _simple("ack"),
    "unsure": _simple("unsure"),
    "foreign_money": _simple("foreign_money"),
    "discount": _discount,
}
