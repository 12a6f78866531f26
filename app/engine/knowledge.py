"""What the knowledge files may say: their models, their checks, and how they are read from disk once."""

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from app.engine.types import Locale, PackageId

_T = TypeVar("_T")
DEFAULT_DIRECTORY = Path(__file__).with_name("knowledge")


class KnowledgeError(Exception):
    """A knowledge file is missing, is not YAML, or says something the models do not allow."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Local(_Model):
    """A sentence or phrase in both languages."""

    pl: str = Field(min_length=1)
    en: str = Field(min_length=1)

    def get(self, locale: Locale) -> str:
        """The text in one language."""
        return self.pl if locale == "pl" else self.en


class Package(_Model):
    """One package: what it is called, how visitors call it, and its attributes by topic."""

    id: PackageId
    name: Local
    inside: Local
    """The name as it follows "in the package": inflected in Polish where it must be."""
    patterns: list[str] = Field(min_length=1)
    """Regular expressions over folded, space-joined words."""
    bare: list[str] = []
    """Words that mean this package only when they are the whole message or a package was asked for."""
    summary: Local
    highlights: dict[Literal["pl", "en"], list[str]]
    facts: dict[str, Local]
    """Attribute by topic name: floor, tiles, design, works, total, swaps, ..."""


class PackageFile(_Model):
    """packages.yaml."""

    most_chosen: PackageId
    topics: dict[str, Local]
    """How a topic is introduced: "Floors", "Design time"."""
    packages: list[Package]

    @model_validator(mode="after")
    def _complete(self) -> "PackageFile":
        for package in self.packages:
            missing = self.topics.keys() ^ package.facts.keys()
            if missing:
                msg = f"package {package.id}: facts and topics differ in {sorted(missing)}"
                raise ValueError(msg)
        return self


class PriceRow(_Model):
    """Gross price per square metre of one package from a day on; the latest row that has begun counts."""

    package: PackageId
    valid_from: date
    per_m2: Annotated[Decimal, Field(gt=0)]
    per_m2_max: Annotated[Decimal, Field(gt=0)] | None = None


class BudgetRule(_Model):
    """Up to this budget per square metre, recommend this package."""

    up_to: Decimal | None
    package: PackageId


class PriceFile(_Model):
    """prices.yaml."""

    vat_percent: int
    min_area_m2: Decimal
    max_area_m2: Decimal
    budget_rules: list[BudgetRule] = Field(min_length=1)
    rows: list[PriceRow] = Field(min_length=1)


class Entry(_Model):
    """One thing visitors ask: how to recognise it and, unless code composes the answer, what to say."""

    id: str
    cues: list[str] = []
    """Word stems that must all be there, in any order; `a|b` either, `!a` none, `a.` the whole word."""
    phrasings: dict[Literal["pl", "en"], list[str]] = {}
    answer: Local | None = None
    topic: str | None = None
    """An attribute of the packages that answers this, see `PackageFile.topics`."""
    weight: float = 1.0
    kind: Literal["business", "social", "guard", "act"] = "business"

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


class FaqFile(_Model):
    """faq.yaml."""

    vocabulary: list[str] = []
    """Words that a typing slip may be corrected to."""
    entries: list[Entry]


class City(_Model):
    """A place: its name, how it is said after "in", its inflected forms (folded), and whether we work there."""

    name: str
    where: str
    forms: list[str] = Field(min_length=1)
    served: bool = False


class CityFile(_Model):
    """cities.yaml."""

    cities: list[City]


class NameFile(_Model):
    """names.yaml: first names as written, and words that follow "jestem" without being a name."""

    first_names: list[str]
    not_names: list[str]


class Hours(_Model):
    """Opening hours of one weekday (Monday is 0), whole hours."""

    opens: int
    closes: int


class Office(_Model):
    """An office and where it is."""

    city: str
    address: Local


class FirmFile(_Model):
    """firm.yaml: the company's own facts, used as placeholders in answers."""

    timezone: str
    hours: dict[int, Hours]
    offices: list[Office]
    facts: dict[str, str]


