"""The visitor's name: after a phrase that introduces one, as a bare answer, or as a correction."""

import re
from collections.abc import Iterable

from app.engine.normalise import Text, fold
from app.engine.patterns import Pattern

_WORD = r"(?<![^\W\d_])[^\W\d_]{1,40}(?:['-][^\W\d_]{1,40}){0,3}"
_STRONG = Pattern(
    r"\b(?:nazywam sie|mam na imie|na imie mi|na imie mam|moje imie(?: i nazwisko)?(?: to)?|imie(?: i nazwisko)?\s?(?::|to|-)|my name is|my name's|"
    r"i am called|name\s?:|mowcie mi|mow mi)\s{0,2}(?=(?P<name>[^\W\d_]))"
)
_WEAK = Pattern(
    r"(?:(?<=^)|(?<=[\s,.!;(]))(?:jestem|tu|tutaj|pisze|z tej strony|przy telefonie|mowi|i'm|i am|im|this is|it's|pozdrawiam|podpisano|regards|wlasnie|to ja|to(?: wlasnie| jednak)?)"
    r"[\s,:-]{1,3}(?=(?P<name>[^\W\d_]))"
)
_INVERTED = Pattern(rf"(?P<name>{_WORD})\s(?:jestem|mam na imie|here)\b")
_CORRECTED = Pattern(rf"\b(?:nie|not)\s{_WORD},?\s(?:tylko|a|lecz|but)\s(?P<name>{_WORD})")
_AGAIN = Pattern(
    rf"^(?:(?:sorry|przepraszam|pomylka|pomylilem sie|pomylilam sie|literowka|zle|blad|znaczy|to znaczy|tzn|jednak|raczej|wlasciwie|mialo byc|"
    rf"powinno byc|oops|ups|oj|i mean|actually|typo|my mistake|wait|a|nie|no)[\s,.:;-]{{1,3}}){{1,4}}(?P<name>{_WORD}(?:\s{_WORD})?)\W*$"
)
"""A message that is a name and a word of correction."""
_BEFORE_PHONE = Pattern(
    rf"(?P<name>{_WORD}(?:\s{_WORD})?)[,:]?\s(?:tel\w*\.?|nr|numer)?[\s:]{{0,2}}\+?\d{{2,3}}[ -]?\d{{3}}"
)
_SEGMENT = re.compile(rf"(?:^|[,;.!\n])\s{{0,2}}(?P<name>{_WORD}(?:\s{_WORD}){{1,2}})(?=\s{{0,2}}[,;\n])")
"""A first name and a surname between commas."""
_AFTER_PHONE = Pattern(rf"\d{{3}}[ -]?\d{{2,3}}[,;]?\s{{1,2}}(?P<name>{_WORD})(?=$|[\s,.;]*$|\s[^\W\d_]+\W*$)")
_SIGNED = re.compile(rf"[,;\n]\s{{0,2}}(?P<name>{_WORD})\W*$")
_REACHABLE = Pattern(r"@|(?:\d[ -]?){9}")
_TITLE = re.compile(r"^(?:pan(?:i)?|mr|mrs|ms|inz|dr)\.?\s")
_MAX_PARTS = 3


