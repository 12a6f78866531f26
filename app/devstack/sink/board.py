"""monday's board: its columns, what each column type accepts, and the items on it.

Column value formats: developer.monday.com/api-reference/reference, one page for each column type; custom column ids:
changelog "Create a column with a custom ID". The fields are those that the worker documents; the list is kept here on
its own, so that a change on one side alone is noticed.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, Final

import orjson

from app.core import clock

MAX_ITEMS: Final = 1000
MAX_ITEM_BYTES: Final = 64 * 1024
ITEM_NAME_CHARACTERS: Final = 255
LONG_TEXT_CHARACTERS: Final = 2000

FIELDS: Final[Mapping[str, tuple[str, str]]] = {
    "phone": ("phone", "phone"),
    "email": ("email", "email"),
    "city": ("city", "text"),
    "property_type": ("property_type", "text"),
    "area_m2": ("area", "numbers"),
    "package": ("package", "text"),
    "budget_pln": ("budget", "numbers"),
    "quote_pln": ("quote", "numbers"),
    "score": ("score", "numbers"),
    "consent": ("consent", "text"),
    "language": ("language", "text"),
    "captured_at": ("captured_at", "date"),
    "last_words": ("last_words", "long_text"),
    "lead_id": ("lead_id", "text"),
    "conversation_id": ("conversation_id", "text"),
    "alert_id": ("alert_id", "text"),
}
"""Field of a lead: default column id and column type."""

_PHONE: Final = re.compile(r"\+?[0-9 ()\-]{3,24}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")


class MondayError(Exception):
    """An application error of monday: its code, its words and what it says beside them."""

    def __init__(self, code: str, message: str, **data: str) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


@dataclass(frozen=True, slots=True)
class Item:
    """One row of the board. `values` is keyed by column id and holds what was sent."""

    id: str
    board_id: str
    name: str
    values: dict[str, Any]


class Board:
    """One board with the columns that MONDAY_COLUMNS says, and its newest MAX_ITEMS items."""

    def __init__(self, board_id: str | None, columns: Mapping[str, str]) -> None:
        self._board_id = board_id
        self.types = {columns.get(field, default): kind for field, (default, kind) in FIELDS.items()}
        self.types.pop("", None)
        self._items: OrderedDict[str, Item] = OrderedDict()
        # Ids keep growing over restarts, so that an id in the database never means two items.
        self._ids = count(int(clock.now().timestamp() * 1000))

    def _require(self, board_id: str) -> None:
        if self._board_id is not None and board_id != self._board_id:
            raise MondayError("InvalidBoardIdException", "This board does not exist.", board_id=board_id)

    def create(self, board_id: str, name: str, column_values: str | None) -> Item:
        """Add an item. MondayError when the board, the name or a value is not what monday takes."""
        self._require(board_id)
        if not name or _width(name) > ITEM_NAME_CHARACTERS:
            raise MondayError("ItemNameTooLongException", "The item name must be between 1 and 255 characters.")
        values = self._checked(column_values)
        item = Item(str(next(self._ids)), board_id, name, values)
        self._items[item.id] = item
        if len(self._items) > MAX_ITEMS:
            self._items.popitem(last=False)
        return item

    def delete(self, item_id: str) -> Item:
        """Take an item away. MondayError when there is none."""
        item = self._items.pop(item_id, None)
        if item is None:
            raise MondayError("ResourceNotFoundException", "Item not found.", item_id=item_id)
        return item

    def find(self, board_id: str, column: str, wanted: list[str]) -> list[Item]:
        """Items whose text in `column` is one of `wanted`. MondayError when there is no such board or column."""
        self._require(board_id)
        self._kind(column)
        return [item for item in self._items.values() if text_of(item.values.get(column)) in wanted]

    def clear(self) -> None:
        """Take all items away."""
        self._items.clear()

    def _kind(self, column: str) -> str:
        if column not in self.types:
            raise MondayError(
                "InvalidColumnIdException", "This column ID doesn't exist for the board.", column_id=column
            )
        return self.types[column]

    def _checked(self, column_values: str | None) -> dict[str, Any]:
        if column_values is None:
            return {}
        try:
            values = orjson.loads(column_values)
        except orjson.JSONDecodeError:
            values = None
        if not isinstance(values, dict) or len(column_values.encode()) > MAX_ITEM_BYTES:
            raise MondayError("InvalidArgumentException", "column_values is not a JSON object of at most 64 KB.")
        for column, value in values.items():
            kind = self._kind(column)
            if not CHECKS[kind](value):
                raise MondayError(
                    "ColumnValueException",
                    "invalid value, please check our API documentation for the correct data structure for this column. "
                    "https://developer.monday.com/api-reference/docs/change-column-values",
                    column_type=kind,
                    column_id=column,
                )
        return values


def text_of(value: Any) -> str:
    """A column value as monday shows it."""
    if isinstance(value, dict):
        shown = value.get("phone") or value.get("email") or value.get("text")
        return str(shown or " ".join(str(value[key]) for key in ("date", "time") if key in value))
    return "" if value is None else str(value)


def _phone(value: Any) -> bool:
    if isinstance(value, str):
        number, _, country = value.rpartition(" ")
    elif isinstance(value, dict) and value.keys() == {"phone", "countryShortName"}:
        number, country = value["phone"], value["countryShortName"]
    else:
        return False
    return all(isinstance(part, str) for part in (number, country)) and bool(
        _PHONE.fullmatch(number) and _COUNTRY.fullmatch(country)
    )


def _email(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"email", "text"}:
        return False
    return isinstance(value["text"], str) and isinstance(value["email"], str) and bool(_EMAIL.fullmatch(value["email"]))


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _long_text(value: Any) -> bool:
    text = value.get("text") if isinstance(value, dict) else value
    return isinstance(text, str) and _width(text) <= LONG_TEXT_CHARACTERS


def _numbers(value: Any) -> bool:
    if isinstance(value, str):
        return value == "" or bool(_NUMBER.fullmatch(value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _date(value: Any) -> bool:
    if not isinstance(value, dict) or not {"date"} <= value.keys() <= {"date", "time"}:
        return False
    try:
        datetime.strptime(f"{value['date']} {value.get('time', '00:00:00')}+0000", "%Y-%m-%d %H:%M:%S%z")
    except ValueError:
        return False
    return True


def _width(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


CHECKS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "phone": _phone,
    "email": _email,
    "text": _text,
    "long_text": _long_text,
    "numbers": _numbers,
    "date": _date,
}
