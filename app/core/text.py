"""Strings that strangers send: one type for all of them, so that no field forgets a check."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, GetJsonSchemaHandler, StringConstraints
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

_ALLOWED_CONTROLS = frozenset("\n\t")


def clean(value: str) -> str:
    """`value` in NFC and without surrounding space; ValueError when it holds what no text holds.

    NUL and lone surrogates cannot be stored in PostgreSQL; other control characters only serve to forge logs and
    terminals. Line breaks are normalised to one `\\n`.
    """
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isprintable():
        for character in text:
            category = unicodedata.category(character)
            if category == "Cs" or (category == "Cc" and character not in _ALLOWED_CONTROLS):
                raise PydanticCustomError("unsafe_text", "The text holds a character that is not allowed.")
    return unicodedata.normalize("NFC", text).strip()


_PATTERN = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
"""The same for readers of the schema."""


class _Shown:
    """Puts `_PATTERN` into the schema; `clean` is what checks."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "pattern": _PATTERN}


SafeStr = Annotated[str, StringConstraints(strict=True), AfterValidator(clean), _Shown()]
"""Text from outside: strict, NFC, trimmed, without NUL, surrogates and control characters."""


def not_blank(value: str) -> str:
    """`value` itself; ValueError when nothing is left of it."""
    if not value:
        raise PydanticCustomError("blank_text", "The text is empty.")
    return value
