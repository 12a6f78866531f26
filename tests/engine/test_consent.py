"""Consent in words: what counts, for which purpose, and what is no decision at all."""

import pytest

from app.engine import consent
from app.engine.normalise import read
from app.engine.types import Decision, Purpose
from tests.engine.talking import Visitor

MAIL, PHONE = "marketing_email", "marketing_phone"
NOTHING: dict[str, bool] = {}


def decided(text: str, asked: tuple[Purpose, ...] = ()) -> dict[str, bool]:
    return {decision.purpose: decision.granted for decision in consent.read(read(text), asked).decisions}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tak, zgadzam się na kontakt", {"rodo": True}),
        ("wyrażam zgodę na przetwarzanie danych", {"rodo": True}),
        ("zgadzam się na kontakt, ale reklam nie chcę", {"rodo": True, MAIL: False, PHONE: False}),
        ("zgoda na kontakt, bez marketingu", {"rodo": True, MAIL: False, PHONE: False}),
        ("wyrażam zgodę na kontakt i marketing", {"rodo": True, MAIL: True, PHONE: True}),
        ("zgadzam się na marketing mailowy", {MAIL: True}),
        ("nie zgadzam się na przetwarzanie", {"rodo": False}),
        ("zgody na kontakt nie wyrażam", {"rodo": False}),
        ("nie zgadzam się na marketing", {MAIL: False, PHONE: False}),
        ("reklam nie chcę", {MAIL: False, PHONE: False}),
        ("cofam zgodę na marketing", {MAIL: False, PHONE: False}),
        ("cofam zgodę na kontakt", {"rodo": False}),
        ("cofam wszystkie zgody", {"rodo": False, MAIL: False, PHONE: False}),
        ("wypisz mnie z maili", {MAIL: False}),
        ("proszę mnie wypisać z newslettera", {MAIL: False}),
        ("chcę się wypisać", {MAIL: False, PHONE: False}),
        ("zgoda na marketing cofnięta", {MAIL: False, PHONE: False}),
        ("proszę nie przysyłać mi ofert handlowych", {MAIL: False, PHONE: False}),
        ("please unsubscribe me from the newsletter", {MAIL: False}),
        ("I withdraw my consent to marketing", {MAIL: False, PHONE: False}),
        ("no ads please", {MAIL: False, PHONE: False}),
        ("nie dzwońcie do mnie", {"rodo": False}),
        ("I agree to be contacted but no marketing", {"rodo": True, MAIL: False, PHONE: False}),
        ("unsubscribe me", {MAIL: False, PHONE: False}),
        ("I withdraw my consent", {"rodo": False, MAIL: False, PHONE: False}),
        ("I do not consent", {"rodo": False}),
    ],
)
def test_a_clear_statement_decides_exactly_what_it_names(text: str, expected: dict[str, bool]) -> None:
    assert decided(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "tak",
        "ok",
        "proszę o kontakt",
        "call me at 600 700 800",
        "czy muszę wyrazić zgodę na kontakt?",
        "na co mam się zgodzić?",
        "jeśli dacie rabat, to wyrażam zgodę na kontakt jeśli tak",
        "nie do końca się zgadzam na kontakt",
        "zgadzam się, że drogo",
        "ile kosztuje premium",
        "macie jakieś promocje?",
        "nie mam budżetu na premium",
        "nie chcę premium",
    ],
)
def test_what_is_not_clear_is_no_decision(text: str) -> None:
    assert decided(text) == NOTHING


@pytest.mark.parametrize(
    "text",
    [
        "tak",
        "Tak, proszę",
        "jasne, dzwońcie",
        "no dobra",
        "ok",
        "no ok, możecie dzwonić",
        "zgadzam się",
        "yes",
        "nie mam nic przeciwko",
    ],
)
def test_a_short_yes_counts_only_as_the_answer_to_the_question(text: str) -> None:
    assert decided(text, ("rodo",)) == {"rodo": True}
    assert decided(text) == NOTHING


@pytest.mark.parametrize("text", ["nie", "nie, dziękuję", "no thanks", "raczej nie", "nie wyrażam zgody"])
def test_a_short_no_refuses_what_was_asked(text: str) -> None:
    assert decided(text, ("rodo",)) == {"rodo": False}


@pytest.mark.parametrize(
    "text",
    ["może później", "chyba tak", "nie wiem", "zastanowię się", "ok, a ile kosztuje premium", "tak jak mówiłem nie"],
)
def test_an_unclear_answer_to_the_question_decides_nothing(text: str) -> None:
    assert decided(text, ("rodo",)) == NOTHING


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tak, zgadzam się na marketing mailem", {MAIL: True}),
        ("yes, I agree to marketing by email", {MAIL: True}),
        ("tak, zgadzam się też na marketing mailem", {"rodo": True, MAIL: True}),
        ("tak, zgadzam się na kontakt i na marketing mailem", {"rodo": True, MAIL: True}),
        ("tak, ale na marketing się nie zgadzam", {"rodo": True, MAIL: False, PHONE: False}),
    ],
)
def test_a_yes_to_marketing_is_no_yes_to_the_contact_that_was_asked_about(text: str, expected: dict[str, bool]) -> None:
    assert decided(text, ("rodo",)) == expected


def test_what_a_yes_to_something_else_passed_over_is_asked_again() -> None:
    visitor = Visitor()
    visitor.say("mój mail iza@wp.pl")
    answer = visitor.say("tak, zgadzam się na marketing mailem")
    assert answer.consent_shown == ("rodo",)
    visitor.say("tak")
    assert (visitor.turn.consent_contact, visitor.turn.consent_marketing) == (True, True)


def test_a_wish_about_the_hour_is_no_refusal() -> None:
    assert decided("tak, ale nie dzwońcie przed 17", ("rodo",)) == {"rodo": True}


def test_consent_to_contact_is_never_consent_to_marketing() -> None:
    assert set(decided("zgadzam się na wszystko", ("rodo",))) == {"rodo"}


@pytest.mark.parametrize(
    ("words", "asks"),
    [
        ("promocje też możecie wysyłać mailem", True),
        ("chętnie dostanę newsletter", True),
        ("nie chcę promocji mailem", False),
        ("czy macie promocje?", False),
    ],
)
def test_a_wish_for_promotions_is_asked_about_and_never_taken_for_consent(words: str, asks: bool) -> None:
    answer = Visitor().say(words)
    assert not any(decision.granted for decision in answer.decisions)
    assert answer.consent_shown == (("marketing_email",) if asks else ())


@pytest.mark.parametrize("words", ["wolałbym nie", "wolę nie", "raczej nie", "I'd rather not"])
def test_a_polite_no_is_a_no(words: str) -> None:
    visitor = Visitor()
    visitor.say("691 222 333")
    assert visitor.say(words).decisions == (Decision("rodo", granted=False),)
