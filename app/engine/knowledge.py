"""What the knowledge files may say, and the checks that no file passes alone. Reading them is `knowledge_files`'."""

import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from functools import cached_property
from string import Formatter
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from app.engine.holidays import Country
from app.engine.types import Locale, PackageId, PropertyType

Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Wish = Literal["rental", "wow"]
"""What somebody without a budget looks for: a flat to let, or one to be proud of."""
TIMES = frozenset({"design", "works", "total"})
"""Topics that every company has: how long the design, the works and all of it take."""


class KnowledgeError(Exception):
    """A knowledge file is missing, is not YAML, or says something the models do not allow."""


class Model(BaseModel):
    """A piece of a file: nothing unknown in it, nothing changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Local(Model):
    """A sentence or phrase in both languages."""

    pl: str = Field(min_length=1)
    en: str = Field(min_length=1)

    def get(self, locale: Locale) -> str:
        """The text in one language."""
        return self.pl if locale == "pl" else self.en


class Package(Model):
    """One package: what it is called, how visitors call it, and its attributes by topic."""

    id: Id
    good_for: list[Wish] = []
    name: Local
    inside: Local
    """The name as it follows "in the package": inflected in Polish where it must be."""
    patterns: list[str] = Field(min_length=1)
    """Regular expressions over folded, space-joined words."""
    bare: list[str] = []
    """Words that mean this package only when they are the whole message or a package was asked for."""
    summary: Local
    highlights: dict[Locale, list[str]]
    facts: dict[str, Local]
    """Attribute by topic name: floor, tiles, design, works, total, swaps, ..."""

    @field_validator("patterns")
    @classmethod
    def _patterns_compile(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                msg = f"{pattern!r} is no regular expression: {error}"
                raise ValueError(msg) from error
        return patterns

    @field_validator("highlights")
    @classmethod
    def _both_languages(cls, highlights: dict[Locale, list[str]]) -> dict[Locale, list[str]]:
        if {language for language, items in highlights.items() if items} != {"pl", "en"}:
            msg = "needs a list in pl and one in en"
            raise ValueError(msg)
        return highlights


class PackageFile(Model):
    """packages.yaml."""

    most_chosen: PackageId
    common: Local | None = None
    """What every package has beside its own, after its description."""
    topics: dict[str, Local]
    """How a topic is introduced: "Floors", "Design time"."""
    packages: list[Package] = Field(min_length=1)

    @model_validator(mode="after")
    def _complete(self) -> "PackageFile":
        ids = [package.id for package in self.packages]
        if self.most_chosen not in ids or len(set(ids)) < len(ids):
            msg = f"ids must differ and most_chosen be one of them: {ids}"
            raise ValueError(msg)
        if not self.topics.keys() >= TIMES:
            msg = f"topics must have {sorted(TIMES)}"
            raise ValueError(msg)
        for package in self.packages:
            missing = self.topics.keys() ^ package.facts.keys()
            if missing:
                msg = f"package {package.id}: facts and topics differ in {sorted(missing)}"
                raise ValueError(msg)
        return self


class PriceRow(Model):
    """Gross price per square metre of one package from a day on; the latest row that has begun counts."""

    package: PackageId
    valid_from: date
    per_m2: Annotated[Decimal, Field(gt=0)]
    per_m2_max: Annotated[Decimal, Field(gt=0)] | None = None


class BudgetRule(Model):
    """Up to this budget per square metre, recommend this package."""

    up_to: Decimal | None
    package: PackageId


class PriceFile(Model):
    """prices.yaml."""

    vat_percent: int
    vat_limits_m2: dict[PropertyType, Decimal] = {}
    """Floor area up to which the rate holds, by kind of property; a kind that is not here never has it."""
    min_area_m2: Annotated[Decimal, Field(gt=0)]
    max_area_m2: Decimal
    odd_budget_below: int
    budget_rules: list[BudgetRule] = Field(min_length=1)
    rows: list[PriceRow] = Field(min_length=1)


class Entry(Model):
    """One thing visitors ask: how to recognise it and, unless code composes the answer, what to say."""

    id: Id
    cues: list[str] = []
    """Word stems that must all be there, in any order; `a|b` either, `!a` none, `a.` the whole word."""
    phrasings: dict[Locale, list[str]] = {}
    answer: Local | None = None
    topic: str | None = None
    """An attribute of the packages that answers this, see `PackageFile.topics`."""
    weight: float = 1.0
    kind: Literal["business", "social", "guard", "act"] = "business"
    verbatim: bool = False
    """The answer goes out word for word, since it is about law, money or who speaks."""

    @field_validator("cues")
    @classmethod
    def _no_empty_stem(cls, cues: list[str]) -> list[str]:
        for cue in cues:
            groups = [part.removeprefix("!").split("|") for part in cue.split()]
            if (
                not groups
                or cue.split()[0].startswith("!")
                or any(not stem.strip(".") for group in groups for stem in group)
            ):
                msg = f"cue {cue!r} has an empty stem or begins with a forbidden one"
                raise ValueError(msg)
        return cues


class FaqFile(Model):
    """acts.yaml and faq.yaml."""

    vocabulary: list[str] = []
    """Words that a typing slip may be corrected to."""
    entries: list[Entry]

    @model_validator(mode="after")
    def _ids_differ(self) -> "FaqFile":
        ids = [entry.id for entry in self.entries]
        twice = sorted({one for one in ids if ids.count(one) > 1})
        if twice:
            msg = f"more than one entry is called {', '.join(twice)}"
            raise ValueError(msg)
        return self


class City(Model):
    """A place: its name, how it is said after "in", its inflected forms (folded), and whether we work there."""

    name: str
    where: str
    forms: list[str] = Field(min_length=1)
    served: bool = False


class CityFile(Model):
    """cities.yaml."""

    cities: list[City]


class NameFile(Model):
    """names.yaml: first names as written, and words that follow "jestem" without being a name."""

    first_names: list[str]
    not_names: list[str]


class Hours(Model):
    """Opening hours of one weekday (Monday is 0), whole hours."""

    opens: Annotated[int, Field(ge=0, le=23)]
    closes: Annotated[int, Field(ge=1, le=24)]

    @model_validator(mode="after")
    def _opens_first(self) -> "Hours":
        if self.opens >= self.closes:
            msg = "opens must be before closes"
            raise ValueError(msg)
        return self


class Office(Model):
    """An office and where it is."""

    city: str
    address: Local


class FirmFile(Model):
    """firm.yaml: the company's own facts, used as placeholders in answers."""

    timezone: str
    hours: dict[Annotated[int, Field(ge=0, le=6)], Hours] = Field(min_length=1)
    holidays: Country | None = None
    """The country whose public holidays the office keeps; None: it is open on them."""
    offices: list[Office]
    area: Local
    """Where the firm works, as it tells it."""
    spoken: list[str] = []
    """The firm's name, folded, where it could be read as something else."""
    facts: dict[str, str]

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            msg = f"no time zone {zone!r}"
            raise ValueError(msg) from error
        return zone

    @field_validator("facts")
    @classmethod
    def _who_and_how(cls, facts: dict[str, str]) -> dict[str, str]:
        missing = {"firm", "legal_name", "phone", "mail", "booking"} - facts.keys()
        if missing:
            msg = f"needs {', '.join(sorted(missing))}"
            raise ValueError(msg)
        return facts


