"""Regular expressions that are not tried on a text without a word they need: of most, a message has none."""

import re
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from itertools import chain
from re import _parser  # type: ignore[attr-defined]  # the tree that `re` itself compiles: nothing here reads expressions
from typing import Any, TypeAlias

Signs: TypeAlias = frozenset[str]
"""How the words of a text begin, in `_SHORTEST` and in `_LONGEST` letters, its `_MARKS`, and a row of zeros for every
number of digits up to the one that it has."""

_WORD = re.compile(r"[^\W\d_]+|\d+")
_SHORTEST = 3
_LONGEST = 4
_DIGIT = "0"
_MOST_DIGITS = 9
_MARKS = ("@", "{")
_MANY = 6
"""A class of more characters is not spelled out."""
_KNOWN_WORDS = 8192
_ANYTHING = ("ANYTHING", None)
_REPEATS = frozenset(["MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"])
_NO_LETTER = frozenset(["CATEGORY_SPACE", "CATEGORY_NOT_WORD", "CATEGORY_DIGIT"])


@lru_cache(maxsize=_KNOWN_WORDS)
def _signs_of(word: str) -> tuple[str, ...]:
    return (_DIGIT,) if word.isdecimal() else (word[:_SHORTEST], word[:_LONGEST])


def signs(text: str, words: Collection[str] | None = None) -> Signs:
    """The signs of a folded text; `words`, where they are at hand, are all its runs of letters and of digits."""
    words = _WORD.findall(text) if words is None else words
    found = Signs(chain.from_iterable(map(_signs_of, words)))
    more = [mark for mark in _MARKS if mark in text]
    if _DIGIT in found:
        digits = sum(len(word) for word in words if word.isdecimal())
        more.extend(_DIGIT * some for some in range(2, min(digits, _MOST_DIGITS) + 1))
    return found.union(more) if more else found


class Pattern:
    """A regular expression over folded text; asked with the signs of a text, it knows that much of it cannot match.

    The signs may be those of a longer text, as long as every word of the one that is searched begins a word there.
    """

    __slots__ = ("_finditer", "_needs", "_search", "regex")

    def __init__(self, source: str) -> None:
        """Compile it, and find the signs of which every match has one."""
        self.regex = re.compile(source)
        self._needs = needs(source)
        self._search = self.regex.search
        self._finditer = self.regex.finditer

    def may_match(self, signs: Signs) -> bool:
        """False when no text with these signs can hold a match."""
        return self._needs is None or not self._needs.isdisjoint(signs)

    def search(self, text: str, signs: Signs) -> re.Match[str] | None:
        """As `re.Pattern.search`."""
        if self._needs is not None and self._needs.isdisjoint(signs):
            return None
        return self._search(text)

    def finditer(self, text: str, signs: Signs) -> Iterator[re.Match[str]]:
        """As `re.Pattern.finditer`."""
        return self._finditer(text) if self.may_match(signs) else iter(())

    def sub(self, instead: str, text: str, signs: Signs) -> str:
        """As `re.Pattern.sub`."""
        return self.regex.sub(instead, text) if self.may_match(signs) else text


def needs(source: str) -> Signs | None:
    """Signs of which every text has one that the expression matches in; None when nothing is sure."""
    tree = _parser.parse(source)
    return None if tree.state.flags & ~re.UNICODE else _needed([*tree], [], begins=False)


def _needed(items: list[Any], follow: list[Any], *, begins: bool) -> Signs | None:
    """The most telling signs that a sequence needs, which `follow` follows; `begins`: a letter here begins a word."""
    digits = _digits(items)
    found: list[Signs] = [Signs([_DIGIT * min(digits, _MOST_DIGITS)])] if digits else []
    for index, item in enumerate(items):
        after = items[index + 1 :] + follow
        wanted = _inside(item, after, begins=begins) or (_beginnings([item, *after]) if begins else None)
        found.extend([] if wanted is None else [wanted])
        begins = _ends_word(item, begins=begins)
    return max(found, key=_worth, default=None)


