"""What a lead looks like on the wire."""

from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

LeadStatus = Literal["new", "contacted", "qualified", "won", "lost"]


class LeadPatchIn(BaseModel):
    """What sales changes about a lead."""

    model_config = ConfigDict(extra="forbid", strict=True)

    status: LeadStatus | None = Field(None, description="null or absent: stays as it is.", examples=["contacted"])


class LeadOut(BaseModel):
    """A visitor with contact data."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    conversation_id: UUID
    status: LeadStatus
    score: int = Field(ge=0, le=100)
    language: Literal["pl", "en"]
    name: str | None
    phone: str | None
    email: str | None
    city: str | None
    property_type: str | None
    area_m2: Decimal | None
    package: str | None
    budget_pln: int | None
    rodo_consent: bool | None = Field(description="null: not answered, which means no.")
    marketing_consent: bool | None
    created_at: datetime
    updated_at: datetime


class LeadsOut(BaseModel):
    """A page of leads, newest first."""

    items: list[LeadOut]
    next_cursor: str | None
