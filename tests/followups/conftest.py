"""What writes follow-ups, and a clock that a test sets."""

from collections.abc import Callable
from datetime import datetime

import pytest

from app.core import clock
from app.core.settings import Settings
from app.engine.engine import Engine
from app.followups.service import Followups

SetClock = Callable[[datetime], None]


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine over its own knowledge."""
    return Engine.load()


@pytest.fixture
def followups(engine: Engine) -> Followups:
    """Follow-ups with mail."""
    return Followups.of(Settings(smtp_url="smtp://127.0.0.1:9", mail_from="czat@novahouse.example"), engine)


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Makes this process believe that it is then."""
    return lambda moment: monkeypatch.setattr(clock, "now", lambda: moment)
