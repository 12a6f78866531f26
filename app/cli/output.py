"""How a terminal shows things: aligned tables of at most 100 columns, and ages instead of instants. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

WIDTH: Final = 100
_GAP: Final = "  "
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def age(seconds: float) -> str:
    """A length of time in its largest unit: `3 min`."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "0 s"


def since(instant: datetime | None, now: datetime) -> str:
    """How long ago it was; `-` for never."""
    return "-" if instant is None else age((now - instant).total_seconds())


def until(instant: datetime | None, now: datetime) -> str:
    """How long it is from now; `now` when it has passed, `-` for never."""
    if instant is None:
        return "-"
    return f"in {age(seconds)}" if (seconds := (instant - now).total_seconds()) >= 1 else "now"


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows under their headers, each column as wide as its widest cell; the last is cut where WIDTH ends."""
    cells = [list(headers), *([_printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    lines = (_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…" for line in lines)


def facts(pairs: Sequence[tuple[str, object]]) -> str:
    """Names and values, one a line."""
    width = max(len(name) for name, _ in pairs)
    return "\n".join(f"{name.ljust(width)}{_GAP}{_printable(value)}" for name, value in pairs)


def _printable(cell: object) -> str:
    """A cell on one line; what is absent is `-`."""
    return "-" if cell is None else " ".join(str(cell).split())
