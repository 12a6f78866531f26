"""Answers about packages and money: quotes, prices, comparisons and recommendations."""

from dataclasses import replace
from decimal import Decimal

from app.engine import compose
from app.engine.compose import Voice
from app.engine.knowledge import Wish
from app.engine.parts import Context, Part
from app.engine.quote import package_for, zloty
from app.engine.types import PackageId, Reply


def quote(context: Context) -> Part:
    """What was asked for, priced; asking after a recommendation accepts the recommended package."""
    voice, slots = context.voice, context.slots
    packages = context.found.named.packages or (() if slots.package is None else (slots.package,))
    adopted = None
    if (
        context.state.stepped is not None
        and not context.found.named.packages
        and "package" not in context.found.changed
    ):
        packages = (context.state.stepped,)
        adopted = replace(slots, package=packages[0])
    told = context.found.changed & {"area_m2", "budget_pln"}
    if not packages and context.state.recommended is not None and not told:
        packages = (context.state.recommended,)
        adopted = replace(slots, package=packages[0])
    if slots.area_m2 is None:
        return _price(context, packages)
    if packages:
        reply = compose.quote_reply(voice, packages, slots.area_m2, slots.property_type)
        return Part(reply, offer="booking", slots=adopted)
    return _quote_area(context, slots.area_m2)


def take_package(context: Context) -> Part:
    """The package that was asked for has been chosen by what it is: "the cheapest one"."""
    part = quote(context)
    return replace(part, slots=replace(context.slots, package=context.packages[0])) if context.packages else part


def _quote_area(context: Context, area_m2: Decimal) -> Part:
    """An area without a package: from the cheapest, and the most chosen one."""
    voice = context.voice
    cheapest, chosen = _cheapest(voice), voice.lexicon.most_chosen
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
    full = f"{text} {voice.say('assumptions')} {voice.say('ask_package', choices=voice.choices)}"
    return Part(Reply("quote", full, data), asks="package", listed=voice.order)


def _price(context: Context, packages: tuple[PackageId, ...]) -> Part:
    """A price without an area: per square metre, and the question for the area."""
    voice = context.voice
    if packages:
        text = " ".join(compose.price_only(voice, package) for package in packages)
    else:
        cheapest = _cheapest(voice)
        row = voice.row(cheapest)
        text = voice.say("price_start", package=voice.name(cheapest), price=zloty(row.per_m2))
    return Part(Reply("text", f"{text} {voice.say('ask_area')}"), asks="area_m2")


def package_list(context: Context) -> Part:
    """All packages, with their totals where an area is told too; the next message can point into the list."""
    voice, slots = context.voice, context.slots
    if "area_m2" in context.found.changed and slots.area_m2 is not None:
        totals = compose.quote_reply(voice, voice.order, slots.area_m2, slots.property_type)
        return Part(totals, asks="package", listed=voice.order)
    return Part(compose.package_list(context.voice), asks="package", listed=context.voice.order)


def package_details(context: Context) -> Part:
    """What one package is, with the quote when the area is known; without a package, what all of them have."""
    packages = context.packages
    if not packages:
        return _scope(context)
    if len(packages) > 1:
        return compare_packages(context)
    priced = context.slots.area_m2 is not None
    return Part(_detailed(context, packages[0]), offer="booking" if priced else "quote")


def _detailed(context: Context, package: PackageId) -> Reply:
    """What a package is, and its quote when the area is known."""
    reply = compose.details(context.voice, package)
    if context.slots.area_m2 is None:
        return reply
    line = compose.quote_line(context.voice, compose.quote(context.voice, package, context.slots.area_m2))
    return replace(reply, text=f"{reply.text} {line}")


def _scope(context: Context) -> Part:
    """What every package has, when none is named."""
    voice = context.voice
    text = voice.answer_of("scope_included") or voice.say("fallback")
    return Part(Reply("text", text, None, voice.chips("qr_packages", "qr_quote")))


def compare_packages(context: Context) -> Part:
    """Packages side by side, with quotes when the area is known."""
    packages = (*context.found.named.packages, *context.found.named.turned_down)
    if len(packages) < 2:
        return package_list(context)
    reply = compose.compare(context.voice, packages)
    if context.slots.area_m2 is None:
        return Part(reply, asks="package", listed=packages)
    found = compose.quote_reply(context.voice, packages, context.slots.area_m2, context.slots.property_type)
    return Part(Reply("quote", f"{reply.text}\n{found.text}", found.data), asks="package", listed=packages)


def price_difference(context: Context) -> Part:
    """How much one package costs more or less than another: the two named, or this choice and the one before."""
    voice, area_m2 = context.voice, context.slots.area_m2
    named = (*context.found.named.packages, *context.found.named.turned_down)
    one, other = named[:2] if len(named) > 1 else (context.slots.package, context.previous)
    if one is not None and other in (None, one):
        one, other = _step(context, one), one
    if one is None or other is None:
        discount = voice.answer_of("discount")
        return quote(context) if discount is None else Part(Reply("text", discount))
    area = area_m2 or Decimal(1)
    mine, theirs = voice.amount(one, area).total, voice.amount(other, area).total
    text = voice.say(
        "difference_less" if mine < theirs else "difference_more",
        package=voice.name(one),
        other=voice.name(other),
        area=voice.area(area),
        gap=zloty(abs(mine - theirs)),
        total=zloty(mine),
        other_total=zloty(theirs),
    )
    return Part(Reply("text", f"{text} {voice.say('assumptions')}"), offer="booking")


