"""One reading of a visitor's text: cleaned, folded for matching, cut into words and sentences, typos undone."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, pairwise

from app.engine import patterns

MAX_CHARS = 2000
"""Longer text is cut: compatibility normalisation can make a short message many times longer."""

MAX_WORDS = 320
"""Words past this one are not looked at, so that one turn costs a bounded amount of work."""

_SPACE = re.compile(r"[^\S\n]+")
_NEWLINES = re.compile(r"\s*\n\s*")
_WORD = re.compile(r"[^\W\d_]+|\d+|\+|%")
_BREAK = re.compile(r"[.!?;:\n…](?:[.!?;:\n…]*(?=\s|$)|(?<=\n)|(?<=[!?;])[!?;]*)")
"""Signs before a space or at the end, a new line, or signs that are in no number and no address."""
_SPECIAL = {
    "ł": "l",
    "Ł": "l",
    "ø": "o",
    "Ø": "o",
    "ß": "s",
    "đ": "d",
    "æ": "a",
    "’": "'",
    "‘": "'",
    "`": "'",
    "´": "'",
    "–": "-",
    "—": "-",
    "−": "-",
    "‐": "-",
    "‑": "-",
    "„": '"',
    "”": '"',
    "“": '"',
    "«": '"',
    "»": '"',
}
_ENDING = 2
"""A slip in so many last letters is an ending, which no cue looks at."""
_MIN_CORRECTED = 5
"""Shorter words have too many neighbours to be corrected safely."""
_KNOWN_WORDS = 4096


@dataclass(frozen=True, slots=True)
class Sentence:
    """A stretch of the text between full stops: its words, and whether it was a question."""

    words: tuple[str, ...]
    question: bool
    commas: frozenset[int] = frozenset()
    """Places in `words` that a comma stands before."""


@dataclass(frozen=True, slots=True)
class Text:
    """A visitor's message in the forms that the grammar reads.

    `clean` and `folded` have the same length, so a span found in one is the same span of the other.
    `words` are folded and typo-corrected; `joined` is those words between single spaces, with a space at both ends.
    """

    clean: str
    folded: str
    words: tuple[str, ...]
    joined: str
    sentences: tuple[Sentence, ...]
    signs: patterns.Signs
    """What `folded` and `joined` have of what patterns need."""
    slips: tuple[tuple[int, int, str], ...] = ()
    """Words of `folded` that were typed wrong: where they stand, and what was meant."""

    @property
    def is_empty(self) -> bool:
        """True when there is no letter and no digit to read."""
        return not self.words


class Corrector:
    """Undoes single typing slips in words that the vocabulary nearly holds; leaves every other word alone."""

    def __init__(self, words: Iterable[str], seen: Iterable[str] = (), stems: Iterable[str] = ()) -> None:
        """`words` may be corrected to, and so may `seen`, but for another ending only to `words`.

        A word that begins with one of `stems` is already right.
        """
        self._words = frozenset(words)
        self._known = self._words | frozenset(seen)
        self._stems = frozenset(stem for stem in stems if len(stem) >= _MIN_CORRECTED)
        self._stem_lengths = tuple(sorted({len(stem) for stem in self._stems}))
        self._near: dict[str, str] = {}
        for word in sorted(self._known):
            if len(word) >= _MIN_CORRECTED:
                for key in _deletions(word):
                    self._near.setdefault(key, word)
        self.meant = lru_cache(maxsize=_KNOWN_WORDS)(self._find_meant)
        """The vocabulary word one slip away that starts with the same letter, or the word itself."""

    def _find_meant(self, word: str) -> str:
        if word == "+":
            return "plus"
        if len(word) < _MIN_CORRECTED or len(word) > 20 or word in self._known or not word.isalpha():
            return word
        if any(word[:length] in self._stems for length in self._stem_lengths):
            return word
        for key in _deletions(word):
            found = self._near.get(key)
            if found is not None and found[0] == word[0] and _one_slip(word, found):
                ending = found not in self._words and found[:-_ENDING] == word[: len(found) - _ENDING]
                return word if ending else found
        return word


def _deletions(word: str) -> list[str]:
    return [word, *(word[:i] + word[i + 1 :] for i in range(len(word)))]


def _one_slip(a: str, b: str) -> bool:
    if a == b:
        return True
    start = 0
    shorter = min(len(a), len(b))
    while start < shorter and a[start] == b[start]:
        start += 1
    rest_a, rest_b = a[start:], b[start:]
    return (
        rest_a[1:] == rest_b
        or rest_a == rest_b[1:]
        or rest_a[1:] == rest_b[1:]
        or (rest_a[:2] == rest_b[1::-1] and rest_a[2:] == rest_b[2:])
    )


def _fold_char(char: str) -> str:
    special = _SPECIAL.get(char)
    if special is not None:
        return special
    base = unicodedata.normalize("NFD", char)[0].lower()
    return base if len(base) == 1 else base[0]


class _Folds(dict[int, str]):
    """Each character's plain form, found once; the rare ones are found anew."""

    def __missing__(self, code: int) -> str:
        plain = chr(code).lower() if code < _ASCII else _fold_char(chr(code))
        if len(self) < _MAX_FOLDS:
            self[code] = plain
        return plain


