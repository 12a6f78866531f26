"""What operators type: options that several commands share, and the checks that HTTP makes of the same things."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from app.alerts.schemas import Instant, Reason
from app.core import clock

_AGE = re.compile(r"(\d{1,6})\s*([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant)
_REASON: TypeAdapter[str] = TypeAdapter(Reason)


def parse_since(text: str) -> datetime:
    """A point in time: an age (`30m`, `2h`, `3d`), or ISO 8601, in UTC unless it says otherwise."""
    try:
        if age := _AGE.fullmatch(text):
            return _INSTANT.validate_python(clock.now() - timedelta(**{_UNITS[age[2]]: int(age[1])}))
        instant = datetime.fromisoformat(text)
        return _INSTANT.validate_python(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise typer.BadParameter("an age such as 30m, 2h or 3d, or a time such as 2026-01-31T03:00") from None


def parse_reason(text: str) -> str:
    """A reason as HTTP would take it."""
    try:
        return _REASON.validate_python(text)
    except ValidationError as invalid:
        raise typer.BadParameter(str(invalid.errors(include_url=False, include_input=False)[0]["msg"])) from None


Json = Annotated[bool, typer.Option("--json", help="For machines: what the HTTP API answers.")]
Since = Annotated[
    datetime | None,
    typer.Option("--since", parser=parse_since, metavar="TIME", help="Not older than 2h, 3d, or an ISO 8601 time."),
]
