"""What the contact form looks like on the wire."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from app.consent.service import Purpose
from app.conversations import examples
from app.conversations.consent_schemas import AnswerIn
from app.conversations.schemas import ContextOut
from app.core.addresses import MAX_CHARACTERS, normalise_email
from app.core.text import SafeStr
from app.engine.slots.contact import phone_number

MAX_NAME: Final = 80
MAX_PHONE: Final = 40


def _name(text: str) -> str:
    if not text.isprintable() or not any(character.isalpha() for character in text):
        raise PydanticCustomError("name", "This is not a name.")
    return text


def _phone(text: str) -> str:
    found = phone_number(text)
    if found is None:
        raise PydanticCustomError("phone_number", "This is not a telephone number.")
    return found


def _email(text: str) -> str:
    try:
        return normalise_email(text)
    except ValueError:
        raise PydanticCustomError("email", "This is not an e-mail address.") from None


def _one_each(given: "list[ConsentIn]") -> "list[ConsentIn]":
    if len({each.purpose for each in given}) < len(given):
        raise PydanticCustomError("purpose_twice", "A purpose is answered twice.")
    return given


class ConsentIn(AnswerIn):
    """An answer to one purpose, whose text the form showed. What is not in the list was not asked."""

    purpose: Purpose


def _reachable(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"required": [name], "properties": {name: {"type": "string"}}} for name in ("phone", "email")]


class ContactIn(BaseModel):
    """What to call and how to reach the visitor: a number, an address, or both. null or absent: as it was."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=_reachable)

    name: Annotated[SafeStr, AfterValidator(_name)] | None = Field(None, max_length=MAX_NAME, examples=["Anna Nowak"])
    phone: Annotated[SafeStr, AfterValidator(_phone)] | None = Field(
        None,
        max_length=MAX_PHONE,
        description="As people write it; without a country code it is a Polish one.",
        examples=["691 222 333"],
    )
    email: Annotated[SafeStr, AfterValidator(_email)] | None = Field(
        None, max_length=2 * MAX_CHARACTERS, examples=["anna@example.com"], json_schema_extra={"format": "email"}
    )
    consents: Annotated[list[ConsentIn], AfterValidator(_one_each)] = Field(
        default_factory=list,
        max_length=3,
        description="Each purpose by itself, at most once.",
        examples=[[examples.CONSENT]],
    )

    @model_validator(mode="after")
    def _reaches_somebody(self) -> Self:
        if self.phone is None and self.email is None:
            raise PydanticCustomError("no_contact", "A telephone number or an e-mail address is needed.")
        return self


class ContactOut(BaseModel):
    """What is known now."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [examples.CONTACT]})

    context: ContextOut
    state: Literal["open", "handoff", "closed"]
