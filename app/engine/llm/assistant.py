"""Asking the language model: whether at all, and what of its answer is taken. Without an answer ours goes out."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import structlog
from prometheus_client import Counter, Histogram

from app.engine.llm import guard, prompt
from app.engine.llm.breaker import Breaker
from app.engine.llm.failures import ModelFailedError, ModelLateError
from app.engine.types import Advice, Help

MAX_AT_ONCE: Final = 8
"""Calls of one process under way; whoever comes beyond is answered without."""

CALLS = Counter(
    "model_calls",
    "Answers that the language model could have helped with, by what came of it: used, nothing (it had nothing to "
    "add), guarded (refused), timeout, error, and without a call open (breaker), budget (spent), busy.",
    ("outcome",),
)
SECONDS = Histogram(
    "model_call_seconds", "How long calls of the language model took.", buckets=(0.1, 0.25, 0.5, 1, 2, 3, 5, 8)
)

_log = structlog.stdlib.get_logger(__name__)


class Completer(Protocol):
    """What answers, such as `client.Completions`."""

    async def complete(self, messages: Sequence[tuple[str, str]], *, max_chars: int) -> str:
        """The answer to these messages. Raises ModelLateError and ModelFailedError."""


Budget = Callable[[], Awaitable[bool]]
"""Takes one call from what all processes may spend; false when nothing is left."""


class Assistant:
    """Asks one model, a bounded number of times at once, within its budget and while it works."""

    def __init__(self, completer: Completer, budget: Budget, *, breaker: Breaker | None = None) -> None:
        self._completer = completer
        self._budget = budget
        self._breaker = breaker or Breaker()
        self._under_way = 0

    async def advise(self, wanted: Help) -> Advice | None:
        """What the model suggests and the guard lets through; None in every other case. Raises nothing of its own."""
        outcome, advice = await self._advise(wanted)
        CALLS.labels(outcome).inc()
        return advice

    async def _advise(self, wanted: Help) -> tuple[str, Advice | None]:
        if self._under_way >= MAX_AT_ONCE:
            return "busy", None
        if not self._breaker.admits(time.monotonic()):
            return "open", None
        self._under_way += 1
        try:
            if not await self._budget():
                return "budget", None
            return await self._ask(wanted)
        finally:
            self._under_way -= 1

    async def _ask(self, wanted: Help) -> tuple[str, Advice | None]:
        began = time.monotonic()
        try:
            answer = await self._completer.complete(prompt.messages(wanted), max_chars=prompt.MAX_ANSWER_CHARS)
            suggested = prompt.read(answer)
        except (ModelFailedError, prompt.BadAnswerError) as error:
            self._breaker.failed(time.monotonic())
            _log.warning("model_failed", error=str(error))
            return ("timeout" if isinstance(error, ModelLateError) else "error"), None
        finally:
            SECONDS.observe(time.monotonic() - began)
        self._breaker.succeeded()
        return _judge(wanted, suggested)


def _judge(wanted: Help, suggested: prompt.Suggestion) -> tuple[str, Advice | None]:
    """What may go out of a suggestion: one entry that was offered, or our text in a wording that the guard knows."""
    if wanted.entries:
        offered = {entry for entry, _ in wanted.entries}
        chosen = next((entry for entry in suggested.faq_ids if entry in offered), None)
        if chosen is not None:
            return "used", Advice(entry=chosen, instead_of=wanted.text)
        return ("guarded" if suggested.faq_ids else "nothing"), None
    text = suggested.text.strip()
    if text in {"", wanted.text}:
        return "nothing", None
    refused = guard.refusal(wanted.text, text, locale=wanted.locale)
    if refused is not None:
        _log.warning("model_text_refused", reason=refused)
        return "guarded", None
    return "used", Advice(text=text, instead_of=wanted.text)
