"""What the journal of operators looks like on the wire."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class OperatorActionOut(BaseModel):
    """One thing that an operator did."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    at: datetime
    actor: str = Field(examples=["key:admin", "cli:anna"])
    action: str = Field(examples=["channel.pause", "dead_letter.retry"])
    target: str = Field(description="A channel's name, a dead letter's id, or `all`.")
    reason: str | None
    count: int = Field(description="How many rows it changed.")
    request_id: str | None


class OperatorActionsOut(BaseModel):
    """A page of what operators did, newest first."""

    items: list[OperatorActionOut]
    next_cursor: str | None
