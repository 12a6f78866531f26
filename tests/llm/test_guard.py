"""What a model may do to our texts, tried on every text of the knowledge: whatever changes what is said is refused."""

import re
from collections.abc import Callable
from typing import Final, get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.engine.engine import Engine
from app.engine.llm import guard
from app.engine.types import Locale
from tests.llm.server import LIES

KNOWLEDGE: Final = Engine.load()._mind.lexicon
OURS: Final[list[tuple[Locale, str]]] = [
    (locale, text) for locale in get_args(Locale) for text in KNOWLEDGE.answers[locale].values()
]
WORDS: Final = sorted({word for _, text in OURS for word in re.findall(r"\w+", text)})
FACTS: Final = [
    *("nie", "bez", "brak", "not", "no", "without", "never", "nigdy", "tak", "yes", "tylko", "only"),
    *("pięćset", "half", "za darmo", "gratis", "free", "rabat", "zniżka", "discount", "połowa", "dwa razy"),
    *("500 zł", "20%", "1.12.2026", "+48 600 700 800", "12:30", "7", "mail@evil.example", "https://evil.example"),
    *("Comfort", "Premium", "Express", "Rzeszów", "Warszawa", "NovaHouse", "człowiek", "human", "<b>", "**", "?"),
]
ours = st.sampled_from(OURS)


def refused(locale: Locale, text: str, changed: str) -> bool:
    return guard.refusal(text, changed, locale=locale) is not None


def pieces(text: str) -> list[str]:
    """A text in words, numbers, signs and what stands between them."""
    return re.findall(r"\w+|\s+|[^\w\s]", text)


def test_our_own_text_is_never_refused_with_any_courtesy_or_without() -> None:
    for locale, text in OURS:
        assert not refused(locale, text, text)
        for courtesy in guard.COURTESIES[locale]:
            assert not refused(locale, text, f"{courtesy.capitalize()}! {text}")
            assert not refused(locale, text, f"{courtesy.capitalize()}: {text}.\n{guard.COURTESIES[locale][-1]}.")


@pytest.mark.parametrize("lie", LIES)
def test_no_lie_goes_out(lie: str) -> None:
    told = [(locale, text, LIES[lie](text)) for locale, text in OURS]
    assert [text for locale, text, changed in told if changed != text and not refused(locale, text, changed)] == []
    assert any(changed != text for _, text, changed in told)


@settings(max_examples=300, deadline=None, database=None)
@given(ours, st.data())
def test_nothing_can_be_put_in(chosen: tuple[Locale, str], data: st.DataObject) -> None:
    locale, text = chosen
    parts = pieces(text)
    at = data.draw(st.integers(0, len(parts)))
    new = data.draw(st.sampled_from(FACTS) | st.sampled_from(WORDS) | st.integers(0, 10**6).map(str))
    assert refused(locale, text, "".join([*parts[:at], f" {new} ", *parts[at:]]))
    assert refused(locale, text, "".join([*parts[:at], f". {new.capitalize()}. ", *parts[at:]]))


@settings(max_examples=300, deadline=None, database=None)
@given(ours, st.data())
def test_nothing_can_be_left_out(chosen: tuple[Locale, str], data: st.DataObject) -> None:
    locale, text = chosen
    parts = pieces(text)
    at = data.draw(st.sampled_from([index for index, part in enumerate(parts) if part[0].isalnum()]))
    left = "".join([*parts[:at], *parts[at + 1 :]])
    assert refused(locale, text, left)


@settings(max_examples=300, deadline=None, database=None)
@given(ours, st.data())
def test_nothing_can_be_exchanged(chosen: tuple[Locale, str], data: st.DataObject) -> None:
    locale, text = chosen
    parts = pieces(text)
    places = [index for index, part in enumerate(parts) if part[0].isalnum()]
    one, other = data.draw(st.tuples(st.sampled_from(places), st.sampled_from(places)))
    assume(parts[one].lower() != parts[other].lower())
    parts[one], parts[other] = parts[other], parts[one]
    assert refused(locale, text, "".join(parts))


