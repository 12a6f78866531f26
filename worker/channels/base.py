"""What every channel promises: take one message, try once, and answer with an outcome instead of an exception."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final, Protocol, TypeAlias
from uuid import UUID


class OutcomeKind(StrEnum):
    """What one attempt to send came to."""

    DELIVERED = "delivered"
    NOT_SENT = "not_sent"
    """The remote certainly did not get it: no connection, no name, no free slot."""
    THROTTLED = "throttled"
    """The remote asks us to wait."""
    AMBIGUOUS = "ambiguous"
    """It may have arrived: read timeout, reset, 5xx."""
    PAYLOAD_PERMANENT = "payload_permanent"
    """The remote will never take this message."""
    DESTINATION_PERMANENT = "destination_permanent"
    """The remote will take no message from us until a person mends the settings."""


class Health(StrEnum):
    """What one attempt says about the remote, for its circuit breaker."""

    ALIVE = "alive"
    FAILING = "failing"
    UNKNOWN = "unknown"
    """It never came to the remote: our own limits were in the way."""


_HEALTH: Final[dict[OutcomeKind, Health]] = {
    OutcomeKind.DELIVERED: Health.ALIVE,
    OutcomeKind.NOT_SENT: Health.FAILING,
    OutcomeKind.THROTTLED: Health.ALIVE,
    OutcomeKind.AMBIGUOUS: Health.FAILING,
    OutcomeKind.PAYLOAD_PERMANENT: Health.ALIVE,
    OutcomeKind.DESTINATION_PERMANENT: Health.ALIVE,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt's result. `error` is a short class such as `http_500` or `no_service`, never a body, URL or name."""

    kind: OutcomeKind
    status: int | None = None
    error: str | None = None
    retry_after: timedelta | None = None
    remote_ref: str | None = None
    """The remote's own id of what it stored, where it gives one."""
    health: Health | None = None
    """What the attempt says about the remote where its kind does not say it; see `remote_health`."""

    @property
    def remote_health(self) -> Health:
        """What a circuit breaker should count: an answer, even a refusal, is a remote that lives."""
        return self.health or _HEALTH[self.kind]


@dataclass(frozen=True, slots=True)
class Envelope:
    """Which alert is being sent and what became of it before: what repeats are recognised by."""

    alert_id: UUID
    attempt: int = 1
    """1 for the first attempt."""
    generation: int = 1
    """Rises when the remote's answer proved that nothing was created: the number in idempotency keys."""
    ambiguous_since: datetime | None = None
    """When the first attempt was made that may have arrived without our hearing of it."""

    @property
    def possible_repeat(self) -> bool:
        """An earlier attempt may have arrived without our knowing."""
        return self.ambiguous_since is not None


@dataclass(frozen=True, slots=True)
class LeadAlert:
    """A captured lead as a salesperson needs it, read from current rows at send time."""

    envelope: Envelope
    lead_id: UUID
    conversation_id: UUID
    captured_at: datetime
    language: str
    score: int
    name: str | None
    phone: str | None
    email: str | None
    city: str | None
    property_type: str | None
    area_m2: Decimal | None
    package: str | None
    """Package id, for example `express_plus`."""
    package_name: str | None
    """The same for people, for example Express Plus."""
    budget_pln: int | None
    quote_pln: Decimal | None
    """The estimate at today's prices, or None when area or package is unknown."""
    consent_marketing: bool
    last_words: str
    """The visitor's latest message, shortened; hostile text is possible."""
    hot: bool = False
    """It is told of a second time, because it became hot."""
    call_within_hours: int | None = None
    """How soon somebody should call, by its score; None when there is no hurry."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Who waits: only about somebody who agreed to be contacted."""

    name: str | None
    phone: str | None
    email: str | None
    last_words: str
    """The visitor's latest messages, shortened; hostile text is possible."""


@dataclass(frozen=True, slots=True)
class HandoffAlert:
    """A visitor asked for a person and nobody has answered yet."""

    envelope: Envelope
    handoff_id: UUID
    conversation_id: UUID
    requested_at: datetime
    language: str
    hours: str
    """When people are there, in one Polish sentence."""
    who: Waiting | None
    """None without consent: then it says that somebody waits, and nothing of them."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the people who run the service must know. Holds no personal data; in English."""

    envelope: Envelope
    notice_id: UUID
    happened_at: datetime
    title: str
    """One line, for example `3 alerts could not be delivered`."""
    text: str
    """What happened, in a sentence or two."""
    facts: tuple[tuple[str, str], ...] = ()
    """Label and value, for example `("Channel", "slack")`."""
    items: tuple[tuple[str, ...], ...] = ()
    """Rows of a table; the first is its heading."""
    more: int = 0
    """Rows that the table leaves out."""
    what_to_do: tuple[str, ...] = ()
    """Steps, each one line; commands stand between backticks."""


@dataclass(frozen=True, slots=True)
class PersonalMail:
    """A mail to a person about themselves, in their language. Only the mail channel sends it, to `recipient`."""

    envelope: Envelope
    recipient: str
    language: str
    subject: str
    paragraphs: tuple[str, ...]
    link: str = ""
    link_label: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    """Label and value, below the link."""
    footer: tuple[str, ...] = ()
    farewell: tuple[str, str] | None = None
    """Below everything: what the link that ends such mail is called, and the link."""
    headers: tuple[tuple[str, str], ...] = ()
    fresh: bool = False
    """Every attempt says something new, such as another code, so that none may pass for a copy of the one before."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a recipient got about a person who was erased since, and is to delete (GDPR art. 19)."""

    envelope: Envelope
    alert_id: UUID
    """The alert that was sent."""
    remote_ref: str | None
    """The remote's own id of what it got, where it gave one."""
    sent_at: datetime
    certain: bool
    """Whether it arrived for certain."""


Post: TypeAlias = LeadAlert | Notice
"""What becomes a new message or a new item."""
Message: TypeAlias = Post | HandoffAlert | PersonalMail | Deletion


NOT_FOR_THIS_CHANNEL: Final = Outcome(OutcomeKind.PAYLOAD_PERMANENT, error="not_for_this_channel")
"""What a channel answers to a kind of message that it does not carry."""


class Channel(Protocol):
    """One destination. Implementations share one HTTP client each and never raise for a remote's fault."""

    name: str

    async def send(self, message: Message) -> Outcome:
        """Try once, within the channel's own time limits."""
        ...

    async def aclose(self) -> None:
        """Give connections back."""
        ...
