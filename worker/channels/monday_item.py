"""The monday.com item of a lead: which columns the board needs, and the value of each in its type's JSON.

**The board.** One item is created for each lead. Its name is the lead's name (a notice becomes an item too: its title
is the name, its text is in `last_words`, and only `alert_id` is filled beside it); the board needs these columns, and
`MONDAY_COLUMNS`, a JSON object from our field to the board's column id, says what they are called there. A field whose
id is the empty string is not sent. The defaults are ids that `create_column(id: ...)` accepts (1-20 of `a-z` and `_`).

| field | default id | type | holds |
|---|---|---|---|
| `phone` | `phone` | phone | number in E.164 and its country |
| `email` | `email` | email | address |
| `city` | `city` | text | city as the visitor gave it |
| `property_type` | `property_type` | text | kind of property, in Polish |
| `area_m2` | `area` | numbers | square metres |
| `package` | `package` | text | package by name |
| `budget_pln` | `budget` | numbers | the visitor's budget in złoty |
| `quote_pln` | `quote` | numbers | our estimate in złoty when the alert was sent |
| `score` | `score` | numbers | 0-100 |
| `consent` | `consent` | text | what the person agreed to |
| `language` | `language` | text | language of the conversation |
| `captured_at` | `captured_at` | date | day and time in UTC, as monday stores them |
| `last_words` | `last_words` | long_text | the visitor's latest message |
| `lead_id` | `lead_id` | text | our id of the lead |
| `conversation_id` | `conversation_id` | text | our id of the conversation |
| `alert_id` | `alert_id` | text | our id of this alert; late repeats are found by it |

Formats: developer.monday.com/api-reference/reference, pages phone, email, text, long-text (2,000 characters), number
and date. A value that its type would refuse is left out rather than let monday refuse the whole lead; so is an empty
one.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC
from decimal import Decimal
from typing import Any, Final

import orjson

from worker.channels import wording
from worker.channels.base import LeadAlert, Notice, Post

ITEM_NAME_LIMIT: Final = 255
TEXT_LIMIT: Final = 255
LONG_TEXT_LIMIT: Final = 2000
EMAIL_LIMIT: Final = 254

_EMAIL_LIKE: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

DEFAULT_COLUMNS: Final[Mapping[str, str]] = {
    "phone": "phone",
    "email": "email",
    "city": "city",
    "property_type": "property_type",
    "area_m2": "area",
    "package": "package",
    "budget_pln": "budget",
    "quote_pln": "quote",
    "score": "score",
    "consent": "consent",
    "language": "language",
    "captured_at": "captured_at",
    "last_words": "last_words",
    "lead_id": "lead_id",
    "conversation_id": "conversation_id",
    "alert_id": "alert_id",
}


def column_ids(overrides: Mapping[str, str]) -> dict[str, str]:
    """The board's column id for each field that is sent.

    ValueError names a field that does not exist or an id that two fields share: either would lose data unseen.
    """
    unknown = sorted(overrides.keys() - DEFAULT_COLUMNS.keys())
    if unknown:
        raise ValueError(f"MONDAY_COLUMNS: there is no field {unknown[0]!r}; known are {', '.join(DEFAULT_COLUMNS)}")
    columns = {field: column for field, column in {**DEFAULT_COLUMNS, **overrides}.items() if column}
    if len(set(columns.values())) < len(columns):
        raise ValueError("MONDAY_COLUMNS: two fields share one column id")
    return columns


def item_name(message: Post) -> str:
    """The item's name, never empty and within monday's 255 characters."""
    if isinstance(message, Notice):
        return wording.plain(message.title, ITEM_NAME_LIMIT) or f"Notice {wording.short_id(message.notice_id)}"
    return wording.plain(message.name, ITEM_NAME_LIMIT) or f"Lead {wording.short_id(message.lead_id)}"


def column_values(message: Post, columns: Mapping[str, str]) -> str:
    """The `column_values` argument: JSON text, keyed by the board's column ids, without empty values."""
    fields = _notice_values(message) if isinstance(message, Notice) else _lead_values(message)
    values = {columns[field]: value for field, value in fields.items() if value and field in columns}
    return orjson.dumps(values).decode()


def _notice_values(notice: Notice) -> dict[str, Any]:
    """A board of leads has no more room for a notice than its name and its text."""
    text = wording.plain(notice.text, LONG_TEXT_LIMIT, lines=True)
    return {"last_words": text and {"text": text}, "alert_id": str(notice.envelope.alert_id)}


def _lead_values(alert: LeadAlert) -> dict[str, Any]:
    phone = wording.phone_number(alert.phone)
    email = _email(alert.email)
    words = wording.plain(alert.last_words, LONG_TEXT_LIMIT, lines=True)
    captured = alert.captured_at.astimezone(UTC)
    return {
        "phone": phone and {"phone": phone, "countryShortName": wording.phone_country(phone)},
        "email": email and {"email": email, "text": email},
        "city": wording.plain(alert.city, TEXT_LIMIT),
        "property_type": wording.property_type(alert.property_type),
        "area_m2": _numeric(alert.area_m2),
        "package": wording.plain(alert.package_name or alert.package, TEXT_LIMIT),
        "budget_pln": _numeric(alert.budget_pln),
        "quote_pln": _numeric(alert.quote_pln),
        "score": _numeric(alert.score),
        "consent": wording.consents(marketing=alert.consent_marketing),
        "language": wording.plain(alert.language, 20),
        "captured_at": {"date": captured.strftime("%Y-%m-%d"), "time": captured.strftime("%H:%M:%S")},
        "last_words": words and {"text": words},
        "lead_id": str(alert.lead_id),
        "conversation_id": str(alert.conversation_id),
        "alert_id": str(alert.envelope.alert_id),
    }


def _email(email: str | None) -> str | None:
    address = wording.plain(email, EMAIL_LIMIT)
    return address if _EMAIL_LIKE.fullmatch(address) else None


def _numeric(value: Decimal | int | None) -> str | None:
    if value is None or not math.isfinite(value):
        return None
    digits = f"{Decimal(value):f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
