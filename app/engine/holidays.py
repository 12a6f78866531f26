"""Public holidays, by country. Pure.

Poland's are those of the act on days free from work (ustawa z 18 stycznia 1951 r. o dniach wolnych od pracy); Christmas
Eve is one since 2025 (Dz.U. 2024 poz. 1965).
"""

from datetime import date, timedelta
from functools import lru_cache
from typing import Final, Literal

Country = Literal["PL"]

_FIXED: Final = ((1, 1), (1, 6), (5, 1), (5, 3), (8, 15), (11, 1), (11, 11), (12, 25), (12, 26))
_AFTER_EASTER: Final = (0, 1, 49, 60)
"""Easter, its Monday, Pentecost, Corpus Christi."""
_CHRISTMAS_EVE_SINCE: Final = 2025


def is_holiday(day: date, country: Country) -> bool:
    """Whether nobody works on this day by law."""
    return day in _BY_COUNTRY[country](day.year)


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (Meeus, Jones and Butcher)."""
    golden, century = year % 19, year // 100
    moon = (19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    week = (32 + 2 * (century % 4) + 2 * (year % 100 // 4) - moon - year % 100 % 4) % 7
    late = (golden + 11 * moon + 22 * week) // 451
    month, day = divmod(moon + week - 7 * late + 114, 31)
    return date(year, month, day + 1)


@lru_cache(maxsize=8)
def _polish(year: int) -> frozenset[date]:
    movable = {easter(year) + timedelta(days=days) for days in _AFTER_EASTER}
    fixed = {date(year, month, day) for month, day in _FIXED}
    eve = {date(year, 12, 24)} if year >= _CHRISTMAS_EVE_SINCE else set()
    return frozenset(movable | fixed | eve)


_BY_COUNTRY: Final = {"PL": _polish}
