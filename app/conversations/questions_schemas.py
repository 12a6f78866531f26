"""Questions that the assistant could not answer, on the wire."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.conversations import examples
from app.conversations.questions import QuestionStatus


class QuestionOut(BaseModel):
    """A visitor's message without an answer."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [examples.QUESTION]})

    id: UUID
    conversation_id: UUID
    seq: int = Field(description="Of the message in its conversation.")
    language: Literal["pl", "en"]
    status: QuestionStatus
    words: str = Field(
        description="The message on one line; addresses, numbers and the visitor's name are masked.",
        examples=["czy montujecie rekuperację?"],
    )
    asked_at: datetime
    decided_at: datetime | None
    decided_by: str | None


class QuestionsOut(BaseModel):
    """A page of questions, newest first."""

    items: list[QuestionOut]
    next_cursor: str | None
