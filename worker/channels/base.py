"""What every channel promises: take one alert, try once, and answer with an outcome instead of an exception."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt's result. `error` is a short class such as `http_500` or `no_service`, never a body, URL or name."""

    kind: OutcomeKind
    status: int | None = None
    error: str | None = None
    retry_after: timedelta | None = None
    remote_ref: str | None = None
    """The remote's own id of what it stored, where it gives one."""


@dataclass(frozen=True, slots=True)
class LeadAlert:
    """A captured lead as a salesperson needs it, read from current rows at send time."""

    alert_id: UUID
    attempt: int
    """1 for the first attempt."""
    possible_repeat: bool
    """An earlier attempt may have arrived without our knowing."""
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


class Channel(Protocol):
    """One destination. Implementations share one HTTP client each and never raise for a remote's fault."""

    name: str

    async def send(self, alert: LeadAlert) -> Outcome:
        """Try once, within the channel's own time limits."""
        ...

    async def aclose(self) -> None:
        """Give connections back."""
        ...
