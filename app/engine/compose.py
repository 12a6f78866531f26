"""Sentences from facts: every text the visitor reads is put together here, from templates and the calculator."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from app.engine.hours import opening
from app.engine.knowledge import Knowledge, Package, PriceRow
from app.engine.lexicon import Lexicon
from app.engine.quote import Amount, amount, price_on, zloty
from app.engine.slots.reader import rounded
from app.engine.types import Locale, PackageFact, PackageId, PropertyType, QuickReply, Quote, Reply


@dataclass(frozen=True, slots=True)
class Voice:
    """The knowledge spoken in one language on one day."""

    lexicon: Lexicon
    locale: Locale
    now: datetime

    @property
    def knowledge(self) -> Knowledge:
        """The files' content."""
        return self.lexicon.knowledge

    @property
    def day(self) -> date:
        """The day whose prices count: the one that it is where the firm is."""
        return self.now.astimezone(ZoneInfo(self.knowledge.firm.timezone)).date()

    def say(self, template: str, **values: object) -> str:
        """A template with the firm's facts and these values filled in."""
        text = self.lexicon.texts[self.locale][template]
        return text.format_map(values) if values else text

    def answer_of(self, entry: str) -> str | None:
        """What the knowledge answers under this id; None when code has to compose it, or there is no such entry."""
        return self.lexicon.answers[self.locale].get(entry)

    def chips(self, *names: str) -> tuple[QuickReply, ...]:
        """Suggestions by template name."""
        return tuple(self.lexicon.chips[self.locale][name] for name in names)

    def package(self, package: PackageId) -> Package:
        """The package's facts."""
        return self.lexicon.packages[package]

    def say_area(self) -> str:
        """Where the firm works, as it tells it."""
        return self.lexicon.area[self.locale]

    @property
    def order(self) -> tuple[PackageId, ...]:
        """Every package, as listed."""
        return self.lexicon.order

    @property
    def choices(self) -> str:
        """All packages by name: "Basic, Standard czy Max"."""
        *first, last = (self.name(package) for package in self.order)
        return f"{', '.join(first)} {self.say('or')} {last}" if first else last

    def name(self, package: PackageId) -> str:
        """The package's name."""
        return self.package(package).name.get(self.locale)

    def area(self, value: Decimal) -> str:
        """An area with the language's decimal sign."""
        text = f"{rounded(value):f}"
        return text.replace(".", ",") if self.locale == "pl" else text

    def price(self, row: PriceRow) -> str:
        """A price per square metre, "from" or as a range."""
        if row.per_m2_max is None:
            return self.say("from_price", price=zloty(row.per_m2))
        return self.say("price_range", price=zloty(row.per_m2), price_max=zloty(row.per_m2_max))

    def row(self, package: PackageId) -> PriceRow:
        """The package's price row of the day."""
        return price_on(self.lexicon.rows, package, self.day)

    def amount(self, package: PackageId, area_m2: Decimal) -> Amount:
        """What an area costs in a package on the day."""
        return amount(self.row(package), area_m2)

    def price_of(self, package: PackageId) -> str:
        """Today's price per square metre of a package."""
        return self.price(self.row(package))

    def summary(self, package: PackageId) -> str:
        """What the package is, in half a sentence."""
        return self.package(package).summary.get(self.locale)

    def when(self) -> str:
        """When somebody of the team is there: now, later today, or on a named day."""
        state = opening(self.knowledge.firm, self.now)
        if state.is_open:
            return self.say("when_now")
        if state.days_ahead == 0:
            return self.say("when_today", hour=state.hour)
        day = self.say("days").split(",")[state.weekday]
        return self.say("when_day", day=day, hour=state.hour)

    def is_open(self) -> bool:
        """True during opening hours."""
        return opening(self.knowledge.firm, self.now).is_open


def quote(voice: Voice, package: PackageId, area_m2: Decimal) -> Quote:
    """The estimate for an area in a package on the voice's day."""
    found = voice.amount(package, area_m2)
    ranged = found.total_max is not None
    return Quote(
        package=package,
        package_name=voice.name(package),
        area_m2=area_m2,
        price_per_m2=found.row.per_m2,
        total_pln=found.total,
        price_valid_from=found.row.valid_from,
        vat_percent=voice.knowledge.prices.vat_percent,
        assumptions=voice.say("assumptions"),
        price_per_m2_max=found.row.per_m2_max,
        total_min=found.total if ranged else None,
        total_max=found.total_max,
    )


def quote_data(found: Quote) -> dict[str, Any]:
    """A quote as plain JSON; amounts are strings, so that no reader makes floats of them."""
    data = {
        "package": found.package,
        "area_m2": str(rounded(found.area_m2)),
        "price_per_m2": str(found.price_per_m2),
        "total_pln": str(found.total_pln),
        "price_valid_from": found.price_valid_from.isoformat(),
        "vat_percent": found.vat_percent,
        "currency": "PLN",
        "binding": False,
    }
    if found.total_max is not None:
        data |= {"total_min": str(found.total_min), "total_max": str(found.total_max)}
    return data


