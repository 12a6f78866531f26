"""What of a visitor's message a language model may see: anything that looks like a person is blanked, rather too much. Pure.

A name in small letters that nothing introduces and no list knows is beyond it.
"""

import re
from collections.abc import Iterable
from typing import Final

from app.engine import patterns
from app.engine.normalise import clean, fold, word_set
from app.engine.slots import contact
from app.engine.slots.quantities import SPOKEN
from app.engine.types import Slots

MASKED: Final = "[…]"
MAX_CHARS: Final = 500
"""Of a masked message."""
_READ_CHARS: Final = 1_000

_AFTER: Final = "nazywam sie|mam na imie|na imie(?: mi)?|imie|nazwisko|my name is|my name's|i am called|surname|name"
_INTRODUCED: Final = re.compile(
    rf"\b(?:{_AFTER}|ul|ulica|ulicy|al|aleja|alei|os|osiedle|osiedlu|pl|plac|placu|street|st)\b[\s.:,–-]{{1,3}}"
    r"(?:to\s|jest\s|is\s)?(?P<span>\S+(?:[ ]\S+){0,2})"
)
"""What follows these words is a person or the place where one lives."""
_SHAPES: Final = (
    re.compile(r"\S{0,64}(?:@|://|www\.)\S*"),
    re.compile(r"\S{0,40}\d(?:[\s().\-/]{0,3}\d){4,}\S{0,40}"),
    re.compile(r"\d+\s?[a-z]?\s?/\s?\d+"),
)
"""Addresses of mail and pages, numbers of five digits and more however they are grouped, a house and its flat."""
_SURNAME: Final = re.compile(r"\w{3,}(?:[sc]k(?:i|a|iego|iemu|im|iej)|wicz\w{0,4}|czyk\w{0,4}|czuk\w{0,3}|owna|owny)")
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_BEGINS: Final = frozenset(".!?\n")
_SHORT: Final = 4
_SPELLED: Final = 4
"""So many number words in a row are no area and no budget."""
_PLAIN: Final = word_set(
    "i a w we z ze na do od po za o u czy jak ile co kiedy gdzie kto nie tak jest sa mam mamy chce prosze the is are "
    "what how when where who can do does you we my for with and or not yes no please"
)


class Masker:
    """Masks messages with tables built once from the knowledge."""

    def __init__(self, *, first_names: Iterable[str], towns: Iterable[str], words: Iterable[str]) -> None:
        """All folded; `words` and their inflections are none of anybody's."""
        self._first = frozenset(first_names)
        self._towns = frozenset(part for town in towns for part in town.split() if len(part) >= _SHORT)
        self._words = frozenset(words) | _PLAIN
        self._stems = frozenset(word for word in self._words if len(word) >= _SHORT)

    def mask(self, message: str, slots: Slots) -> str:
        """The message without contact data, names, towns, addresses and long numbers, at most MAX_CHARS long."""
        text = clean(message[:_READ_CHARS])[:_READ_CHARS]
        folded = fold(text)
        hidden = bytearray(len(text))
        spans = list(contact.find(folded, text, patterns.signs(folded)).spans)
        spans += [match.span() for shape in _SHAPES for match in shape.finditer(folded)]
        spans += [match.span("span") for match in _INTRODUCED.finditer(folded)]
        spans += self._people(text, folded, slots)
        for start, end in spans:
            hidden[start:end] = b"\x01" * (end - start)
        return _blanked(text, hidden)[:MAX_CHARS]

    def _people(self, text: str, folded: str, slots: Slots) -> list[tuple[int, int]]:
        told = {part for value in (slots.name, slots.city) if value for part in fold(value).split()}
        spans: list[tuple[int, int]] = []
        named = False
        spelled: list[tuple[int, int]] = []
        for match in _WORD.finditer(folded):
            word, span = match.group(), match.span()
            spelled = [*spelled, span] if word in SPOKEN else []
            if len(spelled) >= _SPELLED:
                spans += spelled
            person = self._is_first_name(word) or word in told or _SURNAME.fullmatch(word) is not None
            strange = not self._knows(word)
            capital = text[span[0]].isupper() and strange and len(word) > 1
            if person or word in self._towns or capital or (named and strange):
                spans.append(span)
            named = person or (capital and not _begins(text, span[0]))
        return spans

    def _is_first_name(self, word: str) -> bool:
        """Also in another case: "Anną", "Marka"."""
        if word in self._first:
            return True
        stems = (word[:-1], word[:-2], word[:-3]) if len(word) > _SHORT and not self._knows(word) else ()
        return any(len(stem) >= 3 and (stem in self._first or f"{stem}a" in self._first) for stem in stems)

    def _knows(self, word: str) -> bool:
        return word in self._words or any(word[:length] in self._stems for length in range(_SHORT, len(word)))


def _begins(text: str, at: int) -> bool:
    before = text[:at].rstrip(" \"'(„“")
    return not before or before[-1] in _BEGINS


def _blanked(text: str, hidden: bytearray) -> str:
    parts: list[str] = []
    for index, character in enumerate(text):
        if not hidden[index]:
            parts.append(character)
        elif not index or not hidden[index - 1]:
            parts.append(MASKED)
    return "".join(parts)
