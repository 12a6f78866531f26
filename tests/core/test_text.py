"""What a text may hold, wherever it comes from."""

import pytest
from pydantic import TypeAdapter
from pydantic_core import PydanticCustomError

from app.core.text import MAX_CHARACTERS, MAX_MARKS, SafeStr, clean


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


@pytest.mark.parametrize(
    "text",
    [
        "a" + "\u0300" * (MAX_MARKS + 1),
        "👩‍🔧" * 20 + "\u0316\u0300" * MAX_MARKS,
        "\u0f73" * (MAX_MARKS + 1),
        "a" * (MAX_CHARACTERS + 1),
    ],
    ids=["marks", "marks behind emoji", "marks of no class that consist of some", "letters"],
)
def test_what_is_costly_to_compose_is_refused(text: str) -> None:
    with pytest.raises(PydanticCustomError):
        clean(text)


@pytest.mark.parametrize(
    "text", ["a" + "\u0300" * MAX_MARKS, "👩‍🔧" * 100, "e\u0302\u0301" * 2_000, "ก็็็็", "„—…”" * 100], ids=ascii
)
def test_what_people_write_is_not(text: str) -> None:
    assert clean(text)


@pytest.mark.parametrize(
    "text", ["", " \n", "\u202e\u200b", "\u200d \ufeff", "\u3164\u115f", "\u2800", "\U000e0041\ufe0f"], ids=ascii
)
def test_a_text_of_which_nothing_can_be_seen_is_empty(text: str) -> None:
    assert clean(text) == ""
    assert clean(f"{text}a") != ""


def test_a_safe_text_is_cleaned_and_is_no_number() -> None:
    adapter = TypeAdapter(SafeStr)
    assert adapter.validate_python(" a ") == "a"
    with pytest.raises(ValueError, match="string"):
        adapter.validate_python(1)
