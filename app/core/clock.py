"""The one place that knows what time it is."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current instant, always in UTC and always with its time zone."""
    return datetime.now(UTC)
