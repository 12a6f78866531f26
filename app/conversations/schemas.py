"""What the chat looks like on the wire."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.conversations import examples
from app.core.text import SafeStr, not_blank

MAX_TEXT = 2_000
MAX_AREA = 10_000
_HUNDREDTH = Decimal("0.01")

PackageName = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", description="A package's id, as GET /v1/packages lists them.")
]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SessionIn(_In):
    """How to open a session."""

    locale: Literal["pl", "en"] = Field("pl", description="Language of the greeting; replies follow the visitor.")


class QuickReplyOut(BaseModel):
    """A suggestion to tap."""

    label: str = Field(examples=["Wycena"])
    text: str = Field(description="What to send when it is tapped.", examples=["Ile kosztuje wykończenie?"])


class PrivacyOut(BaseModel):
    """Who is responsible for the visitor's data."""

    controller: str
    contact: str
    notice: str


class SessionOut(BaseModel):
    """A new conversation. Keep `session_token`: it is shown once and opens this conversation only."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.SESSION]})

    session_id: UUID
    session_token: str = Field(description="256-bit secret; send it as `Authorization: Bearer`.")
    disclosure: str = Field(description="Says that an automated assistant answers (EU AI Act, art. 50).")
    greeting: str
    quick_replies: list[QuickReplyOut]
    privacy: PrivacyOut


class MessageIn(_In):
    """One message of the visitor."""

    text: Annotated[SafeStr, AfterValidator(not_blank)] = Field(
        max_length=MAX_TEXT,
        examples=["Mam 52m2 w Warszawie, pakiet Premium, proszę o kontakt 691 222 333"],
    )
    client_message_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="Makes sending safe to repeat: the same id and text give the same answer and are stored once.",
        examples=["5f0c1c52-0c5b-4c4c-9a53-7e2a4e6f9a10"],
    )


class MessageOut(BaseModel):
    """One bubble, of either side."""

    id: UUID
    seq: int = Field(description="Position in the conversation, from 1, without gaps.", examples=[3])
    role: Literal["visitor", "bot", "human"]
    type: Literal["text", "quote", "packages", "booking", "form", "followup"]
    text: str
    data: dict[str, Any] | None = Field(description="The same facts for programs, for example a quote's numbers.")
    quick_replies: list[QuickReplyOut]
    created_at: datetime


class VisitorMessageOut(MessageOut):
    """The visitor's own message as it was stored."""

    client_message_id: str | None


class ContextOut(BaseModel):
    """What the visitor told us so far. null: not said."""

    area_m2: float | None = Field(examples=[52])
    package: PackageName | None = Field(examples=["premium"])
    city: str | None = Field(examples=["Warszawa"])
    budget_pln: int | None
    name: str | None
    phone: str | None = Field(description="E.164", examples=["+48691222333"])
    email: str | None
    property_type: Literal["apartment", "house", "commercial"] | None
    consent_contact: bool | None = Field(description="The answer to the purpose `rodo`; null means not answered.")
    consent_marketing: bool | None


class TurnOut(BaseModel):
    """The stored message, what we answer, and what is known now."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.TURN]})

    message: VisitorMessageOut
    replies: list[MessageOut]
    context: ContextOut
    state: Literal["open", "handoff", "closed"]


class MessagesOut(BaseModel):
    """A page of the conversation, oldest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.MESSAGES]})

    items: list[MessageOut]
    next_cursor: int | None = Field(description="Pass it as `after` to read on; null at the end.")


class HandoffIn(_In):
    """A wish for a person."""

    reason: Annotated[SafeStr, AfterValidator(not_blank)] | None = Field(
        None,
        max_length=MAX_TEXT,
        description="What it is about; stored as a message of the visitor.",
        examples=["Chcę omówić umowę."],
    )


class HandoffOut(BaseModel):
    """A conversation that a person answers from now on. The bot is silent until they release it."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.HANDOFF]})

    state: Literal["handoff"] = "handoff"
    requested_at: datetime
    people_are_there: bool = Field(description="At this moment.")
    back_at: datetime | None = Field(description="When the office opens next; null while it is open.")
    text: str = Field(
        description="What to show, as of now.",
        examples=["Dobrze, odpowie tu człowiek. Zespół będzie dostępny w poniedziałek od 9:00."],
    )
    replies: list[MessageOut] = Field(
        description="What this request has put into the conversation; none when repeated."
    )


class PackageOut(BaseModel):
    """One package as we sell it. Prices are gross PLN for one square metre."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [examples.PACKAGE]})

    id: PackageName
    name: str = Field(examples=["Premium"])
    price_per_m2: Decimal = Field(description="The lower end where the price is a range.", examples=["1999"])
    price_per_m2_max: Decimal | None = Field(description="The upper end of a range, else null.")
    price_valid_from: date
    vat_percent: int
    summary: str
    highlights: list[str]
    most_chosen: bool


class PackagesOut(BaseModel):
    """Every package, the cheapest first."""

    items: list[PackageOut]


def _area(value: object) -> object:
    """A number of JSON in square metres, rounded to two decimals."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("number", "An area is a number.")
    return Decimal(str(value)).quantize(_HUNDREDTH) if abs(value) <= MAX_AREA else Decimal(value)


class QuoteIn(_In):
    """What to estimate."""

    area_m2: Annotated[
        Decimal,
        Field(gt=0, le=MAX_AREA),
        BeforeValidator(_area),
        WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": MAX_AREA}),
    ] = Field(examples=[52], description="Square metres; more than two decimals are rounded.")
    package: PackageName = Field(examples=["premium"])
    locale: Literal["pl", "en"] = "pl"


class QuoteOut(BaseModel):
    """An estimate, never an offer: area times the price that is valid today, VAT included."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [examples.QUOTE]})

    package: PackageName
    package_name: str
    area_m2: Decimal
    price_per_m2: Decimal
    price_per_m2_max: Decimal | None
    total_pln: Decimal = Field(description="The lower end where the price is a range.", examples=["103948.00"])
    total_min: Decimal | None
    total_max: Decimal | None
    price_valid_from: date
    vat_percent: int
    assumptions: str = Field(description="What the estimate takes for granted; show it with the number.")
