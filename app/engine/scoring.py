"""How promising a lead is, from 0 to 100, by what the visitor told us and how long they talked."""

from app.engine.types import Slots

_POINTS = {"name": 10, "email": 10, "phone": 10, "city": 10, "area_m2": 10, "package": 15, "budget_pln": 15}
_MAX_FOR_MESSAGES = 10
CALL_WITHIN_HOUR = 70
"""From this score a lead is called within one hour."""
CALL_WITHIN_DAY = 50
"""From this score a lead is called within 24 hours."""


def call_within_hours(points: int) -> int | None:
    """How soon to call a lead with so many points; None when there is no hurry."""
    if points >= CALL_WITHIN_HOUR:
        return 1
    return 24 if points >= CALL_WITHIN_DAY else None


def score(slots: Slots, *, messages: int) -> int:
    """Points for each thing known, plus one for every message of the visitor up to ten; never outside 0-100."""
    known = sum(points for field, points in _POINTS.items() if getattr(slots, field) is not None)
    return min(100, known + max(0, min(messages, _MAX_FOR_MESSAGES)))
