"""The engine's interface: what one turn needs and what it gives back. Everything is plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

Locale = Literal["pl", "en"]
PackageId = str
"""A package's id in the knowledge, such as `express_plus`."""
PropertyType = Literal["apartment", "house", "commercial"]
Purpose = Literal["rodo", "marketing_email", "marketing_phone"]
ReplyType = Literal["text", "quote", "packages", "booking", "form"]


@dataclass(frozen=True, slots=True)
class Slots:
    """What the visitor told us about the flat and themselves. None: not said, or taken back."""

    area_m2: Decimal | None = None
    package: PackageId | None = None
    city: str | None = None
    budget_pln: int | None = None
    name: str | None = None
    phone: str | None = None
    """E.164, for example +48691222333."""
    email: str | None = None
    property_type: PropertyType | None = None

    @property
    def has_contact(self) -> bool:
        """True when somebody could reach this visitor."""
        return self.phone is not None or self.email is not None


@dataclass(frozen=True, slots=True)
class Decision:
    """A consent that the visitor gave, refused or withdrew in words in this very message."""

    purpose: Purpose
    granted: bool


@dataclass(frozen=True, slots=True)
class QuickReply:
    """A suggestion the visitor can tap; `text` is sent as if typed."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One bubble of the answer. `data` is plain JSON for the front end (a quote's numbers, a list of packages)."""

    type: ReplyType
    text: str
    data: dict[str, Any] | None = None
    quick_replies: tuple[QuickReply, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """One message and all that the engine may know about the conversation so far."""

    text: str
    locale: Locale
    """The language the session was opened in; the engine answers in the language of the message."""
    now: datetime
    slots: Slots = field(default_factory=Slots)
    consent_contact: bool | None = None
    consent_marketing: bool | None = None
    memory: Mapping[str, Any] = field(default_factory=dict)
    """What `Answer.memory` of the previous turn was; plain JSON."""
    consent_texts: Mapping[tuple[Purpose, Locale], str] = field(default_factory=dict)
    """The exact texts to show when asking for consent, by purpose and language."""
    silent: bool = False
    """A person answers: the engine reads along, and says only what confirms a decision or answers a right.

    The memory is one that `Engine.handed_over` gave.
    """


@dataclass(frozen=True, slots=True)
class Help:
    """What a language model may be asked about an answer: to choose an entry when nothing was understood, else to word it.

    Beside `message` it holds what the company would say to anybody.
    """

    locale: Locale
    message: str
    """What the visitor wrote, masked."""
    text: str
    """What we say without help."""
    entries: tuple[tuple[str, str], ...] = ()
    """Id and question of what may be chosen from; empty where `text` may be worded."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What a language model suggested and a guard let through: an entry of the knowledge, or other words."""

    instead_of: str
    """The text of ours that it was asked about."""
    entry: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say, and what is known now."""

    replies: tuple[Reply, ...]
    slots: Slots
    language: Locale
    decisions: tuple[Decision, ...] = ()
    consent_shown: tuple[Purpose, ...] = ()
    """Purposes whose text from `Turn.consent_texts` stands word for word in the replies."""
    intents: tuple[str, ...] = ()
    memory: dict[str, Any] = field(default_factory=dict)
    """Plain JSON to hand back as the next turn's `memory`: last question asked, last list shown, and so on. Small."""
    missed: bool = False
    """The message, or a part of it, was not understood, and a reply says so."""
    helpless: int | None = None
    """The reply that says that nothing was understood."""
    wordable: int | None = None
    """The first reply that may go out in other words: general knowledge, without a quote, a person's data or law."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """The first thing a visitor sees. `disclosure` says that an automated assistant answers (AI Act, article 50)."""

    text: str
    disclosure: str
    quick_replies: tuple[QuickReply, ...] = ()


@dataclass(frozen=True, slots=True)
class HandoffWords:
    """What a visitor hears who asked for a person."""

    text: str
    hours: str
    """Of that, the sentence that says when people are there."""
    back_at: datetime | None
    """When the office opens next; None while it is open, and where it never is."""
    is_open: bool


@dataclass(frozen=True, slots=True)
class PackageFact:
    """One package as shown to the public; prices are gross PLN per square metre, as valid on the asked day."""

    id: PackageId
    name: str
    price_per_m2: Decimal
    price_per_m2_max: Decimal | None
    """The upper end where the price is a range (individual), else None."""
    price_valid_from: date
    vat_percent: int
    summary: str
    highlights: tuple[str, ...]
    most_chosen: bool = False


@dataclass(frozen=True, slots=True)
class Quote:
    """An estimate, never an offer: area times the price row valid on the asked day, VAT included.

    `total_pln` is the whole amount or, for a package priced as a range, the lower end; `total_min` and `total_max`
    are set only for a range.
    """

    package: PackageId
    package_name: str
    area_m2: Decimal
    price_per_m2: Decimal
    total_pln: Decimal
    price_valid_from: date
    vat_percent: int
    assumptions: str
    price_per_m2_max: Decimal | None = None
    total_min: Decimal | None = None
    total_max: Decimal | None = None
