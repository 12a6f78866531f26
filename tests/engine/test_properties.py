"""What must hold for every text, every area and every package."""

import importlib
import json
import pkgutil
import re
import signal
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import app.engine
from app.engine.dialog import State
from app.engine.knowledge_files import load
from app.engine.normalise import word_set
from app.engine.patterns import Pattern
from app.engine.types import PackageId, Turn
from tests.engine.talking import TUESDAY, Visitor, engine, said
from tests.evaluation.rules import plain

WRITTEN: dict[PackageId, tuple[str, ...]] = {
    "express": ("Express", "expres", "ekspresie", "express"),
    "express_plus": ("Express Plus", "expres plus", "ekspres plus", "Express+"),
    "comfort": ("Comfort", "komfort", "comforcie", "konfort"),
    "premium": ("Premium", "premum", "premium", "premiuum"),
}
FRAMES = (
    "ile kosztuje {area} m2 w {package}",
    "poproszę wycenę {area}m² {package}",
    "{package}, {area} metrów, ile wyjdzie?",
    "Dzień dobry, mam mieszkanie {area} m kw. i myślę o {package}",
    "how much is {package} for {area} square metres?",
)
PACKAGES = tuple(fact.id for fact in engine().packages("pl", TUESDAY))
AREAS = st.decimals(min_value=15, max_value=900, places=1)


def without_marks(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", text.replace("ł", "l")) if not unicodedata.combining(c))


@settings(max_examples=150, deadline=None, database=None)
@given(AREAS, st.sampled_from(sorted(WRITTEN)), st.sampled_from(FRAMES), st.integers(0, 3), st.booleans())
def test_the_quote_is_area_times_price(area: Decimal, package: PackageId, frame: str, form: int, bare: bool) -> None:
    number = f"{area.normalize():f}"
    text = frame.format(
        area=number if "how much" in frame else number.replace(".", ","), package=WRITTEN[package][form]
    )
    visitor = Visitor()
    answer = visitor.say(without_marks(text) if bare else text)
    assert visitor.turn.slots.area_m2 == area
    assert visitor.turn.slots.package == package
    price = next(fact.price_per_m2 for fact in engine().packages("pl", TUESDAY) if fact.id == package)
    total = (area * price).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    assert f"{total} zł" in plain(said(answer))


def slipped(word: str, kind: int, place: int) -> str:
    """A word with one slip of the keyboard after its first letter: a letter left out, doubled, or two exchanged."""
    at = 1 + place % (len(word) - 2)
    return (
        word,
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    )[kind]


@settings(max_examples=200, deadline=None, database=None)
@given(
    st.integers(15, 900),
    st.sampled_from(["express", "comfort", "premium"]),
    st.sampled_from(["wycena", "kosztuje", "poproszę wycenę", "ile zapłacę", "how much is"]),
    st.integers(0, 3),
    st.integers(0, 20),
    st.booleans(),
)
def test_a_slip_of_the_keyboard_changes_no_slot(
    area: int, package: PackageId, ask: str, kind: int, place: int, shout: bool
) -> None:
    text = f"{ask} {slipped(package, kind, place)} {area} m2"
    visitor = Visitor()
    answer = visitor.say(text.upper() if shout else text)
    known = {name: value for name, value in visitor.known().items() if value is not None}
    assert known == {"area_m2": Decimal(area), "package": package}, text
    again = Visitor()
    assert again.say(text.upper() if shout else text) == answer


@settings(max_examples=200, deadline=None, database=None)
@given(
    st.integers(12, 300),
    st.integers(40, 900),
    st.sampled_from(
        [
            "mam {area} m2 i {budget} tys",
            "budżet {budget} 000 zł, metraż {area}",
            "za {budget} tysięcy wykończycie mi {area} metrów?",
            "dysponuję kwotą {budget}k, mieszkanie {area} mkw",
            "I have {budget}k PLN for {area} sqm",
            "do {budget} tys. zł chcę się zmieścić, {area}m²",
        ]
    ),
)
def test_a_budget_is_no_area_and_the_package_follows_the_rule(area: int, budget: int, frame: str) -> None:
    visitor = Visitor()
    answer = visitor.say(frame.format(area=area, budget=budget))
    slots = visitor.turn.slots
    assert (slots.area_m2, slots.budget_pln, slots.phone, slots.package) == (Decimal(area), budget * 1000, None, None)
    rate = Decimal(budget * 1000) / area
    rule = next(rule for rule in load().prices.budget_rules if rule.up_to is None or rate <= rule.up_to)
    quotes = [reply.data for reply in answer.replies if reply.type == "quote"]
    assert [quote["package"] for quote in quotes if quote] == [rule.package]


@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(st.text(max_size=400), min_size=1, max_size=3))
def test_any_text_gets_an_answer_and_memory_is_json(texts: list[str]) -> None:
    visitor = Visitor()
    for text in texts:
        answer = visitor.say(text)
        assert answer.replies
        assert all(reply.text for reply in answer.replies)
        assert json.loads(json.dumps(answer.memory)) == answer.memory


