"""Strings that strangers send: one type for all of them, so that no field forgets a check."""

import re
import unicodedata
from typing import Annotated, Final

from pydantic import AfterValidator, GetJsonSchemaHandler, StringConstraints
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

MAX_CHARACTERS: Final = 8_000
"""More than any field takes, and room for 2,000 letters of which each is written as a letter and three marks."""
MAX_MARKS: Final = 30
"""Combining characters in a row: what the Stream-Safe Text Format allows (UAX #15, section 13)."""

_ALLOWED_CONTROLS = frozenset("\n\t")
_MAYBE_MARKS: Final = re.compile(rf"[^\w\s\x00-\x7f]{{{MAX_MARKS + 1},}}")
_INVISIBLE: Final = re.compile(
    r"[\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]*"
)
"""Space, the characters that Unicode lets nobody see (Default_Ignorable_Code_Point), and the blank of Braille."""


def clean(value: str) -> str:
    """`value` in NFC and without surrounding space; ValueError when it holds what no text holds.

    NUL and lone surrogates cannot be stored in PostgreSQL; other control characters only serve to forge logs and
    terminals. Line breaks are normalised to one `\\n`. A text of which nothing can be seen is the empty one. Putting
    the marks on a letter in order is quadratic in their number, hence the bounds come first.
    """
    if len(value) > MAX_CHARACTERS:
        raise PydanticCustomError("string_too_long", "The text is too long.")
    if not value.isascii() and any(_too_many_marks(found.group()) for found in _MAYBE_MARKS.finditer(value)):
        raise PydanticCustomError("unsafe_text", "The text holds too many marks on one letter.")
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isprintable():
        for character in text:
            category = unicodedata.category(character)
            if category == "Cs" or (category == "Cc" and character not in _ALLOWED_CONTROLS):
                raise PydanticCustomError("unsafe_text", "The text holds a character that is not allowed.")
    return "" if _INVISIBLE.fullmatch(text) else unicodedata.normalize("NFC", text).strip()


def _too_many_marks(run: str) -> bool:
    """Whether more than MAX_MARKS of these follow each other; emoji are no marks."""
    marks = "".join("m" if unicodedata.category(character)[0] == "M" else " " for character in run)
    return "m" * (MAX_MARKS + 1) in marks


_PATTERN = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
"""The same for readers of the schema."""


class _Shown:
    """Puts `_PATTERN` into the schema; `clean` is what checks."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "pattern": _PATTERN}


SafeStr = Annotated[str, StringConstraints(strict=True), AfterValidator(clean), _Shown()]
"""Text from outside: strict, bounded, NFC, trimmed, without NUL, surrogates and control characters."""


def not_blank(value: str) -> str:
    """`value` itself; ValueError when nothing is left of it."""
    if not value:
        raise PydanticCustomError("blank_text", "The text is empty.")
    return value
