"""When follow-ups leave, as the environment says it."""

from datetime import time, timedelta

import pytest

from app.core.settings import Settings, SettingsError, read_settings
from app.followups.calendar import Hours
from app.followups.timing import Timing
from tests.followups.people import NOON


def test_without_settings_it_is_after_one_three_and_seven_days_from_nine_to_eight() -> None:
    hours = (timedelta(hours=24), timedelta(hours=72), timedelta(hours=168))
    assert Timing.of(Settings()) == Timing() == Timing(hours, Hours(time(9), time(20)))


def test_the_environment_may_say_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLLOWUP_HOURS", "1, 2.5")
    monkeypatch.setenv("FOLLOWUP_OPENS", "0")
    monkeypatch.setenv("FOLLOWUP_CLOSES", "24")
    timing = Timing.of(read_settings())
    assert timing.delays == (timedelta(hours=1), timedelta(hours=2.5))
    assert timing.hours.allow(NOON.replace(hour=0))
    assert timing.hours.allow(NOON.replace(hour=23, minute=59))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FOLLOWUP_HOURS", "72,24"),
        ("FOLLOWUP_HOURS", "24,24"),
        ("FOLLOWUP_HOURS", "0"),
        ("FOLLOWUP_HOURS", ","),
        ("FOLLOWUP_HOURS", "soon"),
        ("FOLLOWUP_OPENS", "20"),
        ("FOLLOWUP_CLOSES", "25"),
        ("DKIM_SELECTOR", "s1"),
    ],
)
def test_what_makes_no_sense_is_one_line(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        read_settings()
    assert "\n" not in str(refused.value)
    assert name in str(refused.value)
