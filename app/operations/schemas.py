"""What the journal of operators and API keys look like on the wire."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.operations.api_keys import Scope

_PAUSE: Final[dict[str, Any]] = {
    "id": "4e9d8c7b-6a5f-4d3e-8b2c-1a0f9e8d7c87",
    "at": "2026-11-24T10:17:05.883214Z",
    "actor": "key:7k2m9q4x/crm",
    "action": "channel.pause",
    "target": "slack",
    "reason": "Slack is being moved to another workspace.",
    "count": 1,
    "request_id": "24a62d287a06bea54974071a0ef096f2",
}


class OperatorActionOut(BaseModel):
    """One thing that an operator did."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_PAUSE]})

    id: UUID
    at: datetime
    actor: str = Field(examples=["key:7k2m9q4x/crm", "key:admin", "cli:anna"])
    action: str = Field(examples=["channel.pause", "dead_letter.retry"])
    target: str = Field(description="A channel's name, an API key's prefix, a row's id, or `all`.")
    reason: str | None
    count: int = Field(description="How many rows it changed, or took out.")
    request_id: str | None


class OperatorActionsOut(BaseModel):
    """A page of what operators did, newest first."""

    items: list[OperatorActionOut]
    next_cursor: str | None


class ApiKeyOut(BaseModel):
    """An API key without the key."""

    model_config = ConfigDict(from_attributes=True)

    prefix: str = Field(examples=["7k2m9q4x"])
    name: str
    scopes: list[Scope]
    usable: bool = Field(description="Neither revoked nor expired.")
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")


class ApiKeysOut(BaseModel):
    """Every API key, newest first."""

    items: list[ApiKeyOut]


class ApiKeyCreatedOut(BaseModel):
    """A new API key. `key` is shown this once."""

    model_config = ConfigDict(from_attributes=True)

    prefix: str
    key: str
    name: str
    scopes: list[Scope]
    expires_at: datetime | None
