"""A conversation with the engine alone, and the rules by which an answer is judged."""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, get_args

from app.engine.engine import Engine
from app.engine.types import Answer, Locale, Purpose, Slots, Turn

TUESDAY = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
CONVERSATIONS = Path(__file__).with_name("conversations.jsonl")
CONSENT_TEXTS: dict[tuple[Purpose, Locale], str] = {
    (purpose, locale): f"Consent text of {purpose} in {locale}, version 1."
    for purpose in get_args(Purpose)
    for locale in get_args(Locale)
}


@cache
def engine() -> Engine:
    """The engine over the package's own knowledge, loaded once for all tests."""
    return Engine.load()


class Visitor:
    """Talks to the engine as the service does: slots, decisions and memory come back with the next message."""

    def __init__(self, locale: Locale = "pl", now: datetime = TUESDAY) -> None:
        self.turn = Turn("", locale, now, consent_texts=CONSENT_TEXTS)

    def say(self, text: str) -> Answer:
        """Send a message; the memory makes a trip through JSON on the way."""
        answer = engine().answer(replace(self.turn, text=text))
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


def plain(text: str) -> str:
    """Lower case, one kind of space, no thousands separators."""
    text = re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text).lower())
    return re.sub(r"(?<=\d)[ .,](?=\d{3}(?!\d))", "", text)


def holds(text: str, alternative: str) -> bool:
    """True when a plain text holds an alternative: short ones as whole words, numbers not inside longer numbers."""
    wanted = plain(alternative)
    pattern = re.escape(wanted)
    if len(wanted) <= 3:
        return re.search(rf"(?<!\w){pattern}(?!\w)", text) is not None
    before = r"(?<!\d)" if wanted[0].isdigit() else ""
    after = r"(?!\d)" if wanted[-1].isdigit() else ""
    return re.search(before + pattern + after, text) is not None


def slot_is(wanted: object, got: object) -> bool:
    """True when a slot has the wanted value; None wants it unset, numbers may differ by rounding."""
    if wanted is None or isinstance(wanted, bool):
        return got is wanted
    if isinstance(wanted, int | float):
        return isinstance(got, int | Decimal) and abs(float(got) - wanted) < 0.01
    return str(got).lower() == str(wanted).lower()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a conversation; empty when it passes in full."""

    id: str
    faults: tuple[str, ...]


def judge(item: dict[str, Any]) -> Verdict:
    """Hold one conversation and compare its last answer with what is expected."""
    visitor = Visitor(item["lang"])
    answers = [visitor.say(turn) for turn in item["turns"]]
    text, known, want = plain(said(answers[-1])), visitor.known(), item["expect"]
    faults = [f"{slot}: {known[slot]!r}" for slot, value in want["slots"].items() if not slot_is(value, known[slot])]
    faults += [
        f"missing {group}" for group in want["answer_must_contain_any"] if not any(holds(text, a) for a in group)
    ]
    faults += [f"forbidden {phrase!r}" for phrase in want["must_not_contain"] if holds(text, phrase)]
    return Verdict(item["id"], tuple(faults))


def conversations() -> Sequence[dict[str, Any]]:
    """The evaluation file."""
    return [json.loads(line) for line in CONVERSATIONS.read_text(encoding="utf-8").splitlines()]
