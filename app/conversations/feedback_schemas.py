"""What feedback on messages looks like on the wire."""

from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.conversations import examples
from app.conversations.feedback import Rating
from app.core.text import SafeStr

MAX_COMMENT: Final = 1_000


class FeedbackIn(BaseModel):
    """What the visitor thinks of a message. It replaces what they thought before."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rating: Rating = Field(examples=["up"])
    comment: SafeStr | None = Field(None, max_length=MAX_COMMENT, examples=["Dokładnie tego szukałam."])


class _RatingOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    rating: Rating
    comment: str | None
    created_at: datetime
    updated_at: datetime


class RatedOut(_RatingOut):
    """A rating as it stands."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.RATED]})


class FeedbackOut(_RatingOut):
    """A rating and the message that it is about."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.FEEDBACK]})

    id: UUID
    conversation_id: UUID
    message_id: UUID
    message_seq: int = Field(examples=[3])
    message: str = Field(description="What we had said.")


class FeedbacksOut(BaseModel):
    """A page of ratings, newest first."""

    items: list[FeedbackOut]
    next_cursor: str | None
