"""Answers about packages and money: quotes, prices, comparisons and recommendations."""

from dataclasses import replace
from decimal import Decimal

from app.engine import compose
from app.engine.compose import Voice
from app.engine.knowledge import Entry
from app.engine.parts import Context, Part
from app.engine.quote import amount, package_for, price_on, zloty
from app.engine.types import PackageId, Reply

_ODD_BUDGET = 10_000


def quote(context: Context) -> Part:
    """What was asked for, priced; asking after a recommendation accepts the recommended package."""
    voice, slots = context.voice, context.slots
    packages = context.found.named.packages or (() if slots.package is None else (slots.package,))
    adopted = None
    if not packages and context.state.recommended is not None:
        packages = (context.state.recommended,)
        adopted = replace(slots, package=packages[0])
    if slots.area_m2 is None:
        return _price(context, packages)
    if packages:
        reply = compose.quote_reply(voice, packages, slots.area_m2, slots.property_type)
        return Part(reply, offer="booking", slots=adopted)
    return _quote_area(context, slots.area_m2)


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
    return Part(Reply("quote", full, data), asks="package", listed=package_order(voice))


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


def package_list(context: Context) -> Part:
    """All packages; the numbered list can be pointed into by the next message."""
    return Part(compose.package_list(context.voice), asks="package", listed=package_order(context.voice))


def package_details(context: Context) -> Part:
    """What one package is, with the quote when the area is known; without a package, what all of them have."""
    packages = context.packages
    if not packages:
        return _scope(context)
    if len(packages) > 1:
        return compare_packages(context)
    reply = compose.details(context.voice, packages[0])
    if context.slots.area_m2 is not None:
        line = compose.quote_line(context.voice, compose.quote(context.voice, packages[0], context.slots.area_m2))
        return Part(Reply("text", f"{reply.text} {line}"), offer="booking")
    return Part(reply, asks=None, offer="quote")


def _scope(context: Context) -> Part:
    """What every package has, when none is named."""
    voice = context.voice
    entry = faq_entry(voice, "scope_included")
    text = voice.say("fallback") if entry.answer is None else voice.fill(entry.answer)
    return Part(Reply("text", text, None, voice.chips("qr_packages", "qr_quote")))


def compare_packages(context: Context) -> Part:
    """Packages side by side, with quotes when the area is known."""
    packages = context.found.named.packages
    if len(packages) < 2:
        return package_list(context)
    reply = compose.compare(context.voice, packages)
    if context.slots.area_m2 is None:
        return Part(reply, asks="package", listed=packages)
    found = compose.quote_reply(context.voice, packages, context.slots.area_m2, context.slots.property_type)
    return Part(Reply("quote", f"{reply.text}\n{found.text}", found.data), asks="package", listed=packages)


def cheapest_package(context: Context) -> Part:
    """The cheapest package and nothing about the others."""
    voice = context.voice
    cheapest = _cheapest(voice)
    row = price_on(voice.knowledge.prices, cheapest, voice.day)
    text = voice.say("cheapest", package=voice.name(cheapest), price=zloty(row.per_m2), summary=voice.summary(cheapest))
    if context.slots.area_m2 is None:
        return Part(Reply("text", f"{text} {voice.say('ask_area')}"), asks="area_m2", recommended=cheapest)
    found = compose.quote_reply(voice, [cheapest], context.slots.area_m2, context.slots.property_type)
    return Part(Reply("quote", f"{text} {found.text}", found.data, found.quick_replies), recommended=cheapest)


def dearest_package(context: Context) -> Part:
    """The highest standard there is."""
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


def popular_package(context: Context) -> Part:
    """The package most clients choose."""
    voice = context.voice
    package = voice.knowledge.packages.most_chosen
    row = price_on(voice.knowledge.prices, package, voice.day)
    text = voice.say("popular", package=voice.name(package), price=zloty(row.per_m2), summary=voice.summary(package))
    return _with_quote(context, package, text)


def recommend(context: Context) -> Part:
    """One recommendation: by budget, by wish, else the most chosen package."""
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
            for other in package_order(voice)
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


def _cheapest(voice: Voice) -> PackageId:
    return min(package_order(voice), key=lambda package: price_on(voice.knowledge.prices, package, voice.day).per_m2)


def package_order(voice: Voice) -> tuple[PackageId, ...]:
    """Every package, as listed."""
    return tuple(package.id for package in voice.knowledge.packages.packages)


def faq_entry(voice: Voice, wanted: str) -> Entry:
    """An entry of the FAQ by its id."""
    return next(entry for entry in voice.knowledge.faq.entries if entry.id == wanted)