def cheapest_package(context: Context) -> Part:
    """The cheapest package and nothing about the others."""
    voice = context.voice
    cheapest = _cheapest(voice)
    row = voice.row(cheapest)
    text = voice.say("cheapest", package=voice.name(cheapest), price=zloty(row.per_m2), summary=voice.summary(cheapest))
    if context.slots.area_m2 is None:
        return Part(Reply("text", f"{text} {voice.say('ask_area')}"), asks="area_m2", recommended=cheapest)
    found = compose.quote_reply(voice, [cheapest], context.slots.area_m2, context.slots.property_type)
    return Part(Reply("quote", f"{text} {found.text}", found.data, found.quick_replies), recommended=cheapest)


def next_package(context: Context) -> Part:
    """One step below or above the package in question, by price."""
    packages = context.found.named.packages or (context.state.stepped,) if context.state.stepped else context.packages
    if not packages:
        return package_list(context)
    beside = _step(context, packages[0])
    if beside is None:
        return cheapest_package(context) if context.cheaper else dearest_package(context)
    return Part(_detailed(context, beside), recommended=beside, offer="quote")


def _step(context: Context, package: PackageId) -> PackageId | None:
    """The package one step below or above another by price, as the visitor wants less or more."""
    voice = context.voice
    ranked = sorted(voice.order, key=lambda other: voice.row(other).per_m2_max or voice.row(other).per_m2)
    step = ranked.index(package) + (-1 if context.cheaper else 1)
    return ranked[step] if 0 <= step < len(ranked) else None


def superlative(voice: Voice, which: str) -> tuple[PackageId, ...]:
    """The package that is the cheapest, the dearest with one price, or the most chosen."""
    if which == "popular_package":
        return (voice.lexicon.most_chosen,)
    if which == "cheapest_package":
        return (_cheapest(voice),)
    fixed = [package for package in voice.order if voice.row(package).per_m2_max is None] or list(voice.order)
    return (max(fixed, key=lambda package: voice.row(package).per_m2),)


def dearest_package(context: Context) -> Part:
    """The highest standard there is: the dearest package with one price, and those that cost what they cost."""
    voice = context.voice
    rows = {package: voice.row(package) for package in voice.order}
    free = tuple(package for package, row in rows.items() if row.per_m2_max is not None)
    fixed = [package for package in voice.order if package not in free]
    lines: list[str] = []
    if fixed:
        top = max(fixed, key=lambda package: rows[package].per_m2)
        lines.append(voice.say("dearest", top=voice.name(top), price=zloty(rows[top].per_m2)))
        free = (top, *free)
    lines.extend(
        voice.say("dearest_free", package=voice.name(package), range=voice.price_of(package))
        for package in free
        if rows[package].per_m2_max is not None
    )
    if context.slots.area_m2 is None:
        return Part(Reply("text", " ".join(lines)), listed=free)
    found = compose.quote_reply(voice, free, context.slots.area_m2, context.slots.property_type)
    return Part(Reply("quote", " ".join([*lines, found.text]), found.data), listed=free)


def popular_package(context: Context) -> Part:
    """The package most clients choose."""
    voice = context.voice
    package = voice.lexicon.most_chosen
    row = voice.row(package)
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
    suited = _suited(voice, context.wish)
    if suited is not None:
        words = voice.say(f"recommend_{context.wish}", package=voice.name(suited), summary=voice.summary(suited))
        return _with_quote(context, suited, words)
    if slots.budget_pln is not None:
        lines = [
            voice.say(
                "budget_odd" if slots.budget_pln < voice.knowledge.prices.odd_budget_below else "budget_noted",
                budget=zloty(Decimal(slots.budget_pln)),
            )
        ]
        return Part(Reply("text", " ".join([*lines, voice.say("budget_area")])), asks="area_m2")
    package = voice.lexicon.most_chosen
    row = voice.row(package)
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
    over = voice.amount(package, area_m2).total - budget
    if over > 0:
        fitting = [
            (other, total)
            for other in voice.order
            if (total := voice.amount(other, area_m2).total) <= budget and voice.row(other).per_m2_max is None
        ]
        if fitting:
            other, total = fitting[-1]
            lines.append(voice.say("recommend_over", over=zloty(over), package=voice.name(other), total=zloty(total)))
        else:
            lines.append(voice.say("recommend_short", over=zloty(over)))
    if budget < prices.odd_budget_below:
        lines.append(voice.say("budget_odd", budget=zloty(budget)))
    return Part(Reply("quote", " ".join(lines), found.data, found.quick_replies), recommended=package, offer="quote")


def _suited(voice: Voice, wish: Wish | None) -> PackageId | None:
    """The first package that the knowledge calls good for this wish."""
    return next((package.id for package in voice.lexicon.packages.values() if wish in package.good_for), None)


def _cheapest(voice: Voice) -> PackageId:
    return min(voice.order, key=lambda package: voice.row(package).per_m2)
