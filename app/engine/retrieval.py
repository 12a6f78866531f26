"""Which entries of the knowledge a sentence asks about: word cues first, likeness to example phrasings second."""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from app.engine.knowledge import Entry
from app.engine.normalise import fold, word_set

_WORD = re.compile(r"[^\W\d_]+|\d+|\+|%")
_STEM = 5
_MIN_LIKENESS = 0.5
"""Below this, likeness to an example says nothing."""
_ROUNDING = 1e-9
_KNOWN_WORDS = 4096
_LIKENESS_WEIGHT = 1.1
_EXTRA_STEM = 0.6
_WHOLE = 2
"""A stem of so few letters is a word by itself: everything else begins with it."""
_LONG = 8
"""Shorter words are too near to others for their slips to be undone."""
_PREFIX = re.compile(r"(?:po|wy|za|na|z|u|od|prze|przy)(?=[^aeiouy][a-z]{4})")
"""What makes a Polish verb perfective: "posprzata" is "sprzata" done. Only for words that no stem knows."""
_SAME = {"ilu": "ile", "ilus": "ile"}
"""Forms that no stem joins."""
_STOP = word_set(
    "czy i w we z ze na do od a o u to ten ta te jest sa sie mi mnie mam macie jak co ile za dla przy po the an is "
    "are does you your my me of for in on it can what how and prosze bardzo tez byc jaki jaka jakie wasz wasze was "
    "panstwo please"
)


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that a sentence matches, and how strongly; 1 is one clear cue."""

    entry: Entry
    score: float
    about: str | None = None
    """The superlative among packages that the sentence also holds: the entry is asked of that one."""


@dataclass(frozen=True, slots=True)
class _Cue:
    entry: int
    strength: float
    others: tuple[frozenset[int], ...]
    """The groups beside the one that the cue is looked up by."""
    forbidden: frozenset[int]


class Retriever:
    """Cues as prefix sets and examples as weighted stems, prepared once."""

    def __init__(self, entries: Iterable[Entry], names: Iterable[str] = ()) -> None:
        """Index every cue and phrasing; `names` are folded words that tell nothing about what is asked."""
        self._stop = _STOP | frozenset(names)
        self._entries = tuple(entries)
        self._stems: dict[str, int] = {}
        self._exact: dict[str, int] = {}
        self._count = 0
        self._cues_by_stem: dict[int, list[_Cue]] = {}
        self._add_cues()
        self._lengths: dict[str, tuple[int, ...]] = {}
        for stem in sorted(self._stems, key=len):
            begin = stem[: _WHOLE + 1]
            self._lengths[begin] = tuple(dict.fromkeys((*self._lengths.get(begin, ()), len(stem))))
        self._stems_of = lru_cache(maxsize=_KNOWN_WORDS)(self._find_stems_of)
        self._examples: list[tuple[int, dict[str, float]]] = []
        self._weights: dict[str, float] = {}
        self._postings: dict[str, list[tuple[int, float]]] = {}
        self._add_examples()

    @property
    def stems(self) -> frozenset[str]:
        """Every stem that a cue looks for."""
        return frozenset(self._stems)

    @property
    def vocabulary(self) -> frozenset[str]:
        """The longer words of the example phrasings: what a slip of the keyboard may have been meant to be."""
        return self._vocabulary

    def _stem_id(self, stem: str) -> int:
        table = self._exact if stem.endswith(".") or len(stem) <= _WHOLE else self._stems
        stem = stem.rstrip(".")
        if stem not in table:
            table[stem] = self._count
            self._count += 1
        return table[stem]

    def _add_cues(self) -> None:
        """Every cue under the stems of its rarest group: a sentence looks at few that do not fit."""
        cues: list[tuple[int, list[frozenset[int]], frozenset[int]]] = []
        for number, entry in enumerate(self._entries):
            for cue in entry.cues:
                groups = [self._stem_ids(part) for part in cue.split() if not part.startswith("!")]
                forbidden = [self._stem_ids(part[1:]) for part in cue.split() if part.startswith("!")]
                cues.append((number, groups, frozenset[int]().union(*forbidden)))
        used = Counter(stem for _, groups, _ in cues for group in groups for stem in group)
        for number, groups, unwanted in cues:
            rarest = min(groups, key=lambda group: sum(used[stem] for stem in group))
            strength = (1 + _EXTRA_STEM * (len(groups) - 1)) * self._entries[number].weight
            found = _Cue(number, strength, tuple(group for group in groups if group is not rarest), unwanted)
            for stem in rarest:
                self._cues_by_stem.setdefault(stem, []).append(found)

    def _stem_ids(self, part: str) -> frozenset[int]:
        return frozenset(self._stem_id(stem) for stem in part.split("|"))

    def _add_examples(self) -> None:
        bags = [
            (number, self._bag(_WORD.findall(fold(phrase))))
            for number, entry in enumerate(self._entries)
            for phrases in entry.phrasings.values()
            for phrase in phrases
        ]
        self._vocabulary = frozenset(
            word
            for entry in self._entries
            for phrases in entry.phrasings.values()
            for phrase in phrases
            for word in _WORD.findall(fold(phrase))
            if len(word) >= _LONG
        )
        documents = Counter(stem for _, bag in bags for stem in bag)
        total = len(bags)
        self._weights = {stem: math.log(1 + total / count) for stem, count in documents.items()}
        for number, bag in bags:
            vector = {stem: self._weights[stem] for stem in bag}
            norm = math.sqrt(sum(weight * weight for weight in vector.values())) or 1.0
            index = len(self._examples)
            unit = {stem: weight / norm for stem, weight in vector.items()}
            self._examples.append((number, unit))
            for stem, weight in unit.items():
                self._postings.setdefault(stem, []).append((index, weight))

    def search(self, words: tuple[str, ...]) -> list[Hit]:
        """Entries for one sentence of folded words, strongest first."""
        scores: dict[int, float] = {}
        present = frozenset[int]().union(*map(self._stems_of, words))
        for stem in present:
            for cue in self._cues_by_stem.get(stem, ()):
                if cue.strength > scores.get(cue.entry, 0.0) and cue.forbidden.isdisjoint(present):
                    for group in cue.others:
                        if group.isdisjoint(present):
                            break
                    else:
                        scores[cue.entry] = cue.strength
        for entry, likeness in self._alike(words).items():
            scores[entry] = scores.get(entry, 0.0) + likeness * _LIKENESS_WEIGHT
        ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
        return [Hit(self._entries[entry], score) for entry, score in ranked]

    def _find_stems_of(self, word: str) -> frozenset[int]:
        word = _SAME.get(word, word)
        exact = self._exact.get(word)
        known = self._beginnings(word)
        if exact is not None:
            return frozenset([*known, exact])
        prefix = _PREFIX.match(word) if not known and len(word) >= _LONG else None
        return frozenset(known if prefix is None else self._beginnings(word[prefix.end() :]))

    def _beginnings(self, word: str) -> list[int]:
        """The stems that a word begins with."""
        found: list[int] = []
        for length in self._lengths.get(word[: _WHOLE + 1], ()):
            if length > len(word):
                break
            stem = self._stems.get(word[:length])
            if stem is not None:
                found.append(stem)
        return found

    def _alike(self, words: tuple[str, ...]) -> dict[int, float]:
        """Cosine likeness of the sentence to each entry's nearest example, where it says something."""
        bag = self._bag(words)
        unknown = math.log(1 + len(self._examples))
        weights = {stem: self._weights.get(stem, unknown) for stem in bag}
        norm = math.sqrt(sum(weight * weight for weight in weights.values()))
        if not norm:
            return {}
        telling, slight = _parted(weights, (_MIN_LIKENESS * norm) ** 2 * (1 - _ROUNDING))
        dots: dict[int, float] = {}
        for stem in telling:
            weight = weights[stem]
            for index, other in self._postings.get(stem, ()):
                dots[index] = dots.get(index, 0.0) + weight * other
        for index in dots:
            unit = self._examples[index][1]
            for stem in slight:
                if stem in unit:
                    dots[index] += weights[stem] * unit[stem]
        best: dict[int, float] = {}
        for index, dot in dots.items():
            likeness = dot / norm
            if likeness >= _MIN_LIKENESS:
                entry = self._examples[index][0]
                best[entry] = max(best.get(entry, 0.0), likeness)
        return best

    def _bag(self, words: Iterable[str]) -> frozenset[str]:
        every = [word for word in words if not word.isdigit()]
        telling = [word for word in every if word not in self._stop]
        return frozenset(word[:_STEM] for word in (telling or every))


def _parted(weights: dict[str, float], enough: float) -> tuple[list[str], list[str]]:
    """Stems apart: those of which an example must have one to be alike enough, and the light ones.

    An example is a vector of length one, so what it shares with the sentence adds up to no more than the length of the
    shared weights; `enough` is the square that is needed. The light ones are in many examples: nobody looks for them.
    """
    rising = sorted(weights, key=weights.__getitem__)
    length = 0.0
    for place, stem in enumerate(rising):
        length += weights[stem] ** 2
        if length >= enough:
            return rising[place:], rising[:place]
    return [], rising
