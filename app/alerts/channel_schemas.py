"""What channels and the state of delivery look like on the wire."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.alerts import examples
from app.alerts.schemas import ChannelName, Reason


class BreakerOut(BaseModel):
    """A channel's circuit breaker, shared by all workers."""

    state: Literal["closed", "open", "half_open"] = Field(description="`half_open`: one trial call decides.")
    failures: int = Field(description="Failures in a row.")
    reason: str | None = Field(description="The class of the failure that opened it.")
    opened_at: datetime | None
    retry_at: datetime | None = Field(description="While it is open: when a trial call may be made.")


class BacklogOut(BaseModel):
    """What a channel has before it."""

    pending: int = Field(0, description="Alerts that leave as soon as the channel lets them and their time has come.")
    sending: int = 0
    retrying: int = Field(0, description="Dead letters that wait for their turn.")
    failed: int = Field(0, description="Dead letters that were given up and that nobody has decided on.")


class ChannelOut(BaseModel):
    """One channel: what holds it back and what waits for it."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.CHANNEL]})

    name: ChannelName
    configured: bool = Field(description="Whether the process that answers has its settings.")
    breaker: BreakerOut
    blocked_until: datetime | None = Field(description="Until when the remote asked us to wait.")
    blocked_reason: str | None
    paused: bool
    paused_at: datetime | None
    paused_by: str | None = Field(description="An operator, or `worker` when the remote refused our settings.")
    paused_reason: str | None
    trial_at: datetime | None = Field(
        description="When one alert tries whether a pause of the worker's is over; a yes ends it."
    )
    backlog: BacklogOut
    oldest_pending_seconds: float | None = Field(description="For how long the first pending alert has been due.")


class ChannelsOut(BaseModel):
    """Every channel, in a fixed order."""

    items: list[ChannelOut]


class PauseIn(BaseModel):
    """Why a channel is paused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Reason | None = Field(None, examples=["Slack is being moved to another workspace."])


class SentTestOut(BaseModel):
    """A test is on its way."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.SENT_TEST]})

    alert_id: UUID


class JobOut(BaseModel):
    """A scheduled job and its last runs, by whichever worker."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    every_seconds: float
    started_at: datetime
    succeeded_at: datetime | None
    failed_at: datetime | None
    last_error: str | None
    last_count: int | None = Field(description="How many rows the last success touched.")
    overdue: bool = Field(description="No success for two of its intervals.")


class OpenDeadLettersOut(BaseModel):
    """How many dead letters are open."""

    pending: int = Field(0, description="They are tried again.")
    failed: int = Field(0, description="They were given up, and nobody has decided on them.")


class RateLimitOut(BaseModel):
    """One limit of requests, and what it refused."""

    policy: str = Field(description="Its name in `RateLimit-Policy`.", examples=["chat"])
    value: str = Field(description="What holds.", examples=["30 per minute"])
    default: str = Field(description="What holds unless an operator changes it, as the process that answers has it.")
    changed_at: datetime | None
    changed_by: str | None
    limited: int = Field(description="Requests answered with 429 so far, by all processes, seconds behind.")
    limited_at: datetime | None


class StatusOut(BaseModel):
    """How the service stands."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.STATUS]})

    scheduler_enabled: bool = Field(description="As the process that answers has it.")
    jobs: list[JobOut] = Field(description="Empty until a worker has run one.")
    dead_letters: OpenDeadLettersOut
    channels: list[ChannelOut]
    rate_limits: list[RateLimitOut]