_ASCII = 128
_MAX_FOLDS = 2_000
_FOLDED = _Folds()


def word_set(words: str) -> frozenset[str]:
    """The words of a space-separated list."""
    return frozenset(words.split())


def fold(text: str) -> str:
    """Lower case without diacritics, one character for one character."""
    if text.isascii():
        return text.lower()
    return text.translate(_FOLDED)


def clean(text: str) -> str:
    """NFKC, format and control characters dropped, runs of white space made one, cut to `MAX_CHARS`."""
    text = unicodedata.normalize("NFKC", text[:MAX_CHARS])[:MAX_CHARS]
    if not text.isprintable():
        text = "".join(c for c in text if c.isascii() or unicodedata.category(c) not in {"Cf", "Cs", "Co", "Cn"})
        text = "".join(c if c >= " " or c == "\n" else " " for c in text)
        return _NEWLINES.sub("\n", _SPACE.sub(" ", text)).strip()
    return " ".join(text.split())


_KNOWS_NOTHING = Corrector(())


def read(raw: str, corrector: Corrector = _KNOWS_NOTHING) -> Text:
    """Read a message once for the whole turn. Never raises; work is linear in the length."""
    cleaned = clean(raw)
    folded = fold(cleaned)
    sentences: list[Sentence] = []
    typed: list[str] = []
    words: list[str] = []
    slips: list[tuple[int, int, str]] = []
    for start, part, question in _split(folded):
        written = _WORD.findall(part)
        typed.extend(written)
        written = written[: MAX_WORDS - len(words)]
        if written:
            meant = list(map(corrector.meant, written))
            words.extend(meant)
            if meant != written:
                slips.extend(_slips(part, start, meant))
            commas = _commas(part, len(meant)) if "," in part or " - " in part else frozenset()
            sentences.append(Sentence(tuple(meant), question, commas))
    signs = patterns.signs(folded, typed if words == typed else typed + words)
    return Text(cleaned, folded, tuple(words), f" {' '.join(words)} ", tuple(sentences), signs, tuple(slips))


def _slips(part: str, start: int, meant: list[str]) -> Iterator[tuple[int, int, str]]:
    """The words of a part of the text, beginning at `start`, that are not those meant."""
    for match, word in zip(_WORD.finditer(part), meant, strict=False):
        if word != match.group() and match.group() != "+":
            yield start + match.start(), start + match.end(), word


def _commas(part: str, words: int) -> frozenset[int]:
    """Of so many first words, those that follow a comma or a dash; not the one inside a decimal number."""
    return frozenset(
        index
        for index, (before, word) in enumerate(pairwise(islice(_WORD.finditer(part), words)), 1)
        if (gap := part[before.end() : word.start()]) != "," and ("," in gap or " - " in gap)
    )


def mend(text: str, slips: Iterable[tuple[int, int, str]]) -> str:
    """A text as long as `Text.folded` with the words that were meant; not where it was made blank."""
    for start, end, word in reversed(list(slips)):
        if "\x00" not in text[start:end]:
            text = text[:start] + word + text[end:]
    return text


def _split(folded: str) -> Iterable[tuple[int, str, bool]]:
    start = 0
    for match in _BREAK.finditer(folded):
        yield start, folded[start : match.start()], "?" in match.group()
        start = match.end()
    yield start, folded[start:], False
