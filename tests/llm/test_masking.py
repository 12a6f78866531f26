"""What a model sees of a message: the question, and nobody in it."""

from datetime import UTC, datetime
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.engine import Engine
from app.engine.llm.masking import MASKED, MAX_CHARS
from app.engine.normalise import fold
from app.engine.types import Slots
from tests.evaluation import rules

MASKER: Final = Engine.load()._mind.masker
NOW: Final = datetime(2026, 11, 26, 10, tzinfo=UTC)

PERSONAL: Final = [
    ("Nazywam się Anna Kowalska i mam pytanie o gwarancję", ["Anna", "Kowalska"]),
    ("jestem anna kowalska, ile trwa gwarancja", ["anna", "kowalska"]),
    ("tu Marek Nowak, czy robicie balkony?", ["Marek", "Nowak"]),
    ("Proszę dzwonić do pani Krystyny Dąb-Nowackiej", ["Krystyny", "Nowackiej"]),
    ("My name is John Smith, do you do gardens?", ["John", "Smith"]),
    ("mój telefon 691 222 333", ["691", "222", "333"]),
    ("tel. +48-691-222-333 albo 22 123 45 67", ["691", "333", "123 45"]),
    ("sześć dziewięć jeden dwa dwa dwa trzy trzy trzy", ["dziewięć", "trzy"]),
    ("sześćset dziewięćdziesiąt jeden dwieście dwadzieścia dwa trzysta trzydzieści trzy", ["dziewięćdziesiąt"]),
    ("piszcie na jan.kowalski@example.com", ["kowalski", "example"]),
    ("mail: jan małpa example kropka com", ["example", "jan"]),
    ("PESEL 90010112345, dowód ABC123456", ["90010112345", "123456"]),
    ("konto 12 1020 1026 0000 0422 7020 1111", ["1020", "7020"]),
    ("mieszkam na ul. Długiej 5/3 w Gdańsku, 80-180", ["Długiej", "5/3", "Gdańsku", "80-180"]),
    ("mój profil to https://facebook.com/anna.k i www.anna.pl", ["facebook", "anna"]),
]


@pytest.mark.parametrize(("message", "hidden"), PERSONAL)
def test_what_says_who_writes_is_blank(message: str, hidden: list[str]) -> None:
    masked = MASKER.mask(message, Slots())
    assert MASKED in masked
    assert [part for part in hidden if fold(part) in fold(masked)] == [], masked


def test_what_is_known_of_the_visitor_is_blank_wherever_it_stands() -> None:
    known = Slots(name="Zenobia Ćwierćdupa", city="Gdynia")
    assert MASKER.mask("czy zenobia ćwierćdupa dostanie gwarancję w gdynia?", known) == (
        f"czy {MASKED} {MASKED} dostanie gwarancję w {MASKED}?"
    )


@pytest.mark.parametrize(
    "message",
    [
        "Ile trwa gwarancja na panele i drzwi?",
        "Czy w Comforcie są wizualizacje 3D?",
        "czy robicie balkony i tarasy w domu 120 m2",
        "Is the kitchen included in the Premium package?",
    ],
)
def test_a_question_stays_readable(message: str) -> None:
    assert MASKER.mask(message, Slots()) == message


def test_contact_data_of_all_our_conversations_is_blank() -> None:
    for conversation in rules.own():
        masked = " ".join(MASKER.mask(turn, Slots()) for turn in conversation.turns)
        digits = "".join(character for character in masked if character.isdigit())
        for slot in ("phone", "email"):
            value = conversation.slots.get(slot)
            if isinstance(value, str):
                assert value.removeprefix("+48") not in digits, masked
                assert "@" not in masked, masked
        name = conversation.slots.get("name")
        if isinstance(name, str):
            assert [part for part in fold(name).split() if part in fold(masked).split()] == [], masked


@settings(max_examples=200, deadline=None, database=None)
@given(st.text(max_size=3_000))
def test_masking_ends_with_something_short(message: str) -> None:
    assert len(MASKER.mask(message, Slots(name=message[:50]))) <= MAX_CHARS
