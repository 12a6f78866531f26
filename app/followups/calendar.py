"""When a follow-up may leave: by day, on weekdays and Saturdays, in Warsaw. Pure.

Hours are those of the clock on the wall, so they hold across the changes to and from summer time.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

WARSAW: Final = ZoneInfo("Europe/Warsaw")
SUNDAY: Final = 6


@dataclass(frozen=True, slots=True)
class Hours:
    """The part of a day in which people may be written to, `opens` included, `closes` not."""

    opens: time = time(9)
    closes: time = time(20)

    def allow(self, moment: datetime) -> bool:
        """Whether a message may leave at this instant."""
        local = moment.astimezone(WARSAW)
        return local.weekday() != SUNDAY and self.opens <= local.time() < self.closes

    def next_allowed(self, moment: datetime) -> datetime:
        """The first instant from `moment` on at which a message may leave, in UTC."""
        if self.allow(moment):
            return moment.astimezone(UTC)
        day = moment.astimezone(WARSAW)
        opening = datetime.combine(day.date(), self.opens, WARSAW)
        while opening <= moment or opening.weekday() == SUNDAY:
            opening = datetime.combine(opening.date() + timedelta(days=1), self.opens, WARSAW)
        return opening.astimezone(UTC)
