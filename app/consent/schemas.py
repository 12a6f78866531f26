"""What consent looks like on the wire."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ConsentTextOut(BaseModel):
    """The exact words to show before asking, and how to name them in an answer."""

    model_config = ConfigDict(from_attributes=True)

    purpose: Literal["rodo", "marketing_email", "marketing_phone"]
    version: int = Field(examples=[1])
    locale: Literal["pl", "en"]
    body: str
    sha256: str = Field(description="SHA-256 of `body` in UTF-8, as hex.", pattern="^[0-9a-f]{64}$")


class ConsentTextsOut(BaseModel):
    """Every current text."""

    items: list[ConsentTextOut]