@settings(max_examples=300, deadline=None, database=None)
@given(ours, st.data())
def test_no_digit_can_change_and_no_sign_within_a_number(chosen: tuple[Locale, str], data: st.DataObject) -> None:
    locale, text = chosen
    places = [match.start() for match in re.finditer(r"\d", text)]
    assume(places)
    at = data.draw(st.sampled_from(places))
    digit = data.draw(st.sampled_from("0123456789").filter(lambda new: new != text[at]))
    assert refused(locale, text, text[:at] + digit + text[at + 1 :])
    if at and text[at - 1].isdigit():
        assert refused(locale, text, text[:at] + data.draw(st.sampled_from("0123456789-.,:/ ")) + text[at:])


@settings(max_examples=300, deadline=None, database=None)
@given(ours, st.text(max_size=60))
def test_nothing_that_is_added_says_anything(chosen: tuple[Locale, str], more: str) -> None:
    locale, text = chosen
    if re.search(r"\w", more) and not any(courtesy in more.lower() for courtesy in guard.COURTESIES[locale]):
        assert refused(locale, text, f"{text} {more}")
        assert refused(locale, text, f"{more} {text}")


@settings(max_examples=300, deadline=None, database=None)
@given(st.text(max_size=200), st.text(max_size=200))
def test_no_text_is_too_odd_to_be_judged(one: str, other: str) -> None:
    guard.refusal(one, other, locale="pl")


STATEMENT: Final = (
    "Nie robimy ogrodów. Comfort 3, Premium 5, prace 6–8 tygodni, rabat 15% na materiały, 1.200 zł, od 12:30; "
    "niższą cenę daje prostszy pakiet, wyższą – szerszy wybór."
)
TURNED: Final[dict[str, Callable[[str], str]]] = {
    "a pause moves": lambda text: text.replace("Nie robimy", "Nie, robimy"),
    "more becomes less": lambda text: text.replace("niższą", "X").replace("wyższą", "niższą").replace("X", "wyższą"),
    "a package loses its number": lambda text: text.replace("Comfort 3", "Comfort 5").replace("Premium 5", "Premium 3"),
    "a range becomes a decimal": lambda text: text.replace("6–8", "6,8"),
    "thousands become a fraction": lambda text: text.replace("1.200", "1,200"),
    "a time becomes a fraction": lambda text: text.replace("12:30", "12,30"),
    "a statement becomes a question": lambda text: text.replace(".", "?", 1),
    "a sign in front": lambda text: text.replace("15%", "-15%"),
    "another first letter": lambda text: text.replace("cenę", "renę"),
    "spaces that no screen shows": lambda text: text.replace(" ", "\x1e"),
    "lines of another kind": lambda text: text.replace(" ", "\N{LINE SEPARATOR}"),
}


@pytest.mark.parametrize("turn", TURNED)
def test_true_parts_cannot_be_put_together_anew(turn: str) -> None:
    changed = TURNED[turn](STATEMENT)
    assert changed != STATEMENT
    assert refused("pl", STATEMENT, changed)


def test_sentences_may_be_joined_and_parted() -> None:
    joined = (
        STATEMENT.replace("; n", ". N").replace("ogrodów. Comfort", "ogrodów; Comfort").replace(", prace", " – prace")
    )
    assert joined != STATEMENT
    assert not refused("pl", STATEMENT, joined)


def test_a_name_keeps_its_capital_within_a_sentence() -> None:
    assert refused("pl", "Prace prowadzi NovaHouse w Gdyni.", "Prace prowadzi novaHouse w Gdyni.")
    assert refused("pl", "Prace prowadzi NovaHouse w Gdyni.", "Prace prowadzi NovaHouse w gdyni.")


def test_a_text_cannot_grow_without_end() -> None:
    assert guard.refusal("Dobrze.", "Dobrze." + "!" * 200, locale="pl") == "length"
    assert refused("pl", "Dobrze.", "DZIĘKUJĘ ZA PYTANIE. Dobrze.")
    many = " ".join(f"{courtesy.capitalize()}." for courtesy in guard.COURTESIES["pl"][:3])
    assert guard.refusal("Dajemy 36 miesięcy gwarancji.", f"Dajemy 36 miesięcy gwarancji. {many}", locale="pl") == (
        "courtesies"
    )
