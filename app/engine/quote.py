"""Prices: the row valid on a day, area times price in Decimal, and the package a budget allows. Nothing else states a price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from app.engine.knowledge import PriceFile, PriceRow
from app.engine.types import PackageId

_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Amount:
    """What an area costs in a package: the price row used and the total, a range where the row is one."""

    row: PriceRow
    total: Decimal
    total_max: Decimal | None


def price_on(rows: Mapping[PackageId, Sequence[PriceRow]], package: PackageId, day: date) -> PriceRow:
    """The package's latest row that has begun on that day; before the first row, the first row. Rows rise by date."""
    own = rows[package]
    return next((row for row in reversed(own) if row.valid_from <= day), own[0])


def amount(row: PriceRow, area_m2: Decimal) -> Amount:
    """Area times price, rounded half up to the grosz. The area is the caller's to check."""
    return Amount(
        row, _round(area_m2 * row.per_m2), None if row.per_m2_max is None else _round(area_m2 * row.per_m2_max)
    )


def area_is_sane(prices: PriceFile, area_m2: Decimal) -> bool:
    """True for an area we quote at all."""
    return area_m2.is_finite() and prices.min_area_m2 <= area_m2 <= prices.max_area_m2


def package_for(prices: PriceFile, per_m2: Decimal) -> PackageId:
    """The package for a budget per square metre, by the firm's rule."""
    for rule in prices.budget_rules:
        if rule.up_to is None or per_m2 <= rule.up_to:
            return rule.package
    return prices.budget_rules[-1].package


def zloty(value: Decimal) -> str:
    """Whole zloty with no-break spaces between thousands: "103 948 zł"."""
    whole = int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))
    return f"{whole:,}".replace(",", "\N{NO-BREAK SPACE}") + "\N{NO-BREAK SPACE}zł"


def _round(value: Decimal) -> Decimal:
    return value.quantize(_CENT, rounding=ROUND_HALF_UP)
