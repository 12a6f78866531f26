"""What an alert looks like on the wire: how its delivery stands, and nothing of what it says."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

ChannelName = Literal["slack", "monday", "email"]
AlertState = Literal["pending", "sending", "delivered", "cancelled", "failed"]


class AlertOut(BaseModel):
    """One event for one channel."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    event: str = Field(examples=["lead.captured"])
    channel: ChannelName
    subject_id: UUID = Field(description="The lead of `lead.captured`.")
    state: AlertState
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
