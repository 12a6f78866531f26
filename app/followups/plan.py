"""Which follow-up of a conversation comes next and when. Pure: a decision from facts, without a clock or a database."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.followups.calendar import Hours

ONE_A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Quiet:
    """What is known of a conversation that may be followed up."""

    last_message_at: datetime
    """The visitor's last message."""
    last_number: int
    """The highest number written so far, whatever became of it; 0 for none."""
    last_written_at: datetime | None
    """When this person was last written to by a follow-up, in any conversation."""


@dataclass(frozen=True, slots=True)
class Next:
    """The follow-up to write."""

    number: int
    due_at: datetime


def next_followup(quiet: Quiet, *, delays: tuple[timedelta, ...], hours: Hours) -> Next | None:
    """The next number and the first instant at which it may leave; None when all were written.

    The n-th is due when the conversation has been quiet for `delays[n - 1]`, never within a day of another follow-up
    to the same person, and only within `hours`. A late schedule catches up one at a time, in order.
    """
    number = quiet.last_number + 1
    if number > len(delays):
        return None
    due = quiet.last_message_at + delays[number - 1]
    if quiet.last_written_at is not None:
        due = max(due, quiet.last_written_at + ONE_A_DAY)
    return Next(number, hours.next_allowed(due))
