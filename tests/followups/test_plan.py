"""When follow-ups leave: never at night, never on Sunday, never two in a day, each number once and in order."""

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.followups.calendar import WARSAW, Hours
from app.followups.plan import ONE_A_DAY, Quiet, next_followup

DELAYS = (timedelta(hours=24), timedelta(hours=72), timedelta(hours=168))
HOURS = Hours()

instants = st.datetimes(
    min_value=datetime(2024, 1, 1),  # noqa: DTZ001  hypothesis adds the zone
    max_value=datetime(2030, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def warsaw(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=WARSAW)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("moment", "leaves"),
    [
        (warsaw(2026, 11, 26, 12), warsaw(2026, 11, 26, 12)),
        (warsaw(2026, 11, 26, 20), warsaw(2026, 11, 27, 9)),
        (warsaw(2026, 11, 26, 8, 59), warsaw(2026, 11, 26, 9)),
        (warsaw(2026, 11, 28, 21), warsaw(2026, 11, 30, 9)),
        (warsaw(2026, 11, 29, 12), warsaw(2026, 11, 30, 9)),
        (warsaw(2026, 3, 28, 23), warsaw(2026, 3, 30, 9)),
        (warsaw(2026, 10, 24, 23), warsaw(2026, 10, 26, 9)),
    ],
)
def test_a_message_waits_for_the_day(moment: datetime, leaves: datetime) -> None:
    assert HOURS.next_allowed(moment) == leaves


@given(instants)
def test_what_may_leave_leaves_at_once_and_nothing_leaves_early_at_night_or_on_sunday(moment: datetime) -> None:
    leaves = HOURS.next_allowed(moment)
    assert leaves >= moment
    assert HOURS.allow(leaves)
    local = leaves.astimezone(WARSAW)
    assert local.isoweekday() != 7
    assert time(9) <= local.time() < time(20)
    assert leaves - moment < timedelta(hours=38)
    if HOURS.allow(moment):
        assert leaves == moment


@given(last=instants, number=st.integers(0, 3), since=st.none() | st.timedeltas(timedelta(0), timedelta(days=9)))
def test_each_number_comes_in_order_after_its_silence_and_a_day_after_the_one_before(
    last: datetime, number: int, since: timedelta | None
) -> None:
    written = None if since is None else last + since
    found = next_followup(Quiet(last, number, written), delays=DELAYS, hours=HOURS)
    if number == len(DELAYS):
        assert found is None
        return
    assert found is not None
    assert found.number == number + 1
    assert found.due_at >= last + DELAYS[number]
    assert written is None or found.due_at >= written + ONE_A_DAY
    assert HOURS.allow(found.due_at)
