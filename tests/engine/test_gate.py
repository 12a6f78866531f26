"""The one look that passes over messages without a word of consent passes over no decision."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine import consent, normalise
from tests.evaluation import rules

EVERYTHING = re.compile("")
PIECES = st.sampled_from(
    """zgoda, wyraze, nie, akceptuję, zezwalam, odmawiam, cofam, reklamy, pisać, dzwonić, spam, newsletter,
    promocje, stop, emails, consent, unsubscribe, withdraw, revoke, ads, please, i, oraz, marketing,
    telefon, sms, bez, zgody, upoważniam, pozwalam, authorize, allow, accept, decline, mój, moje, dane,
    pocztą, mejle, dam, daję, udzielam, zgadzam się, wyrażam zgodę, nie życzę sobie, nie dam zgody,
    wypiszcie mnie, z listy, z maili, no more, oferty handlowe, informacje handlowe, nie wysyłajcie, nie
    dzwońcie, nie kontaktujcie się, przestańcie, don't call, do not contact, I agree, I refuse, opt out,
    take me off, remove me from, the list, commercial offers, send me, usuńcie mnie z bazy, skreślcie
    mnie, rezygnuję, potwierdzam""".replace(",\n    ", ", ").split(", ")
)


def both(text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[consent.Stated, consent.Stated]:
    """What is read with the look, and what is read without it."""
    read = normalise.read(text)
    quick = consent.read(read, ())
    with monkeypatch.context() as patch:
        patch.setattr(consent, "_TELLING", EVERYTHING)
        return quick, consent.read(read, ())


@settings(max_examples=500, deadline=None, database=None)
@given(st.lists(PIECES, min_size=1, max_size=6).map(" ".join))
def test_no_decision_is_passed_over(text: str) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        quick, slow = both(text, monkeypatch)
    assert (quick.decisions, quick.interest, quick.unclear) == (slow.decisions, slow.interest, slow.unclear)


def test_no_decision_of_our_conversations_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    for conversation in rules.own():
        for text in conversation.turns:
            quick, slow = both(text, monkeypatch)
            assert quick.decisions == slow.decisions, text
