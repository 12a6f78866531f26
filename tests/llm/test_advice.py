"""What the engine asks of a model, and what it makes of the advice: nothing that does not fit any more."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import pytest

from app.engine.engine import Engine
from app.engine.types import Advice, Answer, Slots, Turn
from tests.evaluation import rules

ENGINE: Final = Engine.load()
NOW: Final = datetime(2026, 11, 26, 10, tzinfo=UTC)


def turn(text: str, **known: object) -> Turn:
    return Turn(text, "pl", NOW, Slots(**known))  # type: ignore[arg-type]


def answered(text: str, **known: object) -> tuple[Turn, Answer]:
    asked = turn(text, **known)
    return asked, ENGINE.answer(asked)


def test_only_the_worded_reply_changes_and_nothing_else_of_the_answer() -> None:
    asked, answer = answered("Ile kosztuje Comfort 60 m2 i ile trwa gwarancja?")
    wanted = ENGINE.help_wanted(asked, answer)
    assert wanted is not None
    assert answer.wordable == 1
    advised = ENGINE.take_advice(asked, answer, Advice(wanted.text, text="Dobre pytanie!"))
    assert [reply.text for reply in advised.replies] == [answer.replies[0].text, "Dobre pytanie!"]
    assert replace(advised, replies=answer.replies) == answer


def test_words_for_another_text_are_dropped() -> None:
    asked, answer = answered("ile trwa gwarancja?")
    assert ENGINE.take_advice(asked, answer, Advice("Dajemy 24 miesiące.", text="Inny tekst")) == answer


def test_a_guess_follows_our_own_words_and_changes_nothing_else() -> None:
    asked, answer = answered("sdkjfh", package="premium", area_m2=Decimal(60))
    wanted = ENGINE.help_wanted(asked, answer)
    assert wanted is not None
    advised = ENGINE.take_advice(asked, answer, Advice(wanted.text, entry="floor"))
    assert advised.replies[0] == answer.replies[0]
    assert (
        advised.replies[1].text == "Może to pomoże: Podłogi w pakiecie Premium: drewniana podłoga (naturalne drewno)."
    )
    assert replace(advised, replies=answer.replies) == answer


@pytest.mark.parametrize("entry", ["quote", "off_topic", "greeting", "no_such_entry", ""])
def test_what_was_not_offered_is_not_taken(entry: str) -> None:
    asked, answer = answered("sdkjfh")
    wanted = ENGINE.help_wanted(asked, answer)
    assert wanted is not None
    assert entry not in dict(wanted.entries)
    assert ENGINE.take_advice(asked, answer, Advice(wanted.text, entry=entry)) == answer


def test_a_choice_for_an_answer_that_was_understood_is_dropped() -> None:
    asked, answer = answered("ile trwa gwarancja?")
    assert ENGINE.take_advice(asked, answer, Advice(answer.replies[0].text, entry="floor")) == answer


def test_what_may_be_worded_in_our_conversations_holds_nothing_of_the_visitor() -> None:
    lexicon = ENGINE._mind.lexicon
    texts = {*lexicon.answers["pl"].values(), *lexicon.answers["en"].values()}
    topics = {words for topic in lexicon.knowledge.packages.topics.values() for words in (topic.pl, topic.en)}
    seen = 0
    for conversation in rules.own():
        asked = Turn(conversation.turns[-1], "en" if conversation.lang == "en" else "pl", NOW)
        answer = ENGINE.answer(asked)
        if answer.wordable is not None:
            seen += 1
            text = answer.replies[answer.wordable].text
            assert text in texts or any(text.startswith(topic) for topic in topics), text
            assert not answer.decisions
            assert not answer.consent_shown
    assert seen > 100
