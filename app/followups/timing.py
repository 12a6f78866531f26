"""When follow-ups leave, as the settings say. Pure."""

from dataclasses import dataclass, field
from datetime import time, timedelta
from typing import Final, Self

from app.core.settings import Settings
from app.followups.calendar import Hours

DAY: Final = 24


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a conversation must be quiet for each number, and the hours in which people may be written to."""

    delays: tuple[timedelta, ...] = (timedelta(hours=24), timedelta(hours=72), timedelta(hours=168))
    hours: Hours = field(default_factory=Hours)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The timing that the environment describes."""
        return cls(
            tuple(timedelta(hours=hours) for hours in settings.followup_hours),
            Hours(
                time(settings.followup_opens),
                time(settings.followup_closes) if settings.followup_closes < DAY else time.max,
            ),
        )
