"""Numbers with their units, in digits and in words: the raw material of areas and budgets."""

import re
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Literal

from app.engine.patterns import Pattern, Signs

_MAX_NUMBERS = 40
"""Numbers past this one are not read: nobody describes a flat with more."""

Unit = Literal["area", "sqft", "money", "foreign", "rate", "other", "none"]

_UNITS_PL = (
    "zero",
    "jeden jedna jedno jednego jednej",
    "dwa dwie dwoch dwu",
    "trzy trzech",
    "cztery czterech",
    "piec pieciu",
    "szesc szesciu",
    "siedem siedmiu",
    "osiem osmiu",
    "dziewiec dziewieciu",
    "dziesiec dziesieciu",
    "jedenascie jedenastu",
    "dwanascie dwunastu",
    "trzynascie trzynastu",
    "czternascie czternastu",
    "pietnascie pietnastu",
    "szesnascie szesnastu",
    "siedemnascie siedemnastu",
    "osiemnascie osiemnastu",
    "dziewietnascie dziewietnastu",
)
_TENS_PL = (
    "dwadziescia dwudziestu",
    "trzydziesci trzydziestu",
    "czterdziesci czterdziestu",
    "piecdziesiat piecdziesieciu",
    "szescdziesiat szescdziesieciu",
    "siedemdziesiat siedemdziesieciu",
    "osiemdziesiat osiemdziesieciu",
    "dziewiecdziesiat dziewiecdziesieciu",
)
_HUNDREDS_PL = (
    "sto stu",
    "dwiescie dwustu",
    "trzysta trzystu",
    "czterysta czterystu",
    "piecset pieciuset",
    "szescset szesciuset",
    "siedemset siedmiuset",
    "osiemset osmiuset",
    "dziewiecset dziewieciuset",
)
_UNITS_EN = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS_EN = "twenty thirty forty fifty sixty seventy eighty ninety"


def _word_values() -> dict[str, int]:
    values: dict[str, int] = {}
    for value, forms in enumerate(_UNITS_PL):
        values.update(dict.fromkeys(forms.split(), value))
    for index, forms in enumerate(_TENS_PL):
        values.update(dict.fromkeys(forms.split(), 20 + 10 * index))
    for index, forms in enumerate(_HUNDREDS_PL):
        values.update(dict.fromkeys(forms.split(), 100 + 100 * index))
    values.update({word: value for value, word in enumerate(_UNITS_EN.split(), 1)})
    values.update({word: 20 + 10 * index for index, word in enumerate(_TENS_EN.split())})
    return values