class NameReader:
    """Reads names with a list of first names and a list of words that are none, built once."""

    def __init__(self, first_names: Iterable[str], not_names: Iterable[str], towns: Iterable[str]) -> None:
        """`towns` are folded town forms: "jestem Kraków" is no introduction."""
        self._first = {fold(name): name for name in first_names}
        self._not = frozenset(not_names) | frozenset(towns)

    def find(self, text: Text, *, known: str | None, asked: bool, expected: bool = False) -> str | None:
        """The name given in this message, as the visitor would write it, or None.

        `expected`: contact data is known, and a first name alone is the name that belongs to it.
        """
        match = None
        for match in _STRONG.finditer(text.folded, text.signs):
            name = self._phrase(text, match.start("name"), strict=False)
            if name is not None:
                return name
        for match in _WEAK.finditer(text.folded, text.signs):
            if (
                match.group().startswith(("to ", "to,", "it's", "wlasnie"))
                and not match.group().startswith(("to ja ", "to ja,"))
                and known is None
            ):
                continue
            name = self._phrase(text, match.start("name"), strict=True)
            if name is not None:
                return name
        for pattern in (_CORRECTED, _INVERTED):
            match = pattern.search(text.folded, text.signs)
            if match is not None and fold(match.group("name")) in self._first and (pattern is _INVERTED or known):
                return self._phrase(text, match.start("name"), strict=True)
        again = None if known is None else _AGAIN.search(text.folded, text.signs)
        if again is not None and fold(again.group("name").split()[0]) in self._first:
            return self._phrase(text, again.start("name"), strict=True)
        lone = expected and known is None and len(text.words) <= 2 and text.words[:1] != () and text.clean[:1].isupper()
        return self._beside_contact(text) or self._bare(text, asked=asked or (lone and text.words[0] in self._first))

    def _beside_contact(self, text: Text) -> str | None:
        """A name between commas, at the end like a signature, or beside a telephone number."""
        for card in _SEGMENT.finditer(text.folded) if "," in text.folded or "\n" in text.folded else ():
            words, start = card.group("name").split(), card.start("name")
            if words[0] in self._first and self._not.isdisjoint(words) and text.clean[start].isupper():
                return self._phrase(text, start, strict=True)
        reachable = _REACHABLE.search(text.folded, text.signs)
        signed = None if reachable is None else _SIGNED.search(text.folded)
        beside = (pattern.search(text.folded, text.signs) for pattern in (_AFTER_PHONE, _BEFORE_PHONE))
        for match in (signed, *beside):
            if match is None:
                continue
            given, *family = match.group("name").split()
            if given in self._first:
                return self._phrase(text, match.start("name"), strict=True)
            if family and family[0] in self._first and given not in self._not:
                phrase = self._phrase(text, match.start("name"), strict=True) or ""
                if " " in phrase:
                    return " ".join(reversed(phrase.split()[:2]))
        return None

    def _bare(self, text: Text, *, asked: bool) -> str | None:
        """A message that begins with a name: an answer to "your name?", or a business card."""
        first = text.words[0] if text.words else ""
        if asked and 0 < len(text.words) <= _MAX_PARTS and len(text.sentences) == 1 and not text.sentences[0].question:
            return self._phrase(text, text.folded.find(first), strict=first not in self._first)
        if first in self._first:
            second = re.match(rf"{_WORD}\s({_WORD})(?=$|[\s,.;:]*$|[,;]|\s?(?:\+|tel|\d{{3}}))", text.folded)
            card = second is not None and text.clean[second.start(1)].isupper() and text.clean[0].isupper()
            if card and second is not None and second.group(1) not in self._not:
                return self._phrase(text, 0, strict=True)
            if text.clean[0].isupper() and re.match(rf"{_WORD},\s?\d", text.folded):
                return self._phrase(text, 0, strict=True)
            if re.fullmatch(
                rf"{_WORD}[,\s]{{1,3}}(?:tel\w*\.?|nr\.?|numer)?[\s:]{{0,2}}\+?[\d\s-]{{9,16}}\W*", text.folded
            ):
                return self._phrase(text, 0, strict=True)
        return None

    def _phrase(self, text: Text, start: int, *, strict: bool) -> str | None:
        """Up to three name-like words from a position; strict wants a known first name or capital letters."""
        if start < 0:
            return None
        rest_folded = text.folded[start : start + 70]
        title = _TITLE.match(rest_folded)
        if title is not None:
            start += title.end()
        parts: list[str] = []
        position = start
        while len(parts) < _MAX_PARTS:
            match = re.compile(_WORD).match(text.clean, position)
            if match is None or not self._fits(match.group(), first=not parts, strict=strict):
                break
            parts.append(self._spelled(match.group(), first=not parts))
            position = match.end()
            if text.clean[position : position + 1] != " ":
                break
            position += 1
        return " ".join(parts) if parts and len(parts[0]) > 1 else None

    def _fits(self, word: str, *, first: bool, strict: bool) -> bool:
        folded = fold(word)
        if folded in self._not or len(word) > 40:
            return False
        if first and folded in self._first:
            return True
        capital = word[0].isupper() and (not word.isupper() or len(word) <= 2)
        if first:
            return capital if strict else folded not in {"to", "i", "is"} and len(word) > 2
        return capital and len(word) > 1

    def _spelled(self, word: str, *, first: bool) -> str:
        known = self._first.get(fold(word)) if first else None
        if known is not None:
            return known
        return word if not word.islower() and not word.isupper() else word.capitalize()
