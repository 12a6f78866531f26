"""The home itself: floor area, budget and kind of property, from the message's quantities."""

import re
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from app.engine.patterns import Pattern, Signs
from app.engine.slots.quantities import Quantity, mask
from app.engine.types import PropertyType

_SQFT = Decimal("0.09290304")
_ROOM = (
    r"\b(?:lazien\w*|kuchni\w*|kuchnia|salon\w*|pokoju|pokoj|sypialn\w*|balkon\w*|taras\w*|loggi\w*|ogrod\w*|garaz\w*|piwnic\w*|"
    r"komork\w* lokator\w*|przedpok\w*|hol\w*|antresol\w*|garderob\w*|toalet\w*|wc|dzialk\w*|scian\w*|plyt\w*|"
    r"bath\w*|kitchen\w*|living room|bedroom\w*|balcon\w*|terrace\w*|garden\w*|garage\w*|hall\w*|room\w*|walls?|tiles?)"
)
_ROOM_BEFORE = re.compile(
    rf"{_ROOM}(?: (?:o|ma|mam|na|to|of|is|jest|ok|okolo|wysokosci|powierzchni|metrazu|pow))*[ :(-]{{0,3}}(?:ok\.? ?|okolo ?|~ ?)?$"
)
_ROOM_AFTER = re.compile(rf"[ -]{{0,2}}(?:to |of (?:a |the )?)?{_ROOM}")
_HOME_BEFORE = re.compile(
    r"(?:mieszkan\w*|dom(?:u|em|ek|ku|)?|lokal\w*|apart\w*|flat|house|home|kawaler\w*|metraz\w*|powierzchni\w*|studio|area|size|m2|metrow|biur\w*|szereg\w*|blizniak\w*)"
    r"[^\d]{0,25}$"
)
_AREA_CUE = re.compile(
    r"(?:metraz\w*|powierzchni\w*|pow\.|area|size|m2|metrow|metry)(?: (?:to|ma|is|of|jest|ok|okolo|mieszkania|lokalu|wynosi|around|about))*[ :=~.-]{0,3}$"
)
_NEGATIVE = re.compile(r"(?<!\d)(?<!\d )-\s?$")
_FILLER = re.compile(
    r"^(?:(?:no|nie|how|what|and|za|zle (?:policzy\w+|poda\w+|napisa\w+|zmierzy\w+)|pomyli\w+ sie|zmierzy\w+|wyszlo|(?:powinno|mialo) byc|ma byc|chodzi\w* o|jakbym|gdybym|gdyby|jesli|if|i had|mial|miala|bylo|we had|ok\.?|okolo|jakies|mam|mamy|to|moze|about|around|jednak|a|przy|dla|na|z|w|ile|wyjdzie|kosztuje|bedzie|much|would|pakiet\w*|dobra|dobrze|chyba|sorry|sorki|sory|prosze|poprosze|o|wycena|wycene|wyceny|ups|oj|oops|znaczy|tzn|czekaj|wait|i mean|tylko|lecz|ale|but|raczej|wlasciwie|jest|bedzie|jakos|just|pomylka|maybe|it's|it is|actually|for|ma|przepraszam)[ ,.~:-]{1,3})*~?$"
)
_DISCARDED = re.compile(r"(?:\bnie(?: mam| ma)?|\bnot|zamiast|instead of|wczesniej mowilem) (?:ok\.? |okolo )?$")
_OPPOSED = re.compile(r",? (?:a )?nie (?:ok\.? |okolo )?")
_TAKEN_BACK = re.compile(r" ?(?:to|bylo|byla|jest) (?:nie|zle|blad|pomylka|nieprawda)\b")
_BUDGET_CUE = re.compile(
    r"(?:(?:doloz|dorzuc|podnios|podnies|zwieksz)\w* do|budz\w*|budget\w*|dysponuj\w*|przeznacz\w*|wydac|wydamy|wydam\b|kwot\w*|maks\w*|max\w*|limit\w*|nie wiecej niz|gora|zmiesci\w*|uzbier\w*|"
    r"odlozon\w*|kas[aey]\w*|fundusz\w*|pieni\w*|hajs\w*|stac (?:mnie|nas)|dostan\w*|can i get|spend|afford|up to|at most|have about|mam do wydania|srodk\w*|finans\w*)[^\d?!]{0,45}$"
)
_HAVE_CUE = re.compile(
    r"(?:\bmam\b|\bmamy\b|\bdo\b|\bza\b|\bokolo\b|\bok\.?|\bi have\b|\bwe have\b|\bfor\b|\bunder\b|~|\bposiadam\b|\bgotowk\w*)[^\d?!]{0,25}$"
)
_BUDGET_AFTER = re.compile(
    r"[ ,]{0,2}(?:zl\w*|pln|zlotych)?[ ,]{0,2}(?:budzet\w*|budget|na wykonczeni\w*|max|maks\w*|na calosc|gora|do wydania|to moj (?:limit|max|budzet))"
)
_RATE_AFTER = re.compile(
    r"[ ,]{0,2}(?:to )?(?:moge|mozemy|moj|max|maks\w*|budzet\w*|gora|chce wydac|tyle mam|i can|is my|my max)\b"
)
_CLAIM = re.compile(
    r"(?:koszt\w*|rabat\w*|znizk\w*|promocj\w*|konkurenc\w*|oferuj\w*|zaplac\w*|placil\w*|kaucj\w*|kredyt\w*|rat[aey]\b|zarabia\w*|cena to|costs?|discount|potwierdz\w*|doplat\w*|kara|kary)[^\d]{0,30}$"
)
_MIN_UNANNOUNCED = 10_000
_MIN_ALONE = 20_000
_ROUND = 1000

