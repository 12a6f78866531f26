"""What consent looks like on the wire."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

SHA256: Final = "d8f7c110149dd1d9c555e3c9de10ade8b6643720ec8da8e04489e9108fd4e882"
"""Of the text in the example."""
_TEXT: Final[dict[str, Any]] = {
    "purpose": "rodo",
    "version": 1,
    "locale": "pl",
    "body": "Czy zgadzasz się, aby NovaHouse Sp. z o.o. przetwarzała podane dane i skontaktowała się z Tobą w sprawie "
    "oferty? Zgoda jest dobrowolna i możesz ją wycofać w każdej chwili, na przykład tu w rozmowie.",
    "sha256": SHA256,
}


class ConsentTextOut(BaseModel):
    """The exact words to show before asking, and how to name them in an answer."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_TEXT]})

    purpose: Literal["rodo", "marketing_email", "marketing_phone"]
    version: int = Field(examples=[1])
    locale: Literal["pl", "en"]
    body: str
    sha256: str = Field(description="SHA-256 of `body` in UTF-8, as hex.", pattern="^[0-9a-f]{64}$")


class ConsentTextsOut(BaseModel):
    """Every current text."""

    items: list[ConsentTextOut]
