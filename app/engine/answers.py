"""One answer per act: the functions here turn an act and what is known into a bubble and a question to follow it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from app.engine import compose
from app.engine.compose import Voice
from app.engine.dialog import Act, State
from app.engine.knowledge import City, Entry
from app.engine.quote import amount, package_for, price_on, zloty
from app.engine.slots.reader import Found
from app.engine.types import PackageId, Reply, Slots

_ODD_BUDGET = 10_000


@dataclass(frozen=True, slots=True)
class Context:
    """What answers may look at."""

    voice: Voice
    slots: Slots
    found: Found
    state: State
    wish: str | None
    consent_contact: bool | None

    @property
    def packages(self) -> tuple[PackageId, ...]:
        """Packages this message is about: the ones it names, else the chosen, else the recommended."""
        if self.found.named.packages:
            return self.found.named.packages
        chosen = self.slots.package or self.state.recommended
        return () if chosen is None else (chosen,)


@dataclass(slots=True)
class Part:
    """One bubble, the slot it asks for, and what it leaves for the next turn."""

    reply: Reply
    asks: str | None = None
    listed: tuple[PackageId, ...] = ()
    recommended: PackageId | None = None
    offer: str | None = None
    slots: Slots | None = None
    fallback: bool = field(default=False)


def answer(act: Act, context: Context) -> Part:
    """The part for an act: composed by code, by topic, or straight from the FAQ."""
    compose_part = _COMPOSED.get(act.id)
    if compose_part is not None:
        return compose_part(context)
    if act.entry is not None and act.entry.topic is not None:
        return Part(compose.topic(context.voice, act.entry.topic, context.packages))
    if act.entry is not None and act.entry.answer is not None:
        return Part(Reply("text", context.voice.fill(act.entry.answer)))
    return fallback(context)


def fallback(context: Context) -> Part:
    """Two suggestions, then a request to rephrase, then a human."""
    voice, misses = context.voice, context.state.misses
    if misses == 0:
        return Part(Reply("text", voice.say("fallback"), None, voice.chips("qr_quote", "qr_packages")), fallback=True)
    if misses == 1:
        return Part(Reply("text", voice.say("fallback_again"), None, voice.chips("qr_booking")), fallback=True)
    return Part(Reply("text", voice.say("fallback_human"), None, voice.chips("qr_human")), fallback=True)


def _quote(context: Context) -> Part:
    voice, slots = context.voice, context.slots
    packages = context.found.named.packages or (() if slots.package is None else (slots.package,))
    adopted = None
    if not packages and context.state.recommended is not None:
        packages = (context.state.recommended,)
        adopted = _with_package(slots, packages[0])
    if slots.area_m2 is None:
        return _price(context, packages)
    if packages:
        reply = compose.quote_reply(voice, packages, slots.area_m2, slots.property_type)
        return Part(reply, offer="booking", slots=adopted)
    return _quote_area(context, slots.area_m2)


def _with_package(slots: Slots, package: PackageId) -> Slots:
    return Slots(
        area_m2=slots.area_m2,
        package=package,
        city=slots.city,
        budget_pln=slots.budget_pln,
        name=slots.name,
        phone=slots.phone,
        email=slots.email,
        property_type=slots.property_type,
    )


def _quote_area(context: Context, area_m2: Decimal) -> Part:
    """An area without a package: from the cheapest, and the most chosen one."""
    voice = context.voice
    cheapest, chosen = _cheapest(voice), voice.knowledge.packages.most_chosen
    low, mid = compose.quote(voice, cheapest, area_m2), compose.quote(voice, chosen, area_m2)
    text = voice.say(
        "quote_area",
        area=voice.area(area_m2),
        low=zloty(low.total_pln),
        low_name=low.package_name,
        mid=zloty(mid.total_pln),
        mid_name=mid.package_name,
    )
    data = {"quotes": [compose.quote_data(low), compose.quote_data(mid)]}
    full = f"{text} {voice.say('assumptions')} {voice.say('ask_package')}"
    return Part(Reply("quote", full, data), asks="package", listed=_order(voice))


def _price(context: Context, packages: tuple[PackageId, ...]) -> Part:
    """A price without an area: per square metre, and the question for the area."""
    voice = context.voice
    if packages:
        text = " ".join(compose.price_only(voice, package) for package in packages)
    else:
        cheapest = _cheapest(voice)
        row = price_on(voice.knowledge.prices, cheapest, voice.day)
        text = voice.say("price_start", package=voice.name(cheapest), price=zloty(row.per_m2))
    return Part(Reply("text", f"{text} {voice.say('ask_area')}"), asks="area_m2")


def _package_list(context: Context) -> Part:
    return Part(compose.package_list(context.voice), asks="package", listed=_order(context.voice))


def _details(context: Context) -> Part:
    packages = context.packages
    if not packages:
        return _scope(context)
    if len(packages) > 1:
        return _compare(context)
    reply = compose.details(context.voice, packages[0])
    if context.slots.area_m2 is not None:
        line = compose.quote_line(context.voice, compose.quote(context.voice, packages[0], context.slots.area_m2))
        return Part(Reply("text", f"{reply.text} {line}"), offer="booking")
    return Part(reply, asks=None, offer="quote")


def _scope(context: Context) -> Part:
    """What every package has, when none is named."""
    voice = context.voice
    entry = _faq(voice, "scope_included")
    text = voice.say("fallback") if entry.answer is None else voice.fill(entry.answer)
    return Part(Reply("text", text, None, voice.chips("qr_packages", "qr_quote")))


def _compare(context: Context) -> Part:
    packages = context.found.named.packages
    if len(packages) < 2:
        return _package_list(context)
    return Part(compose.compare(context.voice, packages), asks="package", listed=packages)


def _cheapest_package(context: Context) -> Part:
    voice = context.voice
    cheapest = _cheapest(voice)
    row = price_on(voice.knowledge.prices, cheapest, voice.day)
    text = voice.say("cheapest", package=voice.name(cheapest), price=zloty(row.per_m2), summary=voice.summary(cheapest))
    if context.slots.area_m2 is None:
        return Part(Reply("text", f"{text} {voice.say('ask_area')}"), asks="area_m2", recommended=cheapest)
    found = compose.quote_reply(voice, [cheapest], context.slots.area_m2, context.slots.property_type)
    return Part(Reply("quote", f"{text} {found.text}", found.data, found.quick_replies), recommended=cheapest)


def _dearest_package(context: Context) -> Part:
    voice = context.voice
    row = price_on(voice.knowledge.prices, "premium", voice.day)
    text = voice.say(
        "dearest",
        premium=voice.name("premium"),
        price=zloty(row.per_m2),
        individual=voice.name("individual"),
        range=voice.price_of("individual"),
    )
    return Part(Reply("text", text), listed=("premium", "individual"))


def _popular_package(context: Context) -> Part:
    voice = context.voice
    package = voice.knowledge.packages.most_chosen
    row = price_on(voice.knowledge.prices, package, voice.day)
    text = voice.say("popular", package=voice.name(package), price=zloty(row.per_m2), summary=voice.summary(package))
    return _with_quote(context, package, text)


def _recommend(context: Context) -> Part:
    voice, slots = context.voice, context.slots
    rate = context.found.home.budget_per_m2
    if slots.budget_pln is not None and slots.area_m2 is not None and context.wish != "rental":
        return _recommend_by_budget(context, Decimal(slots.budget_pln), slots.area_m2)
    if rate is not None:
        package = package_for(voice.knowledge.prices, rate)
        return _with_quote(
            context, package, voice.say("recommend_rate", per_m2=zloty(rate), package=voice.name(package))
        )
    if context.wish == "rental":
        return _with_quote(
            context,
            "express",
            voice.say("recommend_rental", package=voice.name("express"), summary=voice.summary("express")),
        )
    if context.wish == "wow":
        return _with_quote(
            context,
            "premium",
            voice.say("recommend_wow", package=voice.name("premium"), summary=voice.summary("premium")),
        )
    if slots.budget_pln is not None:
        lines = [
            voice.say(
                "budget_odd" if slots.budget_pln < _ODD_BUDGET else "budget_noted",
                budget=zloty(Decimal(slots.budget_pln)),
            )
        ]
        return Part(Reply("text", " ".join([*lines, voice.say("budget_area")])), asks="area_m2")
    package = voice.knowledge.packages.most_chosen
    row = price_on(voice.knowledge.prices, package, voice.day)
    text = voice.say(
        "recommend_default", package=voice.name(package), price=zloty(row.per_m2), summary=voice.summary(package)
    )
    part = _with_quote(context, package, text)
    part.asks = part.asks or "budget_pln"
    return part


def _with_quote(context: Context, package: PackageId, text: str) -> Part:
    """A recommendation, priced when the area is known, else with the question for it."""
    voice, slots = context.voice, context.slots
    if slots.area_m2 is None:
        return Part(Reply("text", f"{text} {voice.say('ask_area')}"), asks="area_m2", recommended=package)
    found = compose.quote_reply(voice, [package], slots.area_m2, slots.property_type)
    return Part(
        Reply("quote", f"{text} {found.text}", found.data, found.quick_replies), recommended=package, offer="quote"
    )


def _recommend_by_budget(context: Context, budget: Decimal, area_m2: Decimal) -> Part:
    """The firm's rule on the budget per square metre, and the arithmetic said openly when it overshoots."""
    voice = context.voice
    prices = voice.knowledge.prices
    per_m2 = budget / area_m2
    package = package_for(prices, per_m2)
    lines = [
        voice.say(
            "recommend_budget",
            budget=zloty(budget),
            area=voice.area(area_m2),
            per_m2=zloty(per_m2),
            package=voice.name(package),
        )
    ]
    found = compose.quote_reply(voice, [package], area_m2, context.slots.property_type)
    lines.append(found.text)
    over = amount(prices, package, area_m2, voice.day).total - budget
    if over > 0:
        fitting = [
            (other, total)
            for other in _order(voice)
            if (total := amount(prices, other, area_m2, voice.day).total) <= budget and other != "individual"
        ]
        if fitting:
            other, total = fitting[-1]
            lines.append(voice.say("recommend_over", over=zloty(over), package=voice.name(other), total=zloty(total)))
        else:
            lines.append(voice.say("recommend_short", over=zloty(over)))
    if budget < _ODD_BUDGET:
        lines.append(voice.say("budget_odd", budget=zloty(budget)))
    return Part(Reply("quote", " ".join(lines), found.data, found.quick_replies), recommended=package, offer="quote")


