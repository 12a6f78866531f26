"""What operators see of conversations."""

from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.conversations.schemas import VisitorMessageOut


class ConversationOut(BaseModel):
    """One visitor's chat: what they told us, and what they agreed to."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID = Field(description="The visitor's `session_id`.")
    locale: Literal["pl", "en"]
    language: Literal["pl", "en"]
    state: Literal["open", "handoff", "closed"]
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

    messages: list[VisitorMessageOut]
    next_cursor: int | None = Field(description="Pass it as `after` to read on; null at the end.")
