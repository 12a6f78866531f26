"""What a text may hold, wherever it comes from."""

import pytest
from pydantic import TypeAdapter
from pydantic_core import PydanticCustomError

from app.core.text import SafeStr, clean


@pytest.mark.parametrize("text", ["\0", "a\ud800b", "\x1b[31m", "\x85", "\x7f"], ids=ascii)
def test_what_no_text_holds_is_refused(text: str) -> None:
    with pytest.raises(PydanticCustomError):
        clean(text)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [("Lo\u0301dz\u0301", "Łódź".replace("Ł", "L")), ("  a\r\nb\rc  ", "a\nb\nc"), ("a\tb", "a\tb"), ("👩‍🔧", "👩‍🔧")],
)
def test_what_remains_is_one_composition_and_one_kind_of_line(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_a_safe_text_is_cleaned_and_is_no_number() -> None:
    adapter = TypeAdapter(SafeStr)
    assert adapter.validate_python(" a ") == "a"
    with pytest.raises(ValueError, match="string"):
        adapter.validate_python(1)
