"""What operators see of conversations."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.conversations import examples
from app.conversations.schemas import MAX_TEXT, VisitorMessageOut
from app.core.text import SafeStr, not_blank

ConversationState = Literal["open", "handoff", "closed"]
ReplyText = Annotated[SafeStr, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(not_blank)]


class ConversationOut(BaseModel):
    """One visitor's chat: what they told us, and what they agreed to."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [examples.CONVERSATION]})

    id: UUID = Field(description="The visitor's `session_id`.")
    locale: Literal["pl", "en"]
    language: Literal["pl", "en"]
    state: ConversationState
    area_m2: Decimal | None
    package: str | None
    city: str | None
    budget_pln: int | None
    name: str | None
    phone: str | None
    email: str | None
    property_type: str | None
    rodo_consent: bool | None = Field(description="null: not answered, which means no.")
    marketing_consent: bool | None
    visitor_messages: int
    created_at: datetime
    last_message_at: datetime


class ConversationsOut(BaseModel):
    """A page of conversations, newest first."""

    items: list[ConversationOut]
    next_cursor: str | None


class ConversationDetailOut(ConversationOut):
    """A conversation and a page of what was said, oldest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.CONVERSATION_DETAIL]})

    messages: list[VisitorMessageOut]
    next_cursor: int | None = Field(description="Pass it as `after` to read on; null at the end.")


class PersonMessageIn(BaseModel):
    """What a person says to the visitor."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: ReplyText = Field(examples=["Dzień dobry, tu Anna z NovaHouse. W czym mogę pomóc?"])


class PersonMessageOut(BaseModel):
    """A person's message as it was stored, without its words."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [examples.PERSON_MESSAGE]})

    conversation_id: UUID
    id: UUID
    seq: int = Field(description="Position in the conversation.", examples=[7])
    created_at: datetime


class ReleasedOut(BaseModel):
    """A conversation that the bot answers again."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [examples.RELEASED]})

    conversation_id: UUID
    state: ConversationState