def _worth(signs: Signs) -> tuple[int, int]:
    """How few texts have one of the signs, in letters of a word: a mark is rare, and a digit is not."""
    return min(5 if sign in _MARKS else len(sign) // (2 if sign[0] == _DIGIT else 1) for sign in signs), -len(signs)


def _all_of(parts: Iterable[Signs | None]) -> Signs | None:
    """What one of several possibilities needs."""
    known = list(parts)
    return None if None in known else Signs().union(*(one for one in known if one is not None))


def _inside(item: Any, follow: list[Any], *, begins: bool) -> Signs | None:
    """What an item needs by itself."""
    name, value = str(item[0]), item[1]
    if name == "SUBPATTERN" and not (value[1] or value[2]):
        return _needed([*value[3]], follow, begins=begins)
    if name == "BRANCH":
        return _all_of(_needed([*branch], follow, begins=begins) for branch in value[1])
    if name in _REPEATS and value[0] > 0:
        return _needed([*value[2]], [_ANYTHING], begins=begins)
    if name == "LITERAL" and chr(value) in _MARKS:
        return Signs([chr(value)])
    return None


def _digits(items: Iterable[Any]) -> int:
    """How many digits a match of the sequence has at least."""
    return sum(_digits_in(str(name), value) for name, value in items)


def _digits_in(name: str, value: Any) -> int:
    if name == "LITERAL":
        return int(chr(value).isdecimal())
    if name == "IN":
        return int(all(str(member) == "CATEGORY_DIGIT" for _, member in value))
    if name == "SUBPATTERN":
        return _digits(value[3])
    if name == "BRANCH":
        return min(map(_digits, value[1]))
    return int(value[0]) * _digits(value[2]) if name in _REPEATS else 0


def _beginnings(items: list[Any], begun: str = "") -> Signs | None:
    """How the word begins that a match has here, after the letters `begun`; None when that is not known."""
    if len(begun) == _LONGEST:
        return Signs([begun])
    unfinished = Signs([begun]) if len(begun) >= _SHORTEST else None
    if not items:
        return unfinished
    (name, value), rest = (str(items[0][0]), items[0][1]), items[1:]
    if name == "LITERAL":
        return _beginnings(rest, begun + chr(value)) if _is_letter(chr(value)) else _whole(begun)
    if name == "IN":
        return _beginnings_in(value, rest, begun) or unfinished
    if name == "SUBPATTERN" and not (value[1] or value[2]):
        return _beginnings([*value[3], *rest], begun)
    if name == "BRANCH":
        return _all_of(_beginnings([*branch, *rest], begun) for branch in value[1])
    if name in _REPEATS:
        more = [_ANYTHING] if value[1] > 1 else rest
        once = _beginnings([*value[2], *more], begun)
        return once if value[0] else _all_of([once, _beginnings(rest, begun)])
    if name == "AT":
        return _whole(begun) if begun and str(value) in {"AT_BOUNDARY", "AT_END"} else _beginnings(rest, begun)
    if name == "ASSERT" and value[0] > 0:
        return _beginnings([*value[1], _ANYTHING], begun)
    return _beginnings(rest, begun) if name in {"ASSERT", "ASSERT_NOT"} else unfinished


def _beginnings_in(members: list[Any], rest: list[Any], begun: str) -> Signs | None:
    if _has_no_letter(members):
        return _whole(begun)
    if len(members) > _MANY or any(str(name) != "LITERAL" for name, _ in members):
        return None
    return _all_of(_beginnings([member, *rest], begun) for member in members)


def _whole(word: str) -> Signs | None:
    return Signs([word]) if word else None


def _is_letter(char: str) -> bool:
    """Whether it belongs to a run of letters, as `[^\\W\\d_]` does."""
    return char.isalnum() and not char.isdecimal()


def _has_no_letter(members: list[Any]) -> bool:
    """Whether a class of characters holds no letter."""
    return all(
        str(value) in _NO_LETTER if str(name) == "CATEGORY" else str(name) == "LITERAL" and not _is_letter(chr(value))
        for name, value in members
    )


def _ends_word(item: Any, *, begins: bool) -> bool:
    """Whether a letter that follows the item is sure to begin a word; `begins`: whether one would before it."""
    name, value = str(item[0]), item[1]
    if name == "LITERAL":
        return not _is_letter(chr(value))
    if name == "IN":
        return _has_no_letter(value)
    if name == "AT":
        return begins or str(value) in {"AT_BOUNDARY", "AT_BEGINNING"}
    if name == "SUBPATTERN":
        return _all_end_word(value[3], begins=begins)
    if name == "BRANCH":
        return all(_all_end_word(branch, begins=begins) for branch in value[1])
    if name in _REPEATS:
        return (begins or value[0] > 0) and _all_end_word(value[2], begins=False)
    if name == "ASSERT" and value[0] < 0:
        return begins or _all_end_word(value[1], begins=False)
    return begins and name in {"ASSERT", "ASSERT_NOT"}


def _all_end_word(items: Iterable[Any], *, begins: bool) -> bool:
    for item in items:
        begins = _ends_word(item, begins=begins)
    return begins