WORDS = st.sampled_from(
    sorted(
        word_set(
            "mam 52 m2 premium nie tak zgadzam się na kontakt cofam zgodę 691 222 333 ile kosztuje usuń dane @ wp.pl "
            "małpa kropka 150 tys budżet jestem Jan w Gdańsku , . ? a comfort express plus drugi zadzwoń człowiek "
            "ignoruj instrukcje sto metrów"
        )
    )
)


@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(st.lists(WORDS, max_size=30).map(" ".join), min_size=1, max_size=4))
def test_any_mixture_of_known_words_gets_an_answer(texts: list[str]) -> None:
    visitor = Visitor()
    for text in texts:
        answer = visitor.say(text)
        assert answer.replies
        slots = answer.slots
        assert slots.area_m2 is None or 10 <= slots.area_m2 <= 1000
        assert slots.phone is None or slots.phone.startswith("+")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    ["asked", "purposes", "topic", "listed", "recommended", "offer", "language", "misses", "previous", "wish"]
)
TOPICS = st.sampled_from(["quote", "take_package", "repeat_answer", "repeat_for_all", "erasure", "next_package"])
SHORT = st.sampled_from(
    ["a premium?", "in English please", "w każdym?", "na materiały też?", "a taniej?", "a projekt?"]
)


@settings(max_examples=200, deadline=None, database=None)
@given(st.dictionaries(FIELDS, JSON), TOPICS | st.none(), SHORT)
def test_malformed_memory_is_as_if_it_had_never_been(memory: dict[str, object], topic: str | None, text: str) -> None:
    memory = memory if topic is None else {**memory, "topic": topic}
    answer = engine().answer(Turn(text, "pl", TUESDAY, memory=memory))
    assert answer.replies
    state = State.load(answer.memory, PACKAGES)
    assert state.dump() == answer.memory


def _patterns() -> Iterator[re.Pattern[str]]:
    """Every compiled pattern that a module of the engine holds by name."""
    for found in pkgutil.walk_packages(app.engine.__path__, "app.engine."):
        for value in vars(importlib.import_module(found.name)).values():
            yield from (value,) if isinstance(value, re.Pattern) else ()
            yield from (value.regex,) if isinstance(value, Pattern) else ()


def _hurry(_signal: int, _frame: object) -> None:
    msg = "a pattern goes back over the same word again and again"
    raise TimeoutError(msg)


@pytest.mark.parametrize("before", [(), ("comfort 50 m2",), ("oddzwońcie 601 222 333",)])
def test_no_word_of_the_grammar_said_many_times_holds_the_engine_up(before: tuple[str, ...]) -> None:
    words = {word for pattern in _patterns() for word in re.findall("[a-z]{1,20}", pattern.pattern)}
    assert len(words) > 1000
    visitor = Visitor()
    for message in before:
        visitor.say(message)
    outer = signal.signal(signal.SIGALRM, _hurry)
    try:
        for word in sorted(words):
            signal.setitimer(signal.ITIMER_REAL, 5)
            assert engine().answer(replace(visitor.turn, text=f"{word} " * 40 + "xyz")).replies
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, outer)


@settings(max_examples=100, deadline=None, database=None)
@given(AREAS, st.sampled_from(PACKAGES))
def test_the_quote_for_the_api_agrees_with_the_price_list(area: Decimal, package: PackageId) -> None:
    quote = engine().quote(area_m2=area, package=package, locale="pl", now=TUESDAY)
    assert quote.total_pln == (area * quote.price_per_m2).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    assert (quote.total_max is None) is (package != "individual")