class FollowupStep(Model):
    """The words of the n-th follow-up."""

    subject: Local
    text: Local


class FollowupMail(Model):
    """What stands around a follow-up in a mail."""

    subject: Local
    """Of words that a person wrote."""
    why: Local
    unsubscribe: Local
    book: Local


class FollowupFile(Model):
    """followups.yaml."""

    talk: dict[Literal["apartment", "house", "commercial", "unknown"], Local]
    """What was talked about, by the kind of property."""
    dated: Local
    """Prices and the day on which they were read."""
    steps: list[FollowupStep] = Field(min_length=1)
    refuse: Local
    refusal: Local
    """Words that the chat understands as the end of marketing by e-mail."""
    mail: FollowupMail

    @model_validator(mode="after")
    def _complete(self) -> "FollowupFile":
        missing = {"apartment", "house", "commercial", "unknown"} - self.talk.keys()
        if missing:
            msg = f"talk: no words for {sorted(missing)}"
            raise ValueError(msg)
        if any("{price}" not in text for step in self.steps for text in (step.text.pl, step.text.en)):
            msg = "steps: every text needs {price}"
            raise ValueError(msg)
        return self


class TemplateFile(Model):
    """templates.yaml."""

    templates: dict[str, Local]


def holes(text: str) -> frozenset[str]:
    """The names in braces that have to be filled. Raises `ValueError` for text that nothing can fill."""
    return frozenset(name for _, name, _, _ in Formatter().parse(text) if name is not None)


