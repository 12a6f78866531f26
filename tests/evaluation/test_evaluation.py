"""The project's own conversations, had through the HTTP API, reach the bar; and the rules notice what is wrong."""

import httpx
import pytest

from tests.evaluation import bar, rules
from tests.evaluation.rules import Conversation, judge
from tests.evaluation.visits import visit


async def test_our_conversations_reach_the_bar(client: httpx.AsyncClient) -> None:
    verdicts = await visit(client, rules.own())
    assert len(verdicts) >= 800
    faults = bar.below(bar.total(verdicts))
    assert not faults, [(v.conversation.id, v.wrong_slots, v.missing, v.forbidden) for v in verdicts if not v.passes]


def asking(**expect: object) -> Conversation:
    wanted = {"slots": {}, "must_contain": [], "must_not_contain": [], **expect}
    return Conversation("x", "pl", ("quote",), ("ile?",), **wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("conversation", "answer", "known", "passes"),
    [
        (asking(must_contain=[["74950"]]), "orientacyjnie 74\N{NO-BREAK SPACE}950 zł", {}, True),
        (asking(must_contain=[["74950"]]), "orientacyjnie 174 950 zł", {}, False),
        (asking(must_contain=[["8"]]), "VAT 18%", {}, False),
        (asking(must_contain=[["nie"]]), "To nie jest oferta", {}, True),
        (asking(must_contain=[["nie"]]), "Niestety", {}, False),
        (asking(must_not_contain=["zadzwonimy"]), "Zadzwonimy jutro", {}, False),
        (asking(slots={"area_m2": 48.5}), "tak", {"area_m2": 48.5}, True),
        (asking(slots={"area_m2": None}), "tak", {"area_m2": 48.5}, False),
        (asking(slots={"consent_contact": False}), "tak", {"consent_contact": None}, False),
        (asking(slots={"city": {"any_of": ["Gdańsk", None]}}), "tak", {"city": None}, True),
        (asking(), "", {}, False),
    ],
    ids=lambda value: None,
)
def test_a_verdict_sees(conversation: Conversation, answer: str, known: dict[str, object], passes: bool) -> None:
    assert judge(conversation, answer, known).passes is passes


def test_one_failed_quote_is_below_the_bar_however_many_pass() -> None:
    right = judge(asking(), "tak", {})
    wrong = judge(asking(must_contain=[["74950"]]), "nie wiem", {})
    assert bar.below(bar.total([right] * 999)) == []
    assert bar.below(bar.total([*[right] * 999, wrong])) == ["1 of 1000 conversations about quote fail, none may"]
