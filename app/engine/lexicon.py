"""The knowledge made ready for speaking: the firm's facts filled in, packages and price rows by id. Built once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from app.engine import hours
from app.engine.knowledge import Knowledge, Local, Package, PriceRow
from app.engine.types import Locale, PackageId, QuickReply

_CHIP = "qr_"


class _Kept(dict[str, object]):
    """Leaves in place what only a turn can fill."""

    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Tables that every turn reads."""

    knowledge: Knowledge
    packages: Mapping[PackageId, Package]
    order: tuple[PackageId, ...]
    rows: Mapping[PackageId, tuple[PriceRow, ...]]
    """Each package's price rows, the oldest first."""
    texts: Mapping[Locale, Mapping[str, str]]
    """Sentences by name; what is left in braces a turn fills."""
    answers: Mapping[Locale, Mapping[str, str]]
    """Complete answers by the entry's id."""
    chips: Mapping[Locale, Mapping[str, QuickReply]]
    area: Mapping[Locale, str]
    """Where the firm works."""

    @classmethod
    def of(cls, knowledge: Knowledge) -> "Lexicon":
        """The tables of a checked knowledge."""
        packages = {package.id: package for package in knowledge.packages.packages}
        facts = {locale: _Kept(_facts(knowledge, locale)) for locale in _LOCALES}
        texts = {
            locale: {name: _fill(local, locale, facts[locale]) for name, local in knowledge.templates.items()}
            for locale in _LOCALES
        }
        return cls(
            knowledge=knowledge,
            packages=packages,
            order=tuple(packages),
            rows={
                package: tuple(
                    sorted(
                        (row for row in knowledge.prices.rows if row.package == package), key=lambda row: row.valid_from
                    )
                )
                for package in packages
            },
            texts=texts,
            answers={
                locale: {
                    entry.id: _fill(entry.answer, locale, facts[locale])
                    for entry in knowledge.faq.entries
                    if entry.answer is not None
                }
                for locale in _LOCALES
            },
            chips={
                locale: {name: _chip(text) for name, text in texts[locale].items() if name.startswith(_CHIP)}
                for locale in _LOCALES
            },
            area={locale: _fill(knowledge.firm.area, locale, facts[locale]) for locale in _LOCALES},
        )

    @property
    def most_chosen(self) -> PackageId:
        """The package that most clients take."""
        return self.knowledge.packages.most_chosen


_LOCALES: tuple[Locale, ...] = get_args(Locale)


def _fill(local: Local, locale: Locale, facts: _Kept) -> str:
    return local.get(locale).format_map(facts)


def _chip(text: str) -> QuickReply:
    """A suggestion from "label|text"."""
    label, _, sent = text.partition("|")
    return QuickReply(label, sent or label)


def _facts(knowledge: Knowledge, locale: Locale) -> dict[str, Any]:
    return {**knowledge.facts, "opening": _opening(knowledge, locale)}


def _opening(knowledge: Knowledge, locale: Locale) -> str:
    """The opening hours in words: "od poniedziałku do piątku 9–17, w soboty 10–14; w niedziele nieczynne"."""

    def say(template: str, **values: object) -> str:
        return knowledge.templates[template].get(locale).format_map(values)

    ends, to, on = (say(name).split(",") for name in ("days_from", "days_to", "days_on"))
    spoken: list[str] = []
    closed: list[str] = []
    for run in hours.week(knowledge.firm):
        if run.hours is None:
            closed.extend(on[run.first : run.last + 1])
            continue
        span = say(
            "hours_span",
            opens=run.hours.opens,
            closes=run.hours.closes,
            opens_12=_clock_12(run.hours.opens),
            closes_12=_clock_12(run.hours.closes),
        )
        if run.first == run.last:
            spoken.append(say("hours_day", day=on[run.first], span=span))
        else:
            spoken.append(say("hours_run", first=ends[run.first], last=to[run.last], span=span))
    if knowledge.firm.holidays is not None:
        closed.append(say("hours_holidays"))
    shut = f"; {say('hours_closed', days=', '.join(closed))}" if closed else ""
    return ", ".join(spoken) + shut


def _clock_12(hour: int) -> str:
    return f"{(hour - 1) % 12 + 1} {'am' if hour % 24 < 12 else 'pm'}"
