"""A pattern that knows what it needs finds what the bare expression finds."""

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import app.engine
from app.engine.normalise import read
from app.engine.patterns import Pattern, needs, signs
from app.engine.slots.package import PackageIndex
from tests.engine.talking import engine

CONVERSATIONS = Path(__file__).parents[1] / "evaluation" / "conversations"


def _held(value: object) -> Iterator[Pattern]:
    if isinstance(value, Pattern):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _held(part)


@cache
def every_pattern() -> tuple[Pattern, ...]:
    """All patterns that the engine's modules hold, and those of the packages."""
    found = [
        pattern
        for module in pkgutil.walk_packages(app.engine.__path__, "app.engine.")
        for value in vars(importlib.import_module(module.name)).values()
        for pattern in _held(value)
    ]
    index = PackageIndex(engine()._mind.lexicon.knowledge.packages.packages)
    return tuple(dict.fromkeys([*found, *(pattern for _, pattern in index._patterns)]))


def spans(matches: Iterator[re.Match[str]]) -> list[tuple[int, int]]:
    return [match.span() for match in matches]


def test_each_pattern_of_the_engine_spares_some_texts() -> None:
    assert len(every_pattern()) > 40
    for pattern in every_pattern():
        assert not pattern.may_match(signs("xyz")), pattern.regex.pattern


@settings(max_examples=100, deadline=None, database=None)
@given(st.data())
def test_what_a_pattern_describes_is_found(data: st.DataObject) -> None:
    pattern = data.draw(st.sampled_from(every_pattern()))
    text = data.draw(st.from_regex(pattern.regex))
    assert spans(pattern.finditer(text, signs(text))) == spans(pattern.regex.finditer(text)), pattern.regex.pattern


def test_what_visitors_write_is_found_as_by_the_bare_expression() -> None:
    lines = [line for path in sorted(CONVERSATIONS.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines()]
    texts = {text for line in lines for text in json.loads(line)["turns"]}
    assert len(texts) > 1500
    found = 0
    for text in map(read, sorted(texts)):
        for pattern in every_pattern():
            for form in (text.folded, text.joined):
                match = pattern.regex.search(form)
                found += match is not None
                assert (match is None) == (pattern.search(form, text.signs) is None), (form, pattern.regex.pattern)
    assert found > 5000


WRITTEN = (
    ("a", "a"), ("b", "b"), ("abc", "abc"), ("abab", "abab"), ("aba b", "aba b"), (" ", " "), ("-", "-"), ("1", "1"),
    ("@", "@"), ("a?", ""), ("b+", "bbb"), ("[ab]", "b"), ("[a ]", " "), ("[a ]", "a"), ("[^a]", "c"), (".", "b"),
    (r"\w", "c"), (r"\w*", "ab"), (r"\W+", " "), (r"\s?", ""), (r"\d{3}", "123"), (r"\d", "2"), (r"\b", ""), ("^", ""),
    ("$", ""), ("(?<= )", ""), ("(?= )", ""), ("(?=a)", ""), ("(?!a)", ""), (r"(?<!\w)", ""),
)  # fmt: skip
"""Expressions, each with a text that it may match."""
Written = tuple[str, str]


def _sequence(parts: list[Written]) -> Written:
    return "".join(expression for expression, _ in parts), "".join(text for _, text in parts)


def _group(branches: list[Written], chosen: int, times: str) -> Written:
    text = branches[chosen % len(branches)][1]
    said = {"": text, "?": "", "{2}": text * 2, "{0,2}?": text, "{1,3}": text}[times]
    return f"(?:{'|'.join(expression for expression, _ in branches)}){times}", said


EXPRESSIONS = st.recursive(
    st.sampled_from(WRITTEN),
    lambda inner: st.builds(
        _group,
        st.lists(st.lists(inner, max_size=3).map(_sequence), min_size=1, max_size=3),
        st.integers(0, 2),
        st.sampled_from(["", "?", "{2}", "{0,2}?", "{1,3}"]),
    ),
    max_leaves=6,
)
STARTS = st.sampled_from([(r"\b", ""), (" ", " "), ("", "")])
AROUND = st.sampled_from(["", "", " ", "a", "ba ", "1", " cab"])


@settings(max_examples=1000, deadline=None, database=None)
@given(
    st.builds(lambda start, rest: _sequence([start, *rest]), STARTS, st.lists(EXPRESSIONS, max_size=5)), AROUND, AROUND
)
def test_no_expression_is_thought_to_need_what_it_does_not(written: Written, before: str, after: str) -> None:
    pattern, text = Pattern(written[0]), before + written[1] + after
    assert spans(pattern.finditer(text, signs(text))) == spans(pattern.regex.finditer(text))


@pytest.mark.parametrize(
    ("expression", "needed"),
    [
        (r"\b(?:usun|kasuj)\w*", {"usun", "kasu"}),
        (r"\b(?:ile|co)\b(?:\W+\w+){0,4}?\W+(?:poprzedni|ostatni)", {"popr", "osta"}),
        (r"\b(?:ab)?cde", {"abcd", "cde"}),
        (r"\b(?:a){2}bcd", None),
        (r"\bb+abc", None),
        (r"\be-?mail", {"e", "emai"}),
        (r"(?<= )dan(?:e|ych)(?= )", {"dane", "dany"}),
        (r" (?:tel|numer)?\d{2,3}[ -]?\d{3}", {"00000"}),
        (r"[^\s@]+@[^\s]+", {"@"}),
        (r"\{\{", {"{"}),
        ("dzwon", None),
        (r"\b(?:tak)?", None),
        (r"\bz\w+", None),
        (r"(?i)\bTak\b", None),
        (r"\b(?i:Tak)\b", None),
        (r"\b(?:tak|.)", None),
    ],
)
def test_what_is_needed(expression: str, needed: set[str] | None) -> None:
    assert needs(expression) == needed
