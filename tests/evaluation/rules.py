"""By which rules a conversation is judged. Pure: what was answered and known comes in, what is wrong comes out."""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OWN = Path(__file__).with_name("conversations")


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a visitor writes, and what must be known and said after the last message."""

    id: str
    lang: str
    tags: tuple[str, ...]
    turns: tuple[str, ...]
    slots: Mapping[str, Any]
    """Values that the context must have; None must be unset, {"any_of": [...]} lets one of several do."""
    must_contain: Sequence[Sequence[str]]
    """One of every group stands in the last answer."""
    must_not_contain: Sequence[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with one conversation; it passes in full when nothing is."""

    conversation: Conversation
    answer: str
    wrong_slots: tuple[str, ...]
    missing: tuple[str, ...]
    forbidden: tuple[str, ...]

    @property
    def passes(self) -> bool:
        """True when it was answered, with nothing wrong, missing or forbidden."""
        return bool(self.answer) and not (self.wrong_slots or self.missing or self.forbidden)


def read(paths: Iterable[Path]) -> list[Conversation]:
    """The conversations of JSON lines files, one to a line."""
    return [
        _conversation(json.loads(line))
        for path in paths
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]


def own() -> list[Conversation]:
    """The project's own conversations."""
    return read(sorted(OWN.glob("*.jsonl")))


def judge(conversation: Conversation, answer: str, known: Mapping[str, Any]) -> Verdict:
    """Compare the last answer and the context after it with what is expected."""
    text = plain(answer)
    return Verdict(
        conversation,
        answer,
        tuple(
            f"{slot} is {known.get(slot)!r}, not {wanted!r}"
            for slot, wanted in conversation.slots.items()
            if not slot_is(wanted, known.get(slot))
        ),
        tuple(
            " | ".join(group) for group in conversation.must_contain if not any(holds(text, phrase) for phrase in group)
        ),
        tuple(phrase for phrase in conversation.must_not_contain if holds(text, phrase)),
    )


def plain(text: str) -> str:
    """Lower case, one kind of space, no thousands separators."""
    text = re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text).lower())
    return re.sub(r"(?<=\d)[ .,](?=\d{3}(?!\d))", "", text)


def holds(text: str, phrase: str) -> bool:
    """True when a plain text holds a phrase: up to three characters as a whole word, numbers not inside longer ones."""
    wanted = plain(phrase)
    pattern = re.escape(wanted)
    if len(wanted) <= 3:
        return re.search(rf"(?<!\w){pattern}(?!\w)", text) is not None
    long_number = re.fullmatch(r"\d{9,}", wanted) is not None
    before = r"(?<!\d)" if wanted[0].isdigit() and not long_number else ""
    after = r"(?!\d)" if wanted[-1].isdigit() else ""
    return re.search(before + pattern + after, text) is not None


def slot_is(wanted: object, got: object) -> bool:
    """True when a slot has the wanted value; numbers may differ by rounding, a False counts as unset."""
    if isinstance(wanted, dict):
        return any(slot_is(one, got) for one in wanted["any_of"])
    if wanted is None:
        return got is None or got is False or got == ""
    if isinstance(wanted, bool):
        return got is wanted
    if isinstance(wanted, int | float):
        return isinstance(got, int | float) and abs(float(got) - wanted) < 0.01
    return str(got).lower() == str(wanted).lower()


def _conversation(item: Mapping[str, Any]) -> Conversation:
    expect = item["expect"]
    return Conversation(
        id=item["id"],
        lang=item["lang"],
        tags=tuple(item["tags"]),
        turns=tuple(item["turns"]),
        slots=expect["slots"],
        must_contain=expect["answer_must_contain_any"],
        must_not_contain=expect["must_not_contain"],
    )
