"""Requests as operators see them, with their clocks. Pure."""

from datetime import timedelta
from typing import Any

from app.core import clock
from app.core.db import AnyRow

_DAY = timedelta(days=1)


def listed(row: AnyRow) -> dict[str, Any]:
    """A row of `service.page` with the whole days until it is due."""
    left = None if row.closed_at is not None else (row.due_at - clock.now()) // _DAY
    return {**row._asdict(), "days_left": left}
