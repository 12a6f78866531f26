"""All slots of one message together: who may take which words, and what the message changes."""

import re
from dataclasses import dataclass, replace
from decimal import Decimal

from app.engine import patterns
from app.engine.knowledge import City, Knowledge
from app.engine.normalise import Text, fold, mend
from app.engine.patterns import Pattern
from app.engine.slots import contact, home
from app.engine.slots.city import CityIndex
from app.engine.slots.name import NameReader
from app.engine.slots.package import Named, PackageIndex
from app.engine.slots.quantities import mask, scan
from app.engine.types import PackageId, Slots

_PRICE_QUESTIONS = frozenset([None, "area_m2", "package", "budget_pln"])
_NO_HOME = home.Home()
_OPENING_NO = re.compile(r"(?:(?:a|o|oj|no|ups) )?(?:nie|no)(?: nie)?[,.!] (?=\w)")
"""A "no" with a pause after it turns down what was said before, not what follows."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one message says, before it is merged: the new slots and the facts that never become slots."""

    slots: Slots
    changed: frozenset[str]
    named: Named
    cities: tuple[City, ...]
    home: home.Home
    bad_phone: bool
    bad_email: bool
    ordinal: bool


class SlotReader:
    """Reads and merges slots with tables built once from the knowledge."""

    def __init__(self, knowledge: Knowledge) -> None:
        """Compile the tables."""
        self.cities = CityIndex.build(knowledge.cities.cities)
        self.packages = PackageIndex(knowledge.packages.packages)
        towns = (form for form in self.cities.forms if " " not in form)
        self._names = NameReader(knowledge.names.first_names, knowledge.names.not_names, towns)
        names = "|".join(re.escape(name) for name in knowledge.firm.spoken)
        self._firm = Pattern(rf" (?:{names}) ") if names else None
        self._limits = (knowledge.prices.min_area_m2, knowledge.prices.max_area_m2)

    def read(
        self, text: Text, before: Slots, *, asked: str | None, listed: tuple[PackageId, ...], bare_area: bool | None
    ) -> Found:
        """The slots after this message; `bare_area` lets a number alone be an area, None forbids it. `asked` is the slot the last reply asked for, `listed` the list it showed."""
        reach = contact.find(text.folded, text.clean, text.signs)
        masked = mask(text.folded, list(reach.spans))
        if text.slips:
            masked = mend(masked, text.slips)
        signs = patterns.signs(masked) if reach.spans else text.signs
        quantities = scan(masked, signs)
        measured = home.read(masked, quantities, self._hints(before, asked, bare_area)) if quantities else _NO_HOME
        opening = _OPENING_NO.match(text.folded)
        skipped = 0 if opening is None else len(opening.group().split())
        joined = text.joined if opening is None else f" {' '.join(text.words[skipped:])} "
        named = self.packages.find(joined, text.signs)
        ordinal = self.packages.ordinal(joined, text.signs, listed) if not named.packages else None
        cities = tuple(self.cities.find_all(text.words[skipped:]))
        name = self._names.find(text, known=before.name, asked=asked == "name", expected=before.has_contact)
        unnamed = text.joined if self._firm is None else self._firm.sub(" ", text.joined, text.signs)
        kind = home.property_type(unnamed, text.signs)
        said = {
            "area_m2": measured.area_m2,
            "package": self._package(
                text, named, ordinal, asked, sized=measured.area_m2 is not None or before.area_m2 is not None
            ),
            "city": cities[-1].name if cities else None,
            "budget_pln": measured.budget_pln,
            "name": name if name is None or fold(name) not in self.cities.forms else None,
            "phone": reach.phone,
            "email": reach.email,
            "property_type": kind,
        }
        update = {field: value for field, value in said.items() if value is not None}
        slots = replace(before, **update) if update else before  # type: ignore[arg-type]
        if "package" not in update and before.package in named.turned_down:
            slots = replace(slots, package=None)
        return Found(
            slots,
            frozenset(update),
            named,
            cities,
            measured,
            reach.bad_phone,
            reach.bad_email,
            ordinal is not None,
        )

    def _hints(self, before: Slots, asked: str | None, bare_area: bool | None) -> home.Hints:
        return home.Hints(
            "area_m2" if asked == "area_m2" else "budget_pln" if asked == "budget_pln" else None,
            bare_area or (bare_area is not None and before.area_m2 is None) or asked in {"area_m2", "package"},
            *self._limits,
            names=self.packages.names,
            known=before.area_m2,
            bare_is_budget=before.area_m2 is not None and before.budget_pln is None and asked in _PRICE_QUESTIONS,
        )

    def _package(
        self, text: Text, named: Named, ordinal: PackageId | None, asked: str | None, *, sized: bool
    ) -> PackageId | None:
        """The one package the visitor means; a comparison of several chooses none."""
        if len(named.packages) == 1:
            return named.packages[0]
        if len(named.packages) > 1:
            return named.packages[-1] if named.turned_down else None
        if ordinal is not None:
            return ordinal
        if asked == "package" or sized or len(text.words) == 1:
            return self.packages.bare(text.words)
        return None


def rounded(value: Decimal) -> Decimal:
    """An area without trailing zeros, for showing and storing."""
    value = value.normalize()
    return value if value.as_tuple().exponent in range(-28, 1) else value.quantize(Decimal(1))
