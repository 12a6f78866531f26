"""Who is let through to the model, what is counted, and what of its answer is taken."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from app.engine.llm.assistant import MAX_AT_ONCE, Assistant
from app.engine.llm.breaker import FAIL_MAX, OPEN_SECONDS, Breaker
from app.engine.llm.failures import ModelFailedError, ModelLateError
from app.engine.types import Advice, Help
from tests.processes import eventually

TEXT = "Na wykonane prace dajemy 36 miesięcy gwarancji (3 lata)."
WORDING = Help(locale="pl", message="ile trwa gwarancja?", text=TEXT)
CHOICE = Help(locale="pl", message="a ogród?", text="Nie wiem.", entries=(("warranty", "ile?"), ("floor", "jakie?")))


class Model:
    """A model that says what it is told to, or raises it."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.calls = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def complete(self, messages: Sequence[tuple[str, str]], *, max_chars: int) -> str:
        self.calls += 1
        answer = self.answers[min(self.calls, len(self.answers)) - 1]
        await self.gate.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, str) else json.dumps(answer)

    def was_called(self, times: int) -> Callable[[], Awaitable[bool]]:
        async def enough() -> bool:
            return self.calls >= times

        return enough


def said(text: str = "", *ids: str) -> dict[str, object]:
    return {"text": text, "faq_ids": ids}


async def rich() -> bool:
    return True


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("model_calls_total", {"outcome": outcome}) or 0.0


@pytest.mark.parametrize(
    ("wanted", "answer", "outcome", "advice"),
    [
        (WORDING, said(f"Dobre pytanie! {TEXT}"), "used", Advice(TEXT, text=f"Dobre pytanie! {TEXT}")),
        (WORDING, said(TEXT), "nothing", None),
        (WORDING, said(), "nothing", None),
        (WORDING, said(TEXT.replace("36", "60")), "guarded", None),
        (WORDING, said("", "warranty"), "nothing", None),
        (CHOICE, said("", "floor"), "used", Advice(CHOICE.text, entry="floor")),
        (CHOICE, said("Kosztuje 1 zł", "floor"), "used", Advice(CHOICE.text, entry="floor")),
        (CHOICE, said("", "unknown", "warranty"), "used", Advice(CHOICE.text, entry="warranty")),
        (CHOICE, said("", "unknown"), "guarded", None),
        (CHOICE, said(), "nothing", None),
        (WORDING, "I would say", "error", None),
        (WORDING, {"text": TEXT}, "error", None),
        (WORDING, ModelFailedError("APIStatusError"), "error", None),
        (WORDING, ModelLateError("TimeoutError"), "timeout", None),
    ],
)
async def test_an_answer_counts_as_what_it_was(
    wanted: Help, answer: object, outcome: str, advice: Advice | None
) -> None:
    before = counted(outcome)
    assert await Assistant(Model(answer), rich).advise(wanted) == advice
    assert counted(outcome) == before + 1


async def test_a_refused_text_is_logged_without_its_words() -> None:
    with capture_logs() as lines:
        await Assistant(Model(said(f"{TEXT} Gratis!")), rich).advise(WORDING)
    assert lines == [{"event": "model_text_refused", "reason": "words", "log_level": "warning"}]


async def test_a_spent_budget_calls_nobody() -> None:
    async def poor() -> bool:
        return False

    model, before = Model(said()), counted("budget")
    assert await Assistant(model, poor).advise(WORDING) is None
    assert (model.calls, counted("budget")) == (0, before + 1)


async def test_whoever_comes_beyond_the_bound_is_not_kept_waiting() -> None:
    model, before = Model(said(f"Dobre pytanie! {TEXT}")), counted("busy")
    model.gate.clear()
    assistant = Assistant(model, rich)
    waiting = [asyncio.create_task(assistant.advise(WORDING)) for _ in range(MAX_AT_ONCE)]
    await eventually(model.was_called(MAX_AT_ONCE))
    async with asyncio.timeout(20):
        assert await assistant.advise(WORDING) is None
    assert (model.calls, counted("busy")) == (MAX_AT_ONCE, before + 1)
    model.gate.set()
    assert None not in await asyncio.gather(*waiting)
    assert await assistant.advise(WORDING) is not None


async def test_a_call_that_is_given_up_makes_room() -> None:
    model = Model(said())
    model.gate.clear()
    assistant = Assistant(model, rich)
    for _ in range(MAX_AT_ONCE + 1):
        call = asyncio.create_task(assistant.advise(WORDING))
        await eventually(model.was_called(model.calls + 1))
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    assert model.calls == MAX_AT_ONCE + 1


async def test_after_failures_in_a_row_nobody_is_asked() -> None:
    model, before = Model(ModelFailedError("x")), counted("open")
    assistant = Assistant(model, rich)
    for _ in range(FAIL_MAX + 3):
        assert await assistant.advise(WORDING) is None
    assert (model.calls, counted("open")) == (FAIL_MAX, before + 3)


async def test_a_refused_text_is_no_failure() -> None:
    model = Model(said("Gratis!"))
    assistant = Assistant(model, rich)
    for _ in range(FAIL_MAX + 3):
        await assistant.advise(WORDING)
    assert model.calls == FAIL_MAX + 3


def test_the_breaker_opens_lets_one_trial_through_and_closes_with_it() -> None:
    breaker = Breaker()
    for second in range(FAIL_MAX - 1):
        breaker.failed(float(second))
    breaker.succeeded()
    for second in range(FAIL_MAX):
        assert breaker.admits(10.0 + second)
        breaker.failed(10.0 + second)
    last = 10.0 + FAIL_MAX - 1
    assert not breaker.admits(last + OPEN_SECONDS - 0.1)
    assert breaker.admits(last + OPEN_SECONDS)
    assert not breaker.admits(last + OPEN_SECONDS), "one trial at a time"
    breaker.failed(last + OPEN_SECONDS + 3)
    assert not breaker.admits(last + OPEN_SECONDS + 32)
    assert breaker.admits(last + 2 * OPEN_SECONDS + 3)
    breaker.succeeded()
    assert breaker.admits(last + 2 * OPEN_SECONDS + 4)
    assert breaker.admits(last + 2 * OPEN_SECONDS + 4)


def test_a_trial_that_was_given_up_is_followed_by_another() -> None:
    breaker = Breaker(fail_max=1, open_seconds=30)
    breaker.failed(0)
    assert breaker.admits(30)
    assert not breaker.admits(59)
    assert breaker.admits(60)
