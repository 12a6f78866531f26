"""Opening hours: by the clock of the firm's own town, through the changes of time and Poland's public holidays."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.engine import hours
from app.engine.holidays import easter, is_holiday
from tests.engine.talking import Visitor, engine

WARSAW = ZoneInfo("Europe/Warsaw")


def at(year: int, month: int, day: int, hour: int = 12, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=WARSAW)


@pytest.mark.parametrize(
    ("year", "month", "day"),
    [(1961, 4, 2), (2000, 4, 23), (2008, 3, 23), (2019, 4, 21), (2025, 4, 20), (2026, 4, 5), (2027, 3, 28),
     (2028, 4, 16), (2030, 4, 21), (2038, 4, 25), (2049, 4, 18), (2076, 4, 19)],
)  # fmt: skip
def test_easter_is_when_it_is(year: int, month: int, day: int) -> None:
    assert easter(year) == date(year, month, day)


def test_easter_is_always_a_sunday_between_its_first_and_its_last_day() -> None:
    for year in range(1900, 2300):
        found = easter(year)
        assert found.weekday() == 6
        assert date(year, 3, 22) <= found <= date(year, 4, 25)


def test_the_public_holidays_of_2026() -> None:
    found = [day for n in range(365) if is_holiday(day := date(2026, 1, 1) + timedelta(days=n), "PL")]
    assert [f"{day:%d.%m}" for day in found] == [
        "01.01", "06.01", "05.04", "06.04", "01.05", "03.05", "24.05", "04.06", "15.08", "01.11", "11.11",
        "24.12", "25.12", "26.12",
    ]  # fmt: skip


def test_christmas_eve_is_one_since_2025() -> None:
    assert [is_holiday(date(year, 12, 24), "PL") for year in (2023, 2024, 2025, 2026)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("now", "when"),
    [
        (at(2026, 11, 25), None),
        (at(2026, 11, 25, 8, 59), (0, 2, 9)),
        (at(2026, 11, 25, 9), None),
        (at(2026, 11, 25, 16, 59), None),
        (at(2026, 11, 25, 17), (1, 3, 9)),
        (at(2026, 11, 28, 13, 59), None),
        (at(2026, 11, 28, 14), (2, 0, 9)),
        (at(2026, 11, 29), (1, 0, 9)),
        (at(2026, 11, 11), (1, 3, 9)),
        (at(2026, 11, 10, 18), (2, 3, 9)),
        (at(2026, 4, 4, 15), (3, 1, 9)),
        (at(2026, 4, 6), (1, 1, 9)),
        (at(2026, 6, 4), (1, 4, 9)),
        (at(2026, 12, 23, 18), (5, 0, 9)),
        (at(2026, 12, 24, 10), (4, 0, 9)),
        (at(2024, 12, 24, 10), None),
        (at(2026, 12, 31, 17), (2, 5, 10)),
        (at(2027, 1, 1), (1, 5, 10)),
        (at(2026, 1, 5, 17), (2, 2, 9)),
        (at(2025, 5, 2, 18), (3, 0, 9)),
        (at(2026, 3, 28, 15), (2, 0, 9)),
        (at(2026, 10, 24, 15), (2, 0, 9)),
    ],
)
def test_it_is_open_or_says_when_it_will_be(now: datetime, when: tuple[int, int, int] | None) -> None:
    found = hours.opening(engine().firm, now.astimezone(UTC))
    assert found.is_open == (when is None)
    if when is not None:
        assert (found.days_ahead, found.weekday, found.hour) == when


@pytest.mark.parametrize(("day", "utc_hour"), [((2026, 3, 27), 8), ((2026, 3, 30), 7), ((2026, 10, 26), 8)])
def test_it_opens_at_nine_on_the_wall_in_summer_and_in_winter(day: tuple[int, int, int], utc_hour: int) -> None:
    opens = datetime(*day, utc_hour, tzinfo=UTC)
    assert hours.opening(engine().firm, opens).is_open
    assert not hours.opening(engine().firm, opens - timedelta(minutes=1)).is_open


def test_an_office_that_keeps_no_holidays_is_open_on_them() -> None:
    firm = engine().firm.model_copy(update={"holidays": None})
    assert hours.opening(firm, at(2026, 11, 11)).is_open


def test_an_office_that_opens_once_a_week_skips_the_weeks_of_holidays() -> None:
    firm = engine().firm
    fridays = firm.model_copy(update={"hours": {4: firm.hours[4]}})
    found = hours.opening(fridays, at(2026, 12, 24))
    assert (found.is_open, found.days_ahead) == (False, 15), "25 December and 1 January are Fridays"


@pytest.mark.parametrize(
    ("now", "text", "words"),
    [
        (at(2026, 4, 4, 18), "czy biuro jest teraz otwarte?", "otwieramy we wtorek od 9:00"),
        (at(2026, 11, 28, 18), "czy biuro jest teraz otwarte?", "otwieramy w poniedziałek od 9:00"),
        (at(2026, 12, 24, 10), "is the office open now?", "opens on Monday from 9:00"),
        (at(2026, 11, 25), "jakie macie godziny otwarcia?", "w święta nieczynne"),
        (at(2026, 11, 25), "what are your opening hours?", "closed on Sunday, public holidays"),
    ],
)
def test_the_visitor_hears_the_right_day(now: datetime, text: str, words: str) -> None:
    said = Visitor("pl", now).say(text).replies[0].text
    assert words in said
