"""Which packages a message names, by any of their names, and which it turns down."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from app.engine.knowledge import Package
from app.engine.normalise import fold
from app.engine.patterns import Pattern, Signs
from app.engine.types import PackageId

_TURNED_DOWN = re.compile(
    r" (?:nie|zamiast|oprocz|not|instead of|rather than|odrzucam|z?rezygn\w* z)(?: (?:chce|chcemy|interesuje mnie|w|ten|tego|z|the|want|na|pakiet|pakietu|dla mnie))* (?:pakie\w* )?$"
)
_ORDINALS = (
    Pattern(r" (?:pierwsz(?:y|ego|ym|emu|a|ej)|first|(?:nr|numer|opcja|number|option) (?:1|jeden|one)|jedynk[aeiy]) "),
    Pattern(r" (?:drug(?:i|iego|im|iemu|a|iej)|second|(?:nr|numer|opcja|number|option) (?:2|dwa|two)|dwojk[aeiy]) "),
    Pattern(r" (?:trzeci(?:ego|m|emu|a|ej)?|third|(?:nr|numer|opcja|number|option) (?:3|trzy|three)|trojk[aeiy]) "),
    Pattern(r" (?:czwart(?:y|ego|ym|emu|a|ej)|fourth|(?:nr|numer|opcja|number|option) (?:4|cztery|four)|czworki) "),
    Pattern(r" (?:piat(?:y|ego|ym|emu|a|ej)|fifth|(?:nr|numer|opcja|number|option) (?:5|piec|five)|piatki) "),
)
_MIDDLE = Pattern(r" (?:srodkow(?:y|ego|ym|emu|a|ej)|the middle(?: one)?) ")
_LAST = Pattern(r" (?:ostatni(?:ego|m|a|ej)?|the last) ")
_FROM_END = Pattern(r" (?:od konca|od dolu|from the (?:bottom|end)) ")


@dataclass(frozen=True, slots=True)
class Named:
    """Packages a message speaks about in order of mention, and those it only turns down."""

    packages: tuple[PackageId, ...]
    turned_down: tuple[PackageId, ...]


_NONE_NAMED = Named((), ())


def packages_words(packages: Iterable[Package]) -> frozenset[str]:
    """The folded words of the packages' names."""
    return frozenset(
        word for package in packages for name in (package.name.pl, package.name.en) for word in fold(name).split()
    )


class PackageIndex:
    """The packages' patterns, compiled once; of names that overlap, the longer one is meant."""

    def __init__(self, packages: Iterable[Package]) -> None:
        """Order of the packages is the order of the list a visitor sees."""
        listed = list(packages)
        self.order: tuple[PackageId, ...] = tuple(package.id for package in listed)
        self._patterns = tuple(
            (package.id, Pattern(rf"(?<= )(?:{'|'.join(package.patterns)})(?= )")) for package in listed
        )
        self.names = re.compile(
            rf"(?<![^\W_])(?:{'|'.join(p for package in listed for p in package.patterns)})(?![^\W_])"
        )
        """Any name of any package, within folded text."""
        self._bare: dict[str, PackageId] = {word: package.id for package in listed for word in package.bare}

    def find(self, joined: str, signs: Signs) -> Named:
        """Packages named in space-joined folded words."""
        hits = [
            (*match.span(), package) for package, pattern in self._patterns for match in pattern.finditer(joined, signs)
        ]
        if not hits:
            return _NONE_NAMED
        kept: list[PackageId] = []
        dropped: list[PackageId] = []
        taken = 0
        for start, end, package in sorted(hits, key=lambda hit: (hit[0], -hit[1])):
            if start < taken:
                continue
            taken = end
            turned_down = _TURNED_DOWN.search(" " + joined[max(0, start - 45) : start]) is not None
            (dropped if turned_down else kept).append(package)
        packages = tuple(dict.fromkeys(kept))
        return Named(packages, tuple(package for package in dict.fromkeys(dropped) if package not in packages))

    def bare(self, words: tuple[str, ...]) -> PackageId | None:
        """The package that a short answer means when a package was asked for."""
        found = [self._bare[word] for word in words if word in self._bare]
        return found[0] if found and sum(len(word) > 2 for word in words) <= 4 else None

    def ordinal(self, joined: str, signs: Signs, listed: tuple[PackageId, ...]) -> PackageId | None:
        """The package that "the second one" means in the list shown last."""
        if not listed:
            return None
        if _LAST.search(joined, signs):
            return listed[-1]
        if len(listed) % 2 and _MIDDLE.search(joined, signs):
            return listed[len(listed) // 2]
        for index, pattern in enumerate(_ORDINALS):
            if index < len(listed) and pattern.search(joined, signs):
                return listed[-1 - index] if _FROM_END.search(joined, signs) else listed[index]
        return None
