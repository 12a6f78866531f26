"""The conversation the product is for: a home and a number in, a quote and provable consent out."""

from decimal import Decimal

from app.engine.types import Decision
from tests.engine.talking import CONSENT_TEXTS, Visitor, said
from tests.evaluation.rules import plain

ENQUIRY = "Mam 52m2 w Warszawie, pakiet Premium, proszę o kontakt 691 222 333"
CONSENT = "tak, wyrażam zgodę na kontakt w sprawie oferty"


def test_an_enquiry_is_quoted_and_consent_is_asked_for_with_its_exact_text() -> None:
    answer = Visitor().say(ENQUIRY)
    text = said(answer)
    assert "103948 zł" in plain(text)
    assert "orientacyjnie" in text
    assert "8% VAT" in text
    assert CONSENT_TEXTS["rodo", "pl"] in text
    assert answer.consent_shown == ("rodo",)
    assert answer.decisions == ()
    slots = answer.slots
    assert (slots.area_m2, slots.city, slots.package, slots.phone) == (
        Decimal(52),
        "Warszawa",
        "premium",
        "+48691222333",
    )


def test_consent_in_words_is_one_decision_and_the_contact_is_confirmed() -> None:
    visitor = Visitor()
    visitor.say(ENQUIRY)
    answer = visitor.say(CONSENT)
    assert answer.decisions == (Decision("rodo", granted=True),)
    assert "skontaktuje się" in said(answer)


def test_saying_both_again_changes_nothing() -> None:
    visitor = Visitor()
    visitor.say(ENQUIRY)
    visitor.say(CONSENT)
    known = visitor.known()
    repeated = visitor.say(ENQUIRY)
    assert "103948" in plain(said(repeated))
    assert repeated.consent_shown == ()
    visitor.say(CONSENT)
    assert visitor.known() == known


def test_without_a_consent_text_the_question_is_still_asked_but_nothing_counts_as_shown() -> None:
    visitor = Visitor()
    visitor.turn = type(visitor.turn)("", "pl", visitor.turn.now)
    answer = visitor.say("mój numer 691 222 333")
    assert "zgadzają się" in said(answer)
    assert answer.consent_shown == ()


def test_a_long_message_is_never_echoed() -> None:
    text = "Nazywam się " + "Zażółć" * 300
    assert len(said(Visitor().say(text))) < 1000
