"""What a lead looks like on the wire."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

LeadStatus = Literal["new", "contacted", "qualified", "won", "lost"]
_LEAD: Final[dict[str, Any]] = {
    "id": "5b1c9a70-3f0e-4a55-9a43-2d8f7c6e1b10",
    "conversation_id": "0d3bb2f0-6c1e-4c37-9d1f-0f6f3c1f5f10",
    "status": "contacted",
    "score": 85,
    "language": "pl",
    "name": "Anna Nowak",
    "phone": "+48691222333",
    "email": "anna@example.com",
    "city": "Warszawa",
    "property_type": "apartment",
    "area_m2": "52.00",
    "package": "premium",
    "budget_pln": 110000,
    "rodo_consent": True,
    "marketing_consent": None,
    "created_at": "2026-11-24T10:15:30.123456Z",
    "updated_at": "2026-11-24T11:02:44.019832Z",
}


class LeadPatchIn(BaseModel):
    """What sales changes about a lead."""

    model_config = ConfigDict(extra="forbid", strict=True)

    status: LeadStatus | None = Field(None, description="null or absent: stays as it is.", examples=["contacted"])


class LeadOut(BaseModel):
    """A visitor with contact data."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_LEAD]})

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