_KINDS: tuple[tuple[PropertyType, Pattern], ...] = (
    (
        "commercial",
        Pattern(
            r" lokal\w* (?:uslug|uzytk|handl|gastro|komerc)\w*| (?:sklep|gabinet|restauracj|hotel|pensjonat|kawiarni)\w* (?:\d|o |do wyk|w )"
            r"| (?:wykoncz\w*|mam|mamy|remont\w*|urzadz\w*) (?:\w+ )?(?:biur[aoe]|sklep\w*|gabinet\w*|restauracj\w*|hotel\w*)"
            r"| (?:biuro|biura|sklep|gabinet) \d+ | (?:commercial|office space|retail|(?:my|our|an) office|office \d+) "
        ),
    ),
    (
        "house",
        Pattern(
            r" (?:dom|domek|domku|domem|domy|blizniak\w*|szeregow\w*|segment\w?|willa|willi|wille|house|townhouse|villa|dom\w? jednorodzinn\w*|wykonczeni\w* domu|domu (?:jedno\w*|\d+|o pow\w*|w stanie|parter\w*|pod)|(?:m|m2|mkw|metrow) domu) "
        ),
    ),
    (
        "apartment",
        Pattern(
            r" (?:mieszkan\w*|kawaler\w*|apartament\w*|apartment\w*|apartement\w*|flat|flats|studio|condo|m[2345]|lokal\w* mieszkal\w*|loft\w*) "
        ),
    ),
)
_NOT_HOUSE = Pattern(r" (?:do|z|w) (?:dom|house) ")


@dataclass(frozen=True, slots=True)
class Home:
    """What the quantities of one message say; `area_odd` when an area was given that nobody finishes."""

    area_m2: Decimal | None = None
    area_odd: Decimal | None = None
    room_area: bool = False
    budget_pln: int | None = None
    budget_per_m2: Decimal | None = None
    foreign_money: bool = False
    price_claimed: bool = False
    """An amount is said to be what something costs."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What the conversation expects a bare number to be, and the areas we quote."""

    asked: Literal["area_m2", "budget_pln"] | None
    bare_is_area: bool
    min_area: Decimal
    max_area: Decimal
    names: re.Pattern[str]
    """The packages' names: "a Premium dla 75" is as bare as "a dla 75"."""
    known: Decimal | None = None
    """The area told before; a message that takes it back means the number beside it."""
    bare_is_budget: bool = False
    """A large round number alone is what can be spent."""


