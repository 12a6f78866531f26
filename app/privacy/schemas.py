"""What privacy looks like on the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from app.core.addresses import normalise_email
from app.core.text import SafeStr
from app.privacy import examples

RequestType = Literal["access", "erasure", "revoke"]
ProofType = Literal["access", "erasure", "revoke", "opt_in"]
"""`opt_in`: a suppressed address is asked whether it wants marketing again. Nobody asks for it by request."""
RequestState = Literal["received", "verified", "done", "expired"]


def _address(value: str) -> str:
    try:
        return normalise_email(value)
    except ValueError:
        raise PydanticCustomError("email", "This is not an e-mail address.") from None


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class PrivacyRequestIn(_In):
    """What somebody asks for who has an address and no session."""

    type: RequestType = Field(
        description="`access`: a copy of everything. `erasure`. `revoke`: withdraw every consent.", examples=["access"]
    )
    email: Annotated[SafeStr, Field(max_length=320), AfterValidator(_address)] = Field(
        examples=["anna@example.com"], json_schema_extra={"format": "email"}
    )
    locale: Literal["pl", "en"] = Field("pl", description="Language of the mail.")


class PrivacyRequestOut(BaseModel):
    """Taken. The same for every address: whether anything is held is said after the proof only."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.RECEIVED]})

    id: UUID
    message: str = "If the address can get mail, a message with a link is on its way. The link works for 30 minutes."


class ProofIn(_In):
    """The code from the mail: what stands behind `#` in its link."""

    token: SafeStr = Field(min_length=1, max_length=200, examples=[examples.CODE])


class ProofOut(BaseModel):
    """What was done."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PROVED]})

    type: ProofType
    result: dict[str, Any] | None = Field(
        description="In counts, such as `{conversations: 1}`; 0: nothing was held. null: people finish it."
    )
    access_token: str | None = Field(
        description="For `access`: send it as `Authorization: Bearer` to fetch the export, for 24 hours."
    )


class RequestOut(BaseModel):
    """A request as operators see it: no address."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [examples.REQUEST]})

    id: UUID
    type: ProofType
    state: RequestState = Field(description="`received`: waits for its proof. `expired`: never proved.")
    locale: Literal["pl", "en"]
    tries: int
    created_at: datetime
    due_at: datetime = Field(description="One month after it was received (GDPR art. 12(3)).")
    days_left: int | None = Field(description="Whole days until then, negative when late; null once closed.")
    mailed_at: datetime | None = Field(description="null: the mail with the proof has not left.")
    verified_at: datetime | None
    closed_at: datetime | None
    result: dict[str, Any] | None


class RequestsOut(BaseModel):
    """A page of requests, newest first."""

    items: list[RequestOut]
    next_cursor: str | None