_WORDS = _word_values()
_TIMES = {"dych": 10, "dychy": 10, "dyszek": 10, "stow": 100, "stowy": 100, "stowki": 100, "stowek": 100}
"""Slang that counts: "pięć dych" is 50."""
_WORDS.update(dict.fromkeys(("dycha", "dyche"), 10) | dict.fromkeys(("stowa", "stowe", "stowka", "stowke"), 100))
_HALVES = {"pol": Decimal("0.5"), "cwierc": Decimal("0.25"), "poltora": Decimal("1.5"), "poltorej": Decimal("1.5")}
_POINTS = "ten"
"""In Polish it points at something, and only with a unit is it the English number."""
_SCALE = r"tys(?:iac\w*|iec\w*|ie|i|\.|(?!\w))|tysiak\w*|thousand|grand|k|kol|kola|kolo|kafl\w*|klock\w*|mln\.?|mio|milion\w*|million|bank\w*|banie|bani"
_ONE_WORD = "|".join(sorted((*_WORDS, *_HALVES, *_TIMES, "hundred"), key=len, reverse=True))
_NUMBER = Pattern(
    r"(?=\d)(?<![\w@])(?<!\d[.,/])(?:(?P<group>\d{1,3}(?:[ .,']\d{3})+)(?!\d)(?P<cents>,\d{1,2}(?!\d))?|(?P<plain>\d{1,12}(?:[.,]\d{1,3})?)(?!\d))"
    rf"|\b(?P<words>(?:{_ONE_WORD})(?:[ -](?:and |i )?(?:{_ONE_WORD})){{0,5}})\b"
    r"|\b(?P<alone>milion|million|tysiac)\b(?! (?:pytan|razy|rzecz))"
)
_SCALE_AFTER = re.compile(rf"\s?-?(?P<scale>{_SCALE})(?!\w)")
_AREA_WORD = (
    r"m\s?(?:2|\^2)(?!\d)|m\.?\s?kw(?:\.|adr\w*)?|mkw|metr(?:y|ow|a|ach|ami|owe|owy|owego|owym|owej|owa|aze|az)?"
    r"(?:\s?(?:kw\.?|kwadrat\w*|2))?(?!\w)|metrazu|kwadrat(?:ow|y|ach|a|owe|owy)?(?!\w)|sq\.?\s?m(?:et(?:er|re)s?)?(?!\w)|sqm|"
    r"square\s?(?:m(?:et(?:er|re)s?)?)(?!\w)|met(?:er|re)s?(?!\w)|m(?!\w)"
)
_UNIT_AFTER = re.compile(
    r"\s?[-]?\s?(?:(?P<rate>(?:zl\w*|pln|zlot\w*|eur\w*)?\s?(?:za|/|na|per|od|a)\s?(?:jeden |1 |a |kazdy )?"
    r"(?:m2|m\b|mkw|metr\w*|sqm|sq\.? ?m|square|m\^2))"
    rf"|(?P<sqft>sq\.?\s?f(?:ee)?t|square\s?f(?:ee|oo)t|ft2|sqft)|(?P<area>{_AREA_WORD})"
    r"|(?P<money>zl(?:ot\w*|ociszy)?(?!\w)|pln|zeta|zetow|zloty|polish zl\w*)"
    r"|(?P<foreign>eur(?:o)?(?!\w)|€|usd|\$|gbp|£|dolar\w*|funt\w*|frank\w*|chf|dollars?|pounds?)"
    r"|(?P<other>%|proc\w*|dni\w*|dzien|tyg\w*|mies(?!zk)\w*|lat(?!\w)|lata|roku?(?!\w)|godz\w*|h(?!\w)|min(?!\w)|minut\w*|"
    r"pokoj\w*|pokoi|pietr\w*|rok\b|osob\w*|dziec\w*|szt\w*|cm|mm|km|kilomet\w*|mb|metr\w* biez\w*|am|pm|days?|weeks?|"
    r"months?|years?|rooms?|bed\w*|floors?|people|kids|hours?|raz\w*|okn\w*|drzwi|lazien\w*|bathrooms?|urzadz\w*|"
    r"mieszkan\w*|dom(?:y|ow)(?!\w)|flats|apartments|transz\w*|rat(?:y|ach)?(?!\w)|wariant\w*|pakiet\w*|projekt\w*|"
    r"wizualiz\w*|spotkan\w*|[-:](?=\d)|\.(?=\d)))"
)
_CLOCK = Pattern(r"\b\d{1,2}[:]\d{2}\b|\b\d{1,2}\.\d{1,2}\.\d{2,4}\b|\b\d{2}-\d{3}\b(?!\s?(?:m|zl|tys))")
_DIMENSION = Pattern(
    r"\b\d{1,3}(?:[.,]\d{1,2})?\s?(?:m\s?)?[x×*]\s?\d{1,3}(?:[.,]\d{1,2})?\s?(?:m2?|cm|metr\w*)?(?!\w)"
)


_LONG_NUMBER = 7
SPOKEN: frozenset[str] = frozenset(
    word for word in (*_WORDS, "hundred", "thousand") if len(word) >= _LONG_NUMBER
) | frozenset(
    [
        "metrow",
        "metry",
        "metrowe",
        "metrowy",
        "metrach",
        "metraz",
        "metrazu",
        "kwadratowych",
        "tysiecy",
        "tysiace",
        "tysiac",
        "milion",
        "miliona",
        "milionow",
        "budzet",
        "budzetu",
    ]
)
"""Words that a slip of the keyboard may have been meant to be; the short ones are too near to others."""
UNLIKE: frozenset[str] = frozenset(["metro", "metra", "meter", "meters", "metre", "metres", "metrem"])
"""Words near to those that mean something else."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in the text: its value with scale words applied, its unit, and where it stands in the folded text."""

    value: Decimal
    unit: Unit
    scaled: bool
    start: int
    end: int