class FollowupStep(_Model):
    """The words of the n-th follow-up."""

    subject: Local
    text: Local


class FollowupMail(_Model):
    """What stands around a follow-up in a mail."""

    subject: Local
    """Of words that a person wrote."""
    why: Local
    unsubscribe: Local
    book: Local


class FollowupFile(_Model):
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


class Knowledge(_Model):
    """Everything the engine knows, validated."""

    packages: PackageFile
    prices: PriceFile
    faq: FaqFile
    cities: CityFile
    names: NameFile
    firm: FirmFile
    followups: FollowupFile
    templates: dict[str, Local]

    @model_validator(mode="after")
    def _consistent(self) -> "Knowledge":
        for entry in self.faq.entries:
            if entry.topic is not None and entry.topic not in self.packages.topics:
                msg = f"faq entry {entry.id}: no such topic {entry.topic!r}"
                raise ValueError(msg)
        priced = {row.package for row in self.prices.rows}
        for package in self.packages.packages:
            if package.id not in priced:
                msg = f"package {package.id} has no price row"
                raise ValueError(msg)
            for pattern in package.patterns:
                re.compile(pattern)
        self._followups_can_be_filled()
        return self

    def _followups_can_be_filled(self) -> None:
        words = self.followups
        facts = {**self.firm.facts, **dict.fromkeys(("talk", "where", "price", "date", "refusal"), "")}
        texts = [words.dated, words.refuse, words.mail.why, *(step.text for step in words.steps)]
        for text in (text for local in texts for text in (local.pl, local.en)):
            try:
                text.format_map(facts)
            except (KeyError, ValueError, IndexError) as error:
                msg = f"followups: nothing fills {error} in {text[:40]!r}"
                raise ValueError(msg) from error


def _construct(loader: type[yaml.SafeLoader], path: Path) -> Any:
    try:
        with path.open(encoding="utf-8") as file:
            return yaml.load(file, loader)  # noqa: S506 - a safe loader, chosen by the caller
    except OSError as error:
        msg = f"{path.name}: {error.strerror}"
        raise KnowledgeError(msg) from error
    except yaml.YAMLError as error:
        msg = f"{path.name}: {error}"
        raise KnowledgeError(msg) from error


def _line_of(path: Path, location: tuple[int | str, ...]) -> int | None:
    """The line where a validation error sits, as far down as the document goes."""
    node = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    for step in location:
        child = None
        if isinstance(node, yaml.MappingNode):
            child = next((value for key, value in node.value if key.value == str(step)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            child = node.value[step]
        if child is None:
            break
        node = child
    return None if node is None else node.start_mark.line + 1


def _read(path: Path, build: Callable[[Any], _T]) -> _T:
    data = _construct(getattr(yaml, "CSafeLoader", yaml.SafeLoader), path)
    try:
        return build(data)
    except ValidationError as error:
        first = error.errors()[0]
        line = _line_of(path, tuple(first["loc"]))
        msg = f"{path.name}, line {line}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise KnowledgeError(msg) from error


class _Templates(_Model):
    templates: dict[str, Local]


def load(directory: Path | None = None) -> Knowledge:
    """Read and check the knowledge files; raises `KnowledgeError` naming the file and, where known, the line."""
    folder = directory or DEFAULT_DIRECTORY
    parts = {
        "packages": _read(folder / "packages.yaml", PackageFile.model_validate),
        "prices": _read(folder / "prices.yaml", PriceFile.model_validate),
        "faq": _read(folder / "faq.yaml", FaqFile.model_validate),
        "cities": _read(folder / "cities.yaml", CityFile.model_validate),
        "names": _read(folder / "names.yaml", NameFile.model_validate),
        "firm": _read(folder / "firm.yaml", FirmFile.model_validate),
        "followups": _read(folder / "followups.yaml", FollowupFile.model_validate),
        "templates": _read(folder / "templates.yaml", _Templates.model_validate).templates,
    }
    try:
        return Knowledge.model_validate(parts)
    except ValidationError as error:
        first = error.errors()[0]
        msg = f"{folder.name}: {first['msg']}"
        raise KnowledgeError(msg) from error
