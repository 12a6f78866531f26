"""Leads as a table for spreadsheets: CSV that no cell of can act as a formula."""

import csv
import io
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Final
from uuid import UUID

from app.core.db import AnyRow, Database
from app.leads import service

PAGE: Final = 500
BOM: Final = "\ufeff"
"""Without it Excel reads UTF-8 as the system's own encoding."""
COLUMNS: Final = (
    "id",
    "conversation_id",
    "status",
    "score",
    "language",
    "name",
    "phone",
    "email",
    "city",
    "property_type",
    "area_m2",
    "package",
    "budget_pln",
    "rodo_consent",
    "marketing_consent",
    "created_at",
    "updated_at",
)

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")


def cell(value: object) -> str:
    """A value as text. What a spreadsheet would take for a formula gets an apostrophe in front, phone numbers too."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return f"'{text}" if text.lstrip(" \N{NO-BREAK SPACE}").startswith(_FORMULA_STARTS) else text


async def pages(database: Database, *, actor: str, separator: str = ",") -> AsyncGenerator[str, None]:
    """Every lead, newest first, as CSV (RFC 4180) in pieces, the first with BOM and header.

    Each piece is read in a transaction of its own, which also journals it: a slow reader holds none open, and no row
    leaves that the journal has not counted.
    """
    journaled: UUID | None = None
    before: tuple[datetime, UUID] | None = None
    head = BOM + _csv([COLUMNS], separator)
    while True:
        async with database.transaction() as session:
            rows = await service.page(session, before=before, limit=PAGE)
            journaled = await service.journal_export(session, journaled, actor=actor, rows=len(rows))
        yield head + _csv([_line(row) for row in rows], separator)
        if len(rows) < PAGE:
            return
        head = ""
        before = (rows[-1].created_at, rows[-1].id)


def _line(row: AnyRow) -> tuple[str, ...]:
    return tuple(cell(getattr(row, name)) for name in COLUMNS)


def _csv(lines: list[tuple[str, ...]], separator: str) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=separator, lineterminator="\r\n").writerows(lines)
    return out.getvalue()
