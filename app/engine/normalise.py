"""One reading of a visitor's text: cleaned, folded for matching, cut into words and sentences, typos undone."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

MAX_CHARS = 2000
"""Longer text is cut: compatibility normalisation can make a short message many times longer."""

MAX_WORDS = 320
"""Words past this one are not looked at, so that one turn costs a bounded amount of work."""

_SPACE = re.compile(r"[^\S\n]+")
_NEWLINES = re.compile(r"\s*\n\s*")
_WORD = re.compile(r"[^\W\d_]+|\d+|\+|%")
_BREAK = re.compile(r"[.!?;:\n…]+(?=\s|$)|\n|[!?;]+")
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
_MIN_CORRECTED = 5
"""Shorter words have too many neighbours to be corrected safely."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A stretch of the text between full stops: its words, and whether it was a question."""

    words: tuple[str, ...]
    question: bool


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

    @property
    def is_empty(self) -> bool:
        """True when there is no letter and no digit to read."""
        return not self.words


class Corrector:
    """Undoes single typing slips in words that the vocabulary nearly holds; leaves every other word alone."""

    def __init__(self, words: Iterable[str], stems: Iterable[str] = ()) -> None:
        """`words` may be corrected to; a word that begins with one of `stems` is already right."""
        self._known = frozenset(words)
        self._stems = frozenset(stem for stem in stems if len(stem) >= _MIN_CORRECTED)
        self._stem_lengths = tuple(sorted({len(stem) for stem in self._stems}))
        self._near: dict[str, str] = {}
        for word in sorted(self._known):
            if len(word) >= _MIN_CORRECTED:
                for key in _deletions(word):
                    self._near.setdefault(key, word)

    def __call__(self, word: str) -> str:
        """The vocabulary word one slip away that starts with the same letter, or the word itself."""
        if len(word) < _MIN_CORRECTED or len(word) > 20 or word in self._known or not word.isalpha():
            return word
        if any(word[:length] in self._stems for length in self._stem_lengths):
            return word
        for key in _deletions(word):
            found = self._near.get(key)
            if found is not None and found[0] == word[0] and _one_slip(word, found):
                return found
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


def word_set(words: str) -> frozenset[str]:
    """The words of a space-separated list."""
    return frozenset(words.split())


def fold(text: str) -> str:
    """Lower case without diacritics, one character for one character."""
    if text.isascii():
        return text.lower()
    return "".join(char.lower() if char.isascii() else _fold_char(char) for char in text)


def clean(text: str) -> str:
    """NFKC, format and control characters dropped, runs of white space made one, cut to `MAX_CHARS`."""
    text = unicodedata.normalize("NFKC", text[:MAX_CHARS])[:MAX_CHARS]
    if not text.isascii():
        text = "".join(c for c in text if unicodedata.category(c) not in {"Cf", "Cs", "Co", "Cn"})
    text = "".join(c if c >= " " or c == "\n" else " " for c in text)
    return _NEWLINES.sub("\n", _SPACE.sub(" ", text)).strip()


def read(raw: str, corrector: Corrector | None = None) -> Text:
    """Read a message once for the whole turn. Never raises; work is linear in the length."""
    cleaned = clean(raw)
    folded = fold(cleaned)
    sentences: list[Sentence] = []
    words: list[str] = []
    for part, question in _split(folded):
        left = MAX_WORDS - len(words)
        if left <= 0:
            break
        found = [_word(match.group(), corrector) for match in _WORD.finditer(part)][:left]
        if found:
            words.extend(found)
            sentences.append(Sentence(tuple(found), question))
    return Text(cleaned, folded, tuple(words), f" {' '.join(words)} ", tuple(sentences))


def _word(word: str, corrector: Corrector | None) -> str:
    if word == "+":
        return "plus"
    return corrector(word) if corrector is not None else word


def _split(folded: str) -> Iterable[tuple[str, bool]]:
    start = 0
    for match in _BREAK.finditer(folded):
        yield folded[start : match.start()], "?" in match.group()
        start = match.end()
    yield folded[start:], False
