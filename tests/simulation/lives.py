"""What happens to whom and when: the plan of a simulation, from its seed alone."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Final

from app.followups.calendar import WARSAW

DAYS: Final = 14
STARTS: Final = (date(2027, 3, 17), date(2027, 10, 21))
"""Two weeks from either hold a change of the clocks, in the night to a Sunday."""
OFTEN: Final = tuple(
    "00:40 03:10 06:30 08:57 09:04 10:20 11:40 13:00 14:30 16:00 17:30 18:50 19:40 20:03 22:15".split()  # noqa: SIM905
)
SELDOM: Final = ("08:57", "13:00", "19:40")
MISSED: Final = 0.12
"""The share of moments that do not come: the next cron is late."""
_BORDERS: Final = frozenset({"08:57", "08:58", "09:04", "20:03"})
_SHARED: Final = 0.3
_ACTS: Final = (0, 0, 0, 1, 1, 2, 3, 5, 8)


class Kind(StrEnum):
    """What a visitor, or somebody about them, does."""

    COMES = "comes"
    WRITES = "writes"
    AGREES = "agrees to mails"
    WITHDRAWS = "withdraws the consent to mails"
    FORBIDS = "withdraws the consent to be handled at all"
    PERMITS = "agrees to be handled again"
    TAKEN = "is taken up by sales"
    BOOKED = "has a meeting"
    FREED = "is a new lead again"
    UNSUBSCRIBES_BY_LINK = "follows the link of their last mail"
    UNSUBSCRIBES_BY_ADDRESS = "unsubscribes by address"


_WEIGHTS: Final = {
    Kind.WRITES: 30,
    Kind.AGREES: 16,
    Kind.WITHDRAWS: 12,
    Kind.FORBIDS: 4,
    Kind.PERMITS: 4,
    Kind.TAKEN: 6,
    Kind.BOOKED: 4,
    Kind.FREED: 5,
    Kind.UNSUBSCRIBES_BY_LINK: 12,
    Kind.UNSUBSCRIBES_BY_ADDRESS: 5,
}


@dataclass(frozen=True, slots=True)
class Life:
    """One conversation, from its beginning to the end of the two weeks."""

    number: int
    email: str
    """As its visitor writes it."""
    locale: str
    answer: str | None
    """What they say at once to marketing by mail."""
    acts: Sequence[tuple[int, Kind]]
    """In which moments they do what, in order; the first is that they come."""

    @property
    def person(self) -> str:
        """Whose it is."""
        return self.email.lower()


def moments(rng: random.Random, start: date, *, often: bool) -> list[datetime]:
    """The instants at which the simulation stops and looks."""
    found: list[datetime] = []
    for day in range(DAYS):
        for face in OFTEN if often else SELDOM:
            if rng.random() >= MISSED:
                late = timedelta(seconds=0 if face in _BORDERS else rng.randint(0, 620))
                day_of = start + timedelta(days=day)
                found.append(datetime.combine(day_of, time.fromisoformat(face), WARSAW) + late)
    return found


def lives(rng: random.Random, count: int, *, last: int) -> list[Life]:
    """So many conversations over moments 0 to `last`, some of them with the address of an earlier one."""
    made: list[Life] = []
    for number in range(count):
        email = f"visitor{number}@example.com"
        if made and rng.random() < _SHARED:
            email = rng.choice(made).email
            email = email.capitalize() if rng.random() < 0.5 else email
        comes = rng.randint(0, last * 6 // 10)
        acts = [(comes, Kind.COMES)]
        acts += [
            (rng.randint(comes + 1, last), rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0])
            for _ in range(rng.choice(_ACTS))
        ]
        answer = rng.choices(("granted", "refused", None), (16, 2, 3))[0]
        locale = rng.choices(("pl", "en"), (3, 1))[0]
        made.append(Life(number, email, locale, answer, sorted(acts, key=lambda act: act[0])))
    return made
