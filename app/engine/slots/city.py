"""The visitor's town, from a table of inflected forms, districts and slang."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from app.engine.knowledge import City

_MAX_WORDS = 3
_BESIDE = frozenset(["pod", "kolo", "obok", "niedaleko", "blisko", "near"])
"""Of "Piaseczno pod Warszawą" the first one is meant."""
_NEGATED = re.compile(r"\b(?:nie|not)(?: w| we| z| ze| in| from)?$|\b(?:zamiast|oprocz|poza)(?: w| z)?$")


@dataclass(frozen=True, slots=True)
class CityIndex:
    """Forms to cities, built once."""

    forms: dict[str, City]
    first_words: frozenset[str]

    @classmethod
    def build(cls, cities: Iterable[City]) -> "CityIndex":
        """An index of every form, the town's own folded name included by its forms."""
        forms = {form: city for city in cities for form in city.forms}
        return cls(forms, frozenset(form.split(" ")[0] for form in forms))

    def find_all(self, words: tuple[str, ...]) -> list[City]:
        """The towns named in folded words, in order, longest form first; negated ones are left out."""
        found: list[City] = []
        position = 0
        while position < len(words):
            if words[position] not in self.first_words:
                position += 1
                continue
            for length in range(min(_MAX_WORDS, len(words) - position), 0, -1):
                city = self.forms.get(" ".join(words[position : position + length]))
                if city is not None:
                    beside = found and position and words[position - 1] in _BESIDE
                    if not beside and not _NEGATED.search(" ".join(words[max(0, position - 2) : position])):
                        found.append(city)
                    position += length - 1
                    break
            position += 1
        return found