def _lead_time(context: Context) -> Part:
    return Part(compose.lead_time(context.voice, context.packages))


def _service_area(context: Context) -> Part:
    voice = context.voice
    cities = list(context.found.cities) or _known_city(context)
    lines = []
    if cities and cities[-1].served:
        lines.append(voice.say("area_served", where=cities[-1].where, city=cities[-1].name))
    lines.append(voice.say("area_rule"))
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
        return _quote(context)
    lines = [voice.say("enquiry")]
    if context.found.cities:
        lines.append(_service_area(context).reply.text)
    if slots.area_m2 is None:
        return Part(
            Reply("text", " ".join([*lines, voice.say("ask_area")]), None, voice.chips("qr_packages")), asks="area_m2"
        )
    return Part(Reply("text", " ".join([*lines, voice.say("ask_package")])), asks="package", listed=_order(voice))


def _hello_name(context: Context) -> Part:
    voice, slots = context.voice, context.slots
    text = voice.say("hello_name", name=(slots.name or "").split(" ")[0])
    if slots.area_m2 is None:
        return Part(Reply("text", f"{text} {voice.say('enquiry')} {voice.say('ask_area')}"), asks="area_m2")
    return Part(Reply("text", f"{text} {voice.say('ack')}"))


def _faq(voice: Voice, wanted: str) -> Entry:
    return next(entry for entry in voice.knowledge.faq.entries if entry.id == wanted)