def mask(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with the given spans made blank; positions stay the same."""
    for start, end in spans:
        text = text[:start] + "\x00" * (end - start) + text[end:]
    return text


def scan(folded: str, signs: Signs) -> list[Quantity]:
    """Every number of a folded text, in order. Clock times, dates, postal codes and room dimensions are left out."""
    if not _NUMBER.may_match(signs):
        return []
    spans = [match.span() for pattern in (_CLOCK, _DIMENSION) for match in pattern.finditer(folded, signs)]
    text = mask(folded, spans)
    found: list[Quantity] = []
    for match in islice(_NUMBER.regex.finditer(text), _MAX_NUMBERS):
        quantity = _quantity(match, text) if not found or match.start() >= found[-1].end else None
        if quantity is not None:
            found.append(quantity)
    return found


def _quantity(match: re.Match[str], text: str) -> Quantity | None:
    end = match.end()
    alone = match.group("alone")
    if alone is not None:
        value, end = _after_scale(Decimal(_factor(alone)), text, end)
        unit, end = _unit(text, end)
        return Quantity(value, unit, True, match.start(), end)
    value = _digits(match) if match.group("words") is None else _from_words(match.group("words"))
    scale = _SCALE_AFTER.match(text, end)
    scaled = False
    if scale is not None:
        end = scale.end()
        value *= _factor(scale.group("scale"))
        scaled = True
        value, end = _after_scale(value, text, end)
    elif match.group("words") is not None and match.group("words") in _HALVES:
        return None
    unit, end = _unit(text, end)
    if match.group("words") == _POINTS and unit == "none" and not scaled:
        return None
    return Quantity(value, unit, scaled, match.start(), end)


def _factor(scale: str) -> int:
    return 1_000_000 if scale.startswith(("mln", "mil", "mio", "ban")) else 1000


def _after_scale(value: Decimal, text: str, end: int) -> tuple[Decimal, int]:
    """Adds what follows the scale word: "sto dwadziescia tysiecy piecset", "1 mln 200 tys"."""
    follow = _NUMBER.regex.match(text, end + 1) if text[end : end + 1] == " " else None
    if follow is None or follow.group("alone") is not None:
        return value, end
    if _is_area(text, follow.end()):
        return value, end
    more = _digits(follow) if follow.group("words") is None else _from_words(follow.group("words"))
    scale = _SCALE_AFTER.match(text, follow.end())
    if scale is not None and value >= 1_000_000 and _factor(scale.group("scale")) == 1000:
        return value + more * 1000, scale.end()
    if scale is None and follow.group("words") is not None and value >= 1_000_000 and more >= 100:
        return value + more * 1000, follow.end()
    if scale is None and follow.group("words") is not None and more < 1000 and value >= 1000:
        return value + more, follow.end()
    return value, end


def _is_area(text: str, end: int) -> bool:
    match = _UNIT_AFTER.match(text, end)
    return match is not None and match.lastgroup == "area"


def _unit(text: str, end: int) -> tuple[Unit, int]:
    match = _UNIT_AFTER.match(text, end)
    if match is None:
        return "none", end
    for name in ("rate", "sqft", "area", "money", "foreign", "other"):
        if match.group(name) is not None:
            return name, match.end()
    return "none", end


def _digits(match: re.Match[str]) -> Decimal:
    group = match.group("group")
    if group is not None:
        return Decimal(re.sub(r"\D", "", group)) + Decimal((match.group("cents") or ",0").replace(",", "0."))
    return Decimal(match.group("plain").replace(",", "."))


def _from_words(words: str) -> Decimal:
    total = Decimal(0)
    for word in re.split(r"[ -]", words):
        if word in _HALVES:
            total += _HALVES[word]
        elif word == "hundred":
            total = max(total, Decimal(1)) * 100
        elif word in _TIMES:
            total = max(total, Decimal(1)) * _TIMES[word]
        else:
            total += _WORDS.get(word, 0)
    return total
