"""What alerts and dead letters look like on the wire: how delivery stands, and nothing of what is said."""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from app.alerts import examples
from app.core.text import SafeStr, not_blank
from app.operations.schemas import OperatorActionOut

ChannelName = Literal["slack", "monday", "email"]
AlertState = Literal["pending", "sending", "retrying", "delivered", "cancelled", "failed", "discarded"]
DeadLetterStatus = Literal["pending", "delivered", "failed", "cancelled", "discarded"]
RetryableStatus = Literal["pending", "failed", "discarded"]

MAX_REASON = 500
_DATE_AND_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:")
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 1, 1, tzinfo=UTC)


def _storable(instant: datetime) -> datetime:
    if not _EARLIEST <= instant < _LATEST:
        raise PydanticCustomError("instant_range", "The time must lie between the years 1970 and 9998.")
    return instant


def _written(value: object) -> object:
    """The value itself; an error for numbers, which pydantic would take for seconds since 1970."""
    if isinstance(value, str) and not _DATE_AND_TIME.match(value):
        raise PydanticCustomError("instant", "This is not a time in ISO 8601, such as 2026-01-31T03:00:00Z.")
    if not isinstance(value, str | datetime):
        raise PydanticCustomError("instant", "A time is a string in ISO 8601.")
    return value


Instant = Annotated[AwareDatetime, Field(strict=False), AfterValidator(_storable), BeforeValidator(_written)]
"""A time from outside, with its zone."""
Reason = Annotated[SafeStr, Field(min_length=1, max_length=MAX_REASON), AfterValidator(not_blank)]
"""Why, in an operator's words. It is journaled: no personal data, please."""


class AlertOut(BaseModel):
    """One event for one channel."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [examples.ALERT]})

    id: UUID
    event: str = Field(examples=["lead.captured"])
    channel: ChannelName
    subject_id: UUID = Field(description="The lead of `lead.captured` and `lead.hot`, the notice of `notice.*`.")
    state: AlertState = Field(description="`retrying`: a dead letter that waits for its turn.")
    attempts: int
    possible_repeat: bool = Field(description="An attempt may have arrived without our hearing of it.")
    last_outcome: str | None
    last_error: str | None
    next_attempt_at: datetime
    created_at: datetime
    delivered_at: datetime | None


class AlertsOut(BaseModel):
    """A page of alerts, newest first."""

    items: list[AlertOut]
    next_cursor: str | None


class AttemptOut(BaseModel):
    """What one attempt came to."""

    model_config = ConfigDict(from_attributes=True)

    attempt: int
    outcome: str = Field(examples=["delivered", "ambiguous"])
    status: int | None = Field(description="The remote's HTTP or SMTP status, where it gave one.")
    error: str | None = Field(examples=["http_500"])
    started_at: datetime
    duration_ms: int | None = Field(description="null: its worker was never heard of again.")


class AlertDetailOut(AlertOut):
    """One event for one channel, and every attempt."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.ALERT_DETAIL]})

    request_id: str | None = Field(description="The HTTP request that caused it.")
    trace_id: str | None = Field(description="Of the W3C trace that this request belongs to.")
    dead_letter_id: UUID | None
    attempts_made: list[AttemptOut] = Field(description="The last hundred, the first of them first.")


class DeadLetterOut(BaseModel):
    """An alert whose first delivery failed."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [examples.DEAD_LETTER]})

    id: UUID
    alert_id: UUID
    event: str = Field(examples=["lead.captured"])
    channel: ChannelName
    subject_id: UUID
    status: DeadLetterStatus = Field(description="`pending`: tried again. `failed`: given up, yours to decide.")
    reason: str = Field(description="The class of the last failure.", examples=["http_500"])
    attempts: int
    possible_repeat: bool = Field(description="An attempt may have arrived without our hearing of it.")
    next_attempt_at: datetime | None = Field(description="Only while it waits.")
    created_at: datetime
    closed_at: datetime | None
    escalated: bool = Field(description="People were told that it failed.")


class DeadLettersOut(BaseModel):
    """A page of dead letters, newest first."""

    items: list[DeadLetterOut]
    next_cursor: str | None


class DeadLetterDetailOut(DeadLetterOut):
    """A dead letter, every attempt, and what operators did about it."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.DEAD_LETTER_DETAIL]})

    attempts_made: list[AttemptOut] = Field(description="The last hundred, the first of them first.")
    actions: list[OperatorActionOut] = Field(description="The last hundred, newest first.")


class DiscardIn(BaseModel):
    """Why it shall not be delivered."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Reason = Field(examples=["Called the customer by phone."])


class RetryManyIn(BaseModel):
    """Which dead letters to try again. All that are absent do not narrow it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    channel: ChannelName | None = Field(None, examples=["slack"])
    since: Instant | None = Field(
        None, description="Those that failed first at this time or later.", examples=["2026-11-24T10:00:00+01:00"]
    )
    statuses: Annotated[list[RetryableStatus], Field(min_length=1, max_length=3)] = ["pending", "failed"]


class RetriedOut(BaseModel):
    """How many dead letters got a new round."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [examples.RETRIED]})

    retried: int
    channels: list[ChannelName]
    last_attempt_at: datetime | None = Field(description="When the last of them is due; null when there were none.")