def quote_line(voice: Voice, found: Quote) -> str:
    """The estimate in one sentence."""
    values = {
        "package": found.package_name,
        "area": voice.area(found.area_m2),
        "total": zloty(found.total_pln),
        "price": zloty(found.price_per_m2),
    }
    if found.total_max is None or found.price_per_m2_max is None:
        return voice.say("quote", **values)
    return voice.say("quote_range", **values, total_max=zloty(found.total_max), price_max=zloty(found.price_per_m2_max))


def quote_reply(voice: Voice, packages: Iterable[PackageId], area_m2: Decimal, kind: PropertyType | None) -> Reply:
    """The estimate for one or more packages, with what it assumes."""
    quotes = [quote(voice, package, area_m2) for package in packages]
    lines = [quote_line(voice, found) for found in quotes]
    lines.append(voice.say("assumptions"))
    if kind == "commercial":
        lines.append(voice.say("quote_commercial"))
    elif area_m2 > voice.knowledge.prices.vat_limits_m2.get(kind or "apartment", Decimal(0)):
        lines.append(voice.say("quote_large"))
    data = quote_data(quotes[-1]) if len(quotes) == 1 else {"quotes": [quote_data(found) for found in quotes]}
    return Reply("quote", " ".join(lines), data, voice.chips("qr_time", "qr_booking"))


def package_facts(voice: Voice) -> list[PackageFact]:
    """All packages with their prices of the day."""
    rows = [(package, voice.row(package.id)) for package in voice.lexicon.packages.values()]
    return [
        PackageFact(
            id=package.id,
            name=package.name.get(voice.locale),
            price_per_m2=row.per_m2,
            price_per_m2_max=row.per_m2_max,
            price_valid_from=row.valid_from,
            vat_percent=voice.knowledge.prices.vat_percent,
            summary=package.summary.get(voice.locale),
            highlights=tuple(package.highlights[voice.locale]),
            most_chosen=package.id == voice.lexicon.most_chosen,
        )
        for package, row in rows
    ]


def package_list(voice: Voice) -> Reply:
    """All packages in order, numbered, so that "the second one" can be said of them."""
    facts = package_facts(voice)
    lines = [
        voice.say("list_line", number=number, package=fact.name, price=voice.price_of(fact.id), summary=fact.summary)
        for number, fact in enumerate(facts, 1)
    ]
    data = {
        "packages": [
            {
                "id": fact.id,
                "name": fact.name,
                "price_per_m2": str(fact.price_per_m2),
                "price_per_m2_max": None if fact.price_per_m2_max is None else str(fact.price_per_m2_max),
            }
            for fact in facts
        ]
    }
    return Reply("packages", "\n".join([voice.say("list_intro"), *lines]), data, voice.chips("qr_quote"))


def details(voice: Voice, package: PackageId) -> Reply:
    """What one package is, has and costs per square metre."""
    text = voice.say(
        "details",
        package=voice.name(package),
        summary=voice.summary(package),
        price=voice.price_of(package),
        highlights=", ".join(voice.package(package).highlights[voice.locale]),
    )
    common = voice.knowledge.packages.common
    return Reply("text", text if common is None else f"{text} {common.get(voice.locale)}")


def compare(voice: Voice, packages: Iterable[PackageId]) -> Reply:
    """Two or more packages side by side."""
    lines = [
        voice.say(
            "compare_line",
            package=voice.name(package),
            price=voice.price_of(package),
            highlights=", ".join(voice.package(package).highlights[voice.locale]),
        )
        for package in packages
    ]
    return Reply("text", ".\n".join(lines) + ".")


def price_only(voice: Voice, package: PackageId) -> str:
    """Today's price per square metre of one package, as a sentence."""
    row = voice.row(package)
    values = {"package": voice.name(package), "price": zloty(row.per_m2)}
    if row.per_m2_max is None:
        return voice.say("price_only", **values)
    return voice.say("price_only_range", **values, price_max=zloty(row.per_m2_max))


def topic(voice: Voice, name: str, packages: tuple[PackageId, ...]) -> Reply:
    """An attribute of the given packages, or of all of them."""
    title = voice.knowledge.packages.topics[name].get(voice.locale)
    if packages:
        lines = [
            voice.say(
                "topic",
                topic=title,
                inside=voice.package(package).inside.get(voice.locale),
                value=voice.package(package).facts[name].get(voice.locale),
            )
            for package in packages
        ]
        return Reply("text", " ".join(lines))
    every = "; ".join(
        f"{package.name.get(voice.locale)} – {package.facts[name].get(voice.locale)}"
        for package in voice.lexicon.packages.values()
    )
    return Reply("text", voice.say("topic_all", topic=title, lines=every))


def lead_time(voice: Voice, packages: tuple[PackageId, ...]) -> Reply:
    """Design, works and total time of the given packages, or the works of all of them."""
    if not packages:
        works, designs = (
            "; ".join(
                f"{package.name.get(voice.locale)} – {package.facts[topic].get(voice.locale)}"
                for package in voice.lexicon.packages.values()
            )
            for topic in ("works", "design")
        )
        return Reply("text", voice.say("lead_time_all", lines=works, designs=designs))
    lines = []
    for package in packages:
        facts = voice.package(package).facts
        lines.append(
            voice.say(
                "lead_time",
                inside=voice.package(package).inside.get(voice.locale),
                design=facts["design"].get(voice.locale),
                works=facts["works"].get(voice.locale),
                total=facts["total"].get(voice.locale),
            )
        )
    return Reply("text", " ".join(lines))
