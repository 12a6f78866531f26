"""Tables and ages on a terminal, without a terminal."""

from datetime import UTC, datetime, timedelta

import pytest

from app.cli.output import WIDTH, age, facts, since, table, until

NOW = datetime(2026, 1, 31, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3_599, "59 min"), (7_200, "2 h"), (200_000, "2 d")],
)
def test_an_age_has_one_unit(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_what_never_was_is_a_dash() -> None:
    assert since(None, NOW) == until(None, NOW) == "-"
    assert since(NOW - timedelta(minutes=3), NOW) == "3 min"
    assert until(NOW + timedelta(minutes=3), NOW) == "in 3 min"
    assert until(NOW - timedelta(minutes=3), NOW) == "now"


def test_columns_are_aligned_and_the_last_is_cut() -> None:
    text = table(("A", "LONG"), [("abc", None), ("x", "y\n" * 200)])
    first, second, third = text.splitlines()
    assert (first, second) == ("A    LONG", "abc  -")
    assert third.startswith("x    y y y")
    assert third.endswith("…")
    assert len(third) == WIDTH


def test_facts_are_aligned() -> None:
    assert facts([("a", 1), ("long", None)]) == "a     1\nlong  -"
