"""A conversation with the engine alone."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, get_args

from app.engine.engine import Engine
from app.engine.types import Answer, Locale, Purpose, Slots, Turn

TUESDAY = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
CONSENT_TEXTS: dict[tuple[Purpose, Locale], str] = {
    (purpose, locale): f"Consent text of {purpose} in {locale}, version 1."
    for purpose in get_args(Purpose)
    for locale in get_args(Locale)
}


@cache
def engine() -> Engine:
    """The engine over the package's own knowledge, loaded once for all tests."""
    return Engine.load()


_own = engine


class Visitor:
    """Talks to the engine as the service does: slots, decisions and memory come back with the next message."""

    def __init__(self, locale: Locale = "pl", now: datetime = TUESDAY, *, engine: Engine | None = None) -> None:
        self._engine = engine or _own()
        self.turn = Turn("", locale, now, consent_texts=CONSENT_TEXTS)

    def say(self, text: str) -> Answer:
        """Send a message; the memory makes a trip through JSON on the way."""
        answer = self._engine.answer(replace(self.turn, text=text))
        verdicts = {decision.purpose: decision.granted for decision in answer.decisions}
        marketing = [verdicts[purpose] for purpose in verdicts if purpose != "rodo"]
        self.turn = replace(
            self.turn,
            slots=answer.slots,
            memory=json.loads(json.dumps(answer.memory)),
            consent_contact=verdicts.get("rodo", self.turn.consent_contact),
            consent_marketing=marketing[-1] if marketing else self.turn.consent_marketing,
        )
        return answer

    def known(self) -> dict[str, Any]:
        """What the service would show as the conversation's context."""
        slots = self.turn.slots
        fields = {name: getattr(slots, name) for name in Slots.__dataclass_fields__}
        return fields | {
            "consent_contact": self.turn.consent_contact,
            "consent_marketing": self.turn.consent_marketing,
        }


def said(answer: Answer) -> str:
    """The whole answer as one text."""
    return " ".join(reply.text for reply in answer.replies)
