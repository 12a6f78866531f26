"""Opening hours: whether somebody is in the office at a moment, and when somebody will be."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.engine.holidays import is_holiday
from app.engine.knowledge import FirmFile, Hours

_LONGEST_BREAK = 29
"""Days to look ahead: an office that opens once a week may meet several holidays in a row."""


@dataclass(frozen=True, slots=True)
class Run:
    """Weekdays (Monday is 0) in a row with the same hours, or closed all day (None)."""

    first: int
    last: int
    hours: Hours | None


@dataclass(frozen=True, slots=True)
class Opening:
    """The office at a moment: open, or when it opens next (days from today, weekday, hour)."""

    is_open: bool
    days_ahead: int
    weekday: int
    hour: int


def opening(firm: FirmFile, now: datetime) -> Opening:
    """The state of the office at `now`, which must be aware, in the firm's own time zone."""
    local = now.astimezone(ZoneInfo(firm.timezone))
    for ahead in range(_LONGEST_BREAK):
        day = local.date() + timedelta(days=ahead)
        hours = firm.hours.get(day.weekday())
        if (
            hours is None
            or (firm.holidays is not None and is_holiday(day, firm.holidays))
            or (ahead == 0 and local.hour >= hours.closes)
        ):
            continue
        is_open = ahead == 0 and local.hour >= hours.opens
        return Opening(is_open, ahead, day.weekday(), hours.opens)
    return Opening(is_open=False, days_ahead=0, weekday=local.weekday(), hour=0)


def opens_at(firm: FirmFile, now: datetime) -> datetime | None:
    """When the office opens next, seen at `now`; None while it is open, and where it never is."""
    state = opening(firm, now)
    if state.is_open or not any(firm.hours.values()):
        return None
    zone = ZoneInfo(firm.timezone)
    day = now.astimezone(zone).date() + timedelta(days=state.days_ahead)
    return datetime.combine(day, time(state.hour), tzinfo=zone)


def week(firm: FirmFile) -> list[Run]:
    """The week as runs of days that are alike."""
    runs: list[Run] = []
    for day in range(7):
        hours = firm.hours.get(day)
        if runs and runs[-1].hours == hours:
            runs[-1] = Run(runs[-1].first, day, hours)
        else:
            runs.append(Run(day, day, hours))
    return runs