def read(folded: str, quantities: list[Quantity], hints: Hints) -> Home:
    """Area and budget of a message; the last one said wins, rooms and turned-down numbers do not count."""
    areas: list[Decimal] = []
    rooms = False
    odd: Decimal | None = None
    budget: int | None = None
    rate: Decimal | None = None
    foreign = False
    dropped = [
        one
        for one in quantities
        if _DISCARDED.search(folded[max(0, one.start - 60) : one.start]) or _TAKEN_BACK.match(folded, one.end)
    ]
    kept = [one for one in quantities if one not in dropped]
    kept = [_like_its_opposite(one, dropped, folded) for one in kept]
    if any(one.value == hints.known for one in dropped):
        hints = replace(hints, bare_is_area=True)
    folded = mask(folded, [(one.start, one.end) for one in dropped])
    alone = len(kept) == 1
    for quantity in kept:
        before = folded[max(0, quantity.start - 60) : quantity.start].replace("\x00", "")
        if quantity.unit == "rate" and not _CLAIM.search(before):
            meant = _BUDGET_CUE.search(before) or _HAVE_CUE.search(before) or _RATE_AFTER.match(folded, quantity.end)
            rate = quantity.value if meant else rate
        elif _is_area(quantity, before, hints, alone=alone, folded=folded):
            if _is_room(quantity, before, folded):
                rooms = True
            else:
                value = _square_metres(quantity)
                sane = hints.min_area <= value <= hints.max_area and not _NEGATIVE.search(before)
                areas.extend([value] if sane else [])
                odd = odd if sane else value
        elif quantity.unit == "foreign":
            foreign = True
        else:
            found = _budget(quantity, before, folded, hints, alone=alone)
            budget = budget if found is None else found
    area = areas[-1] if areas else None
    claimed = any(
        one.unit in {"money", "rate", "none"}
        and one.value >= 1
        and _CLAIM.search(folded[max(0, one.start - 60) : one.start])
        for one in kept
    )
    return Home(area, odd if area is None else None, rooms, budget, rate, foreign and budget is None, claimed)


def _like_its_opposite(quantity: Quantity, dropped: list[Quantity], folded: str) -> Quantity:
    """Of "65 a nie 56 metrów" both are metres."""
    if quantity.unit == "none":
        for other in dropped:
            if _OPPOSED.fullmatch(folded, quantity.end, other.start):
                return replace(quantity, unit=other.unit)
    return quantity


def property_type(joined: str, signs: Signs) -> PropertyType | None:
    """The kind of property a message names, from its space-joined folded words."""
    joined = _NOT_HOUSE.sub(" ", joined, signs)
    for kind, pattern in _KINDS:
        if pattern.search(joined, signs):
            return kind
    return None


def _is_area(quantity: Quantity, before: str, hints: Hints, *, alone: bool, folded: str) -> bool:
    if quantity.unit in {"area", "sqft"}:
        return not quantity.scaled
    if quantity.unit != "none" or quantity.scaled:
        return False
    if _AREA_CUE.search(before):
        return True
    if hints.asked == "area_m2" and alone and not _BUDGET_CUE.search(before):
        return True
    return (
        hints.bare_is_area
        and alone
        and _FILLER.search(hints.names.sub(" ", before).lstrip()) is not None
        and len(folded) - quantity.end <= 8
        and hints.min_area <= quantity.value <= hints.max_area
    )


def _is_room(quantity: Quantity, before: str, folded: str) -> bool:
    if _ROOM_BEFORE.search(before):
        return True
    return _HOME_BEFORE.search(before) is None and _ROOM_AFTER.match(folded, quantity.end) is not None


def _square_metres(quantity: Quantity) -> Decimal:
    if quantity.unit == "sqft":
        return (quantity.value * _SQFT).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    return quantity.value


def _budget(quantity: Quantity, before: str, folded: str, hints: Hints, *, alone: bool) -> int | None:
    """Whole zloty when this quantity is what the visitor can spend."""
    if quantity.unit not in {"money", "none"} or quantity.value < 1:
        return None
    asked = hints.asked == "budget_pln" and alone
    announced = _BUDGET_CUE.search(before) is not None or _BUDGET_AFTER.match(folded, quantity.end) is not None
    if not asked and _CLAIM.search(before) and not (announced and "budz" in before):
        return None
    value = quantity.value
    bare = quantity.unit == "none" and not quantity.scaled
    if bare and hints.bare_is_budget and alone and value >= _MIN_ALONE and value % _ROUND == 0:
        asked = _FILLER.search(before) is not None and len(folded) - quantity.end <= 8
    if announced or asked:
        return int(value * 1000 if bare and value < 1000 else value)
    if value < _MIN_UNANNOUNCED or (bare and not (_HAVE_CUE.search(before) and value >= 20_000)):
        return None
    return int(value)
