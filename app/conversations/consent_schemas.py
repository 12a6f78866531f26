"""What a visitor's own answers, and unsubscribing, look like on the wire."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.consent.schemas import SHA256
from app.consent.service import Purpose
from app.conversations import examples
from app.core.addresses import MAX_CHARACTERS, normalise_email
from app.core.text import SafeStr

MAX_REASON = 500


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class AnswerIn(_In):
    """An answer, and the text of `GET /v1/consent/texts` that it answers."""

    decision: Literal["granted", "refused"] = Field(examples=["granted"])
    text_version: int = Field(ge=1, le=2**31 - 1, examples=[1])
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="`sha256` of the text that was shown.", examples=[SHA256])


class AnswerOut(BaseModel):
    """The current answer to one purpose. `decision` null: never answered, which means no."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [examples.ANSWER]})

    purpose: Purpose
    decision: Literal["granted", "refused"] | None
    text_version: int | None = Field(description="null where the visitor decided in their own words.")
    text_sha256: str | None
    decided_at: datetime | None


class AnswersOut(BaseModel):
    """The current answer to every purpose."""

    items: list[AnswerOut]


def _address(text: str) -> str:
    return normalise_email(text)


class UnsubscribeIn(_In):
    """An address that wants no more marketing. Nothing has to be proved."""

    email: Annotated[SafeStr, AfterValidator(_address)] = Field(
        max_length=2 * MAX_CHARACTERS, examples=["anna@example.com"], json_schema_extra={"format": "email"}
    )
    reason: SafeStr | None = Field(None, max_length=MAX_REASON, description="Accepted, never asked for, never kept.")


class UnsubscribeOut(BaseModel):
    """The same for every address."""

    status: Literal["accepted"] = "accepted"


class LinkStatusOut(BaseModel):
    """How it stands with the person behind an unsubscribe link."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.LINK_STATUS]})

    consents: dict[Purpose, bool | None] = Field(description="null: not answered, or erased; it means no.")
    last_action: str | None = Field(examples=["consent.refused"], description="null when nothing is held any more.")
    last_action_at: datetime | None