def _partial(context: Context) -> Part:
    entry = _faq(context.voice, "partial_scope")
    return Part(Reply("text", context.voice.fill(entry.answer) if entry.answer else ""), offer="booking")


def _repeat_topic(context: Context) -> Part:
    """The last question again, for another package."""
    entry = next((item for item in context.voice.knowledge.faq.entries if item.id == context.state.topic), None)
    if entry is None or entry.topic is None:
        return _details(context) if context.slots.area_m2 is None else _quote(context)
    return answer(Act(entry.id, entry), context)


def _nothing(_: Context) -> Part:
    """The closing says it all."""
    return Part(Reply("text", ""))


def _simple(template: str) -> Callable[[Context], Part]:
    return lambda context: Part(
        Reply("text", context.voice.say(template), None, context.voice.chips("qr_quote", "qr_booking"))
    )


def _cheapest(voice: Voice) -> PackageId:
    return min(_order(voice), key=lambda package: price_on(voice.knowledge.prices, package, voice.day).per_m2)


def _order(voice: Voice) -> tuple[PackageId, ...]:
    return tuple(package.id for package in voice.knowledge.packages.packages)


_COMPOSED: dict[str, Callable[[Context], Part]] = {
    "quote": _quote,
    "package_list": _package_list,
    "package_details": _details,
    "partial_scope": _partial,
    "repeat_topic": _repeat_topic,
    "compare_packages": _compare,
    "cheapest_package": _cheapest_package,
    "dearest_package": _dearest_package,
    "popular_package": _popular_package,
    "recommend_package": _recommend,
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
}
