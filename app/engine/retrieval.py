"""Which entries of the knowledge a sentence asks about: word cues first, likeness to example phrasings second."""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from app.engine.knowledge import Entry
from app.engine.normalise import fold, word_set

_WORD = re.compile(r"[^\W\d_]+|\d+|\+|%")
_STEM = 5
_MIN_LIKENESS = 0.5
"""Below this, likeness to an example says nothing."""
_LIKENESS_WEIGHT = 1.1
_EXTRA_STEM = 0.6
_STOP = word_set(
    "express expres comfort komfort premium czy i w we z ze na do od a o u to ten ta te jest sa sie mi mnie mam macie jak co ile za dla przy po the an is "
    "are does you your my me of for in on it can what how and prosze bardzo tez byc jaki jaka jakie wasz wasze was "
    "panstwo please"
)


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that a sentence matches, and how strongly; 1 is one clear cue."""

    entry: Entry
    score: float


@dataclass(frozen=True, slots=True)
class _Cue:
    entry: int
    groups: tuple[tuple[int, ...], ...]
    forbidden: tuple[int, ...]


class Retriever:
    """Cues as prefix sets and examples as weighted stems, prepared once."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        """Index every cue and phrasing."""
        self._entries = tuple(entries)
        self._stems: dict[str, int] = {}
        self._exact: dict[str, int] = {}
        self._count = 0
        self._cues: list[_Cue] = []
        self._by_first: dict[int, list[int]] = {}
        for number, entry in enumerate(self._entries):
            for cue in entry.cues:
                self._add_cue(number, cue)
        self._lengths = tuple(sorted({len(stem) for stem in self._stems}))
        self._examples: list[tuple[int, dict[str, float]]] = []
        self._weights: dict[str, float] = {}
        self._postings: dict[str, list[tuple[int, float]]] = {}
        self._add_examples()

    @property
    def stems(self) -> frozenset[str]:
        """Every stem that a cue looks for."""
        return frozenset(self._stems)

    def _stem_id(self, stem: str) -> int:
        table = self._exact if stem.endswith(".") else self._stems
        stem = stem.rstrip(".")
        if stem not in table:
            table[stem] = self._count
            self._count += 1
        return table[stem]

    def _add_cue(self, entry: int, cue: str) -> None:
        groups: list[tuple[int, ...]] = []
        forbidden: list[int] = []
        for part in cue.split():
            if part.startswith("!"):
                forbidden.extend(self._stem_id(stem) for stem in part[1:].split("|"))
            else:
                groups.append(tuple(self._stem_id(stem) for stem in part.split("|")))
        index = len(self._cues)
        self._cues.append(_Cue(entry, tuple(groups), tuple(forbidden)))
        for stem in groups[0]:
            self._by_first.setdefault(stem, []).append(index)

    def _add_examples(self) -> None:
        bags = [
            (number, _bag(_WORD.findall(fold(phrase))))
            for number, entry in enumerate(self._entries)
            for phrases in entry.phrasings.values()
            for phrase in phrases
        ]
        documents = Counter(stem for _, bag in bags for stem in bag)
        total = len(bags)
        self._weights = {stem: math.log(1 + total / count) for stem, count in documents.items()}
        for number, bag in bags:
            vector = {stem: self._weights[stem] for stem in bag}
            norm = math.sqrt(sum(weight * weight for weight in vector.values())) or 1.0
            index = len(self._examples)
            self._examples.append((number, vector))
            for stem, weight in vector.items():
                self._postings.setdefault(stem, []).append((index, weight / norm))

    def search(self, words: tuple[str, ...]) -> list[Hit]:
        """Entries for one sentence of folded words, strongest first."""
        scores: dict[int, float] = {}
        present = self._present(words)
        for stem in present:
            for index in self._by_first.get(stem, ()):
                cue = self._cues[index]
                if present.isdisjoint(cue.forbidden) and all(not present.isdisjoint(group) for group in cue.groups):
                    strength = (1 + _EXTRA_STEM * (len(cue.groups) - 1)) * self._entries[cue.entry].weight
                    scores[cue.entry] = max(scores.get(cue.entry, 0.0), strength)
        for entry, likeness in self._alike(words).items():
            scores[entry] = scores.get(entry, 0.0) + likeness * _LIKENESS_WEIGHT
        ranked = sorted(scores.items(), key=lambda item: -item[1])
        return [Hit(self._entries[entry], score) for entry, score in ranked]

    def _present(self, words: tuple[str, ...]) -> set[int]:
        present: set[int] = set()
        for word in set(words):
            exact = self._exact.get(word)
            if exact is not None:
                present.add(exact)
            for length in self._lengths:
                if length > len(word):
                    break
                stem = self._stems.get(word[:length])
                if stem is not None:
                    present.add(stem)
        return present

    def _alike(self, words: tuple[str, ...]) -> dict[int, float]:
        """Cosine likeness of the sentence to each entry's nearest example, where it says something."""
        bag = _bag(words)
        unknown = math.log(1 + len(self._examples))
        weights = {stem: self._weights.get(stem, unknown) for stem in bag}
        norm = math.sqrt(sum(weight * weight for weight in weights.values()))
        if not norm:
            return {}
        dots: dict[int, float] = {}
        for stem, weight in weights.items():
            for index, other in self._postings.get(stem, ()):
                dots[index] = dots.get(index, 0.0) + weight * other
        best: dict[int, float] = {}
        for index, dot in dots.items():
            entry = self._examples[index][0]
            best[entry] = max(best.get(entry, 0.0), dot / norm)
        return {entry: likeness for entry, likeness in best.items() if likeness >= _MIN_LIKENESS}


def _bag(words: Iterable[str]) -> frozenset[str]:
    every = [word for word in words if not word.isdigit()]
    telling = [word for word in every if word not in _STOP]
    return frozenset(word[:_STEM] for word in (telling or every))