class Knowledge(Model):
    """Everything the engine knows, checked as a whole."""

    packages: PackageFile
    prices: PriceFile
    faq: FaqFile
    cities: CityFile
    names: NameFile
    firm: FirmFile
    followups: FollowupFile
    templates: dict[str, Local]

    @cached_property
    def facts(self) -> dict[str, str]:
        """What any text may name in braces."""
        prices = self.prices
        limits = {
            f"vat_{'flat' if kind == 'apartment' else kind}_m2": f"{area:f}"
            for kind, area in prices.vat_limits_m2.items()
        }
        return {
            **self.firm.facts,
            **limits,
            "vat": str(prices.vat_percent),
            "min_area": f"{prices.min_area_m2:f}",
            "max_area": f"{prices.max_area_m2:f}",
        }

    @model_validator(mode="after")
    def _consistent(self) -> "Knowledge":
        ids = {package.id for package in self.packages.packages}
        for entry in self.faq.entries:
            if entry.topic is not None and entry.topic not in self.packages.topics:
                msg = f"faq entry {entry.id}: no such topic {entry.topic!r}"
                raise ValueError(msg)
        named = {row.package for row in self.prices.rows} | {rule.package for rule in self.prices.budget_rules}
        strangers = sorted(named - ids)
        if strangers:
            msg = f"prices: no such package {', '.join(strangers)}"
            raise ValueError(msg)
        unpriced = sorted(ids - {row.package for row in self.prices.rows})
        if unpriced:
            msg = f"package {', '.join(unpriced)} has no price row"
            raise ValueError(msg)
        self._answers_can_be_filled()
        self._followups_can_be_filled()
        return self

    def _answers_can_be_filled(self) -> None:
        known = self.facts.keys() | {"opening"}
        for entry in self.faq.entries:
            _fillable(f"faq entry {entry.id}", entry.answer, known)
        for office in self.firm.offices:
            _fillable(f"office in {office.city}", office.address, frozenset())
        _fillable("firm: area", self.firm.area, known)

    def _followups_can_be_filled(self) -> None:
        words = self.followups
        known = self.facts.keys() | {"talk", "where", "price", "date", "refusal"}
        for text in (words.dated, words.refuse, words.mail.why, *(step.text for step in words.steps)):
            _fillable("followups", text, known)


def _fillable(where: str, text: Local | None, known: Iterable[str]) -> None:
    for words in () if text is None else (text.pl, text.en):
        try:
            unknown = holes(words) - set(known)
        except ValueError as error:
            msg = f"{where}: {error} in {words[:40]!r}"
            raise ValueError(msg) from error
        if unknown:
            msg = f"{where}: nothing fills {', '.join(sorted(unknown))} in {words[:40]!r}"
            raise ValueError(msg)
