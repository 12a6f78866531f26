"""What a language model may do to a text of ours: add a courtesy, join or part sentences. Anything else is refused. Pure.

Comparing facts one by one (is this number known? is that town?) leaves holes: words in another order, a "not" that moved
or a "more" that became "less" state something false out of true parts. So the rule is the other way round: what is left
of the model's text without listed courtesies must be our text, word by word, in its order, parted where ours is.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from app.engine.types import Locale

MAX_GROWTH: Final = 1.5
MAX_MORE: Final = 80
"""A text may have MAX_GROWTH times the characters of ours and MAX_MORE."""
MAX_COURTESIES: Final = 2

COURTESIES: Final[dict[Locale, tuple[str, ...]]] = {
    "pl": (
        "chętnie wyjaśnię",
        "chętnie odpowiem",
        "chętnie podpowiem",
        "już wyjaśniam",
        "już odpowiadam",
        "dziękuję za pytanie",
        "dobre pytanie",
        "rozumiem pytanie",
        "krótko mówiąc",
        "w razie pytań chętnie pomogę",
        "chętnie odpowiem na kolejne pytania",
        "zapraszam do dalszych pytań",
    ),
    "en": (
        "happy to explain",
        "happy to help",
        "let me explain",
        "thank you for asking",
        "thanks for your question",
        "good question",
        "in short",
        "feel free to ask more",
        "i am happy to answer more questions",
        "i hope this helps",
    ),
}
"""What may stand by itself at a break of the text. None of them affirms, denies, promises or names anything."""

_TOKEN: Final = re.compile(
    r"(?P<link>\S{0,64}(?:@|://|www\.)\S*[^\s.,;:!?)”\"])"
    r"|(?P<number>[-–−+~≈±]?\d+(?:[ .,:/×–-]\d+)*)"
    r"|(?P<word>[^\W\d_]+(?:'[^\W\d_]+)*)"
    r"|(?P<pause>[\n,.;:!…()„”\"“'–—-])"
    r"|(?P<sign>\S)"
)
_BLANKS: Final = frozenset(" \n\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}")
_SPACES: Final = re.compile(r"[^\S\n]+")


@dataclass(frozen=True, slots=True)
class _Token:
    """A piece of a text that must be in both."""

    kind: str
    text: str


_PAUSE: Final = _Token("pause", "")
"""Any sign that parts: which one it is does not matter, that there is one does."""


def refusal(ours: str, theirs: str, *, locale: Locale) -> str | None:
    """Why `theirs` must not go out in place of `ours`, in one word for a log; None when it may.

    Our own text is never refused.
    """
    if len(theirs) > MAX_GROWTH * len(ours) + MAX_MORE:
        return "length"
    if any(unicodedata.category(each)[0] in "CZ" and each not in _BLANKS for each in theirs):
        return "characters"
    wanted, _ = _tokens(_plain(ours), locale)
    found, courtesies = _tokens(_plain(theirs), locale)
    if courtesies > MAX_COURTESIES:
        return "courtesies"
    if len(found) != len(wanted):
        return "words"
    for before, want, have in zip((_PAUSE, *wanted), wanted, found, strict=False):
        if not _same(want, have, begins=before == _PAUSE):
            return have.kind
    return None


def _plain(text: str) -> str:
    """One kind of space, of apostrophe, of composition."""
    return _SPACES.sub(" ", unicodedata.normalize("NFC", text)).replace("’", "'").strip()


def _tokens(text: str, locale: Locale) -> tuple[list[_Token], int]:
    """What a text says, without its courtesies, and how many of those it had."""
    clauses: list[list[_Token]] = [[]]
    for match in _TOKEN.finditer(text):
        kind, found = str(match.lastgroup), match.group()
        if kind != "pause":
            clauses[-1].append(_Token(kind, found))
        if kind == "pause" or found == "?":
            clauses.append([])
    kept: list[_Token] = []
    courtesies = 0
    for clause in filter(None, clauses):
        first, *rest = (token.text for token in clause)
        if (first[0].lower() + first[1:], *rest) in _COURTESIES[locale]:
            courtesies += 1
        else:
            kept.extend([_PAUSE, *clause] if kept else clause)
    return kept, courtesies


def _same(ours: _Token, theirs: _Token, *, begins: bool) -> bool:
    """The same piece; at our beginning of a clause a word may lose its capital, and at any place gain one."""
    if ours == theirs:
        return True
    if (ours.kind, theirs.kind) != ("word", "word") or ours.text[1:] != theirs.text[1:]:
        return False
    same_letter = ours.text[0].lower() == theirs.text[0].lower()
    return same_letter and (begins or theirs.text[0].isupper())


def _words(phrase: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", phrase))


_COURTESIES: Final = {locale: frozenset(map(_words, phrases)) for locale, phrases in COURTESIES.items()}
