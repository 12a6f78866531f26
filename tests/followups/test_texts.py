"""What follow-ups say: what was talked about, today's price of the calculator, and a no that the chat understands."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine import consent, normalise
from app.engine.engine import Engine
from app.engine.knowledge import FollowupFile
from app.engine.knowledge_files import load
from app.engine.types import Locale, Slots
from tests.followups.people import NOON

ENGINE = Engine.load()
FULL = Slots(area_m2=Decimal(52), package="premium", city="Warszawa", property_type="apartment")
LOCALES: tuple[Locale, ...] = ("pl", "en")


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_each_says_what_was_talked_about_and_what_it_costs(number: int) -> None:
    polish = plain(ENGINE.followup(number, slots=FULL, locale="pl", now=NOON))
    assert "wykończeniu mieszkania w Warszawie" in polish
    assert "Ceny z dnia 26.11.2026. Pakiet Premium, 52 m²: orientacyjnie 103 948 zł" in polish
    assert "szacunek" in polish
    english = plain(ENGINE.followup(number, slots=FULL, locale="en", now=NOON))
    assert "finishing a flat in Warszawa" in english
    assert "103 948 zł" in english
    assert "non-binding estimate" in english


def test_each_number_says_something_else_and_later_ones_repeat_the_last() -> None:
    for locale in LOCALES:
        texts = [ENGINE.followup(number, slots=FULL, locale=locale, now=NOON) for number in (1, 2, 3, 4, 100)]
        subjects = {ENGINE.followup_mail(number, locale=locale, now=NOON).subject for number in (1, 2, 3, None)}
        assert len(set(texts)) == 3
        assert texts[2] == texts[3] == texts[4]
        assert len(subjects) == 4


def test_an_unknown_or_unserved_city_is_left_out() -> None:
    for city in ("Paryż", "Kraków", None):
        text = ENGINE.followup(1, slots=Slots(city=city), locale="pl", now=NOON)
        assert "o wykończeniu pod klucz, więc" in text


facts = st.builds(
    Slots,
    area_m2=st.none() | st.decimals(Decimal(1), Decimal(2000), places=2),
    package=st.sampled_from([None, "express", "express_plus", "comfort", "premium", "individual"]),
    city=st.sampled_from([None, "Warszawa", "Wrocław", "Atlantyda"]),
    property_type=st.sampled_from([None, "apartment", "house", "commercial"]),
)


@given(facts, st.integers(1, 100), st.sampled_from(LOCALES), st.datetimes(timezones=st.just(UTC)))
def test_whatever_is_known_the_text_is_whole(slots: Slots, number: int, locale: Locale, now: datetime) -> None:
    text = ENGINE.followup(number, slots=slots, locale=locale, now=now)
    assert not {"{", "}"} & set(text)
    assert "None" not in text
    assert "  " not in text
    assert "zł" in text
    assert 100 < len(text) < 1500
    assert text.endswith(ENGINE.followup_mail(number, locale=locale, now=now).refuse)


@pytest.mark.parametrize("locale", LOCALES)
def test_the_words_that_refuse_are_understood(locale: Locale) -> None:
    words = load().followups.refusal.get(locale)
    assert words in ENGINE.followup_mail(1, locale=locale, now=NOON).refuse
    stated = consent.read(normalise.read(words, normalise.Corrector(set(), set())), ())
    assert [(decision.purpose, decision.granted) for decision in stated.decisions] == [("marketing_email", False)]


@pytest.mark.parametrize("broken", ["{price} {nobody}", "no price", "{price} {0}"])
def test_a_text_that_cannot_be_filled_is_refused_at_start(broken: str) -> None:
    known = load()
    words = known.followups.model_dump()
    words["steps"][0]["text"]["en"] = broken
    with pytest.raises(ValueError, match=r"price|fills"):
        known.model_validate(known.model_dump() | {"followups": FollowupFile.model_validate(words).model_dump()})
