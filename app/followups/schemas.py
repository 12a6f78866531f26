"""What a follow-up looks like on the wire."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.alerts.schemas import Reason
from app.core.text import SafeStr, not_blank
from app.followups import examples

MAX_MESSAGE = 2_000

FollowupState = Literal["pending", "sent", "cancelled", "failed"]
ConversationId = Annotated[UUID, Field(strict=False, examples=[examples.CONVERSATION])]
Number = Annotated[int, Field(ge=1, le=100, description="Which of the conversation's follow-ups.", examples=[1])]
FollowupText = Annotated[SafeStr, Field(min_length=1, max_length=MAX_MESSAGE), AfterValidator(not_blank)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class PreviewIn(_In):
    """Which follow-up to compose."""

    conversation_id: ConversationId
    followup_number: Number


class FollowupIn(PreviewIn):
    """A follow-up to write."""

    message: FollowupText | None = Field(
        None,
        description="null or absent: composed from what was talked about.",
        examples=["Dzień dobry, czy mogę jeszcze w czymś pomóc?"],
    )


class CancelIn(_In):
    """Why a follow-up shall not leave."""

    reason: Reason = Field(examples=["Sales has called already."])


class FollowupWrittenOut(BaseModel):
    """What is true of a follow-up from the moment it is written, so that every repetition gets the same answer.

    Neither its words nor how it fares: the list has both.
    """

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [examples.WRITTEN]})

    id: UUID
    conversation_id: UUID
    followup_number: int
    language: Literal["pl", "en"]
    author: str = Field(description="`schedule`, or the operator.", examples=["schedule", "key:admin"])
    created_at: datetime


class FollowupClosedOut(FollowupWrittenOut):
    """A follow-up and what became of it, without its words."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.CANCELLED]})

    state: FollowupState
    reason: str | None = Field(description="Why it was cancelled or failed.")
    closed_at: datetime | None


class FollowupOut(FollowupClosedOut):
    """A follow-up with its words."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.FOLLOWUP]})

    message: str | None


class FollowupsOut(BaseModel):
    """A page of follow-ups, newest first."""

    items: list[FollowupOut]
    next_cursor: str | None


class DueOut(BaseModel):
    """A follow-up that the schedule would write now."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.DUE]})

    conversation_id: UUID
    followup_number: int
    due_at: datetime = Field(description="Since when it has been due.")


class DuesOut(BaseModel):
    """What the schedule would write now."""

    items: list[DueOut]


class PreviewOut(BaseModel):
    """What a follow-up would say now."""

    text: str = Field(examples=[examples.TEXT])
