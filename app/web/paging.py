"""Keyset pagination: an opaque cursor that names the last row of a page; and the numbers in a query."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Query
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from app.core.errors import InvalidError


def _digits(value: object) -> object:
    """The value itself; an error for what pydantic takes for an integer and JSON does not: `+1`, `1_0`, ` 1`, `1.0`."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise PydanticCustomError("int_parsing", "This is not a whole number in decimal digits.")
    return value


WHOLE: Final = BeforeValidator(_digits)
"""Stands behind `Query` in every number of a query."""
Limit = Annotated[int, Query(ge=1, le=100, description="Rows in one page."), WHOLE]


def _cursor(pattern: str) -> FieldInfo:
    """A cursor whose shape the schema shows; `decode_…` checks it."""
    found: FieldInfo = Query(
        max_length=100, description="`next_cursor` of the page before.", json_schema_extra={"pattern": pattern}
    )
    return found


Cursor = Annotated[str | None, _cursor("^A[A-Za-z0-3][A-Za-z0-9_-]{30}$")]
NumberCursor = Annotated[str | None, _cursor("^[A-Za-f][A-Za-z0-9_-]{10}$")]
"""For lists that are numbered."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CursorError(InvalidError):
    """The cursor is none of ours."""

    code = "cursor-invalid"
    title = "The cursor is not valid."


def encode_cursor(row: Any) -> str:
    """The cursor after `row`, which has `created_at` and `id`."""
    micros = (row.created_at - _EPOCH) // _MICROSECOND
    return base64.urlsafe_b64encode(micros.to_bytes(8, "big") + row.id.bytes).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> tuple[datetime, UUID] | None:
    """The position a cursor names; None for no cursor. Raises CursorError."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "==", altchars=b"-_", validate=True)
        if len(raw) != _LENGTH:
            raise CursorError
        return _EPOCH + int.from_bytes(raw[:8], "big") * _MICROSECOND, UUID(bytes=raw[8:])
    except (binascii.Error, ValueError, OverflowError):
        raise CursorError from None


def encode_number(number: int) -> str:
    """The cursor after the row with this number, for lists that are numbered."""
    return base64.urlsafe_b64encode(number.to_bytes(8, "big")).decode().rstrip("=")


def decode_number(cursor: str | None) -> int | None:
    """The number that a cursor of `encode_number` names; None for no cursor. Raises CursorError."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise CursorError from None
    number = int.from_bytes(raw, "big")
    if len(raw) != _NUMBER_LENGTH or number > _MAX_NUMBER:
        raise CursorError
    return number


_MICROSECOND = datetime.resolution
_LENGTH = 24
_NUMBER_LENGTH = 8
_MAX_NUMBER = 2**63 - 1
