"""How facts are put for the people who read them, and how a stranger's text is made harmless and short."""

import re
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import phonenumbers

_WARSAW: Final = ZoneInfo("Europe/Warsaw")
_UNWANTED: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?"
_EMAIL: Final = re.compile(rf"[A-Za-z0-9._+\-]{{1,64}}@(?:{_LABEL}\.)+[A-Za-z][A-Za-z0-9\-]{{1,62}}")
_LONGEST_EMAIL: Final = 254

PROPERTY_TYPES: Final = {
    "apartment": "mieszkanie",
    "flat": "mieszkanie",
    "house": "dom",
    "office": "lokal użytkowy",
    "commercial": "lokal użytkowy",
}


def width(text: str) -> int:
    """Length in UTF-16 units, which is what JavaScript services count and never less than any other count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def plain(text: str | None, limit: int, *, lines: bool = False) -> str:
    """`text` without control and text-direction characters and lone surrogates, at most `limit` UTF-16 units long.

    With `lines` line breaks stay, otherwise it is one line.
    """
    if not text:
        return ""
    harmless = _UNWANTED.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))
    if not lines:
        harmless = " ".join(harmless.split())
    whole = harmless.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").strip()
    units = whole.encode("utf-16-le")
    if len(units) <= 2 * limit:
        return whole
    return units[: 2 * (limit - 1)].decode("utf-16-le", "ignore") + "…"


def phone_number(phone: str | None) -> str | None:
    """`phone` when it is a plausible E.164 number, otherwise None."""
    return phone if phone is not None and _E164.fullmatch(phone) else None


def email_address(email: str | None) -> str | None:
    """`email` when it is an ordinary ASCII address that needs no quoting in a link, otherwise None."""
    if email is None or len(email) > _LONGEST_EMAIL:
        return None
    return email if _EMAIL.fullmatch(email) else None


def phone_for_people(phone: str) -> str:
    """An E.164 number in groups, `+48 691 222 333`."""
    try:
        parsed = phonenumbers.parse(phone)
    except phonenumbers.NumberParseException:
        return phone
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def phone_country(phone: str) -> str:
    """ISO 3166 code of an E.164 number's country; `PL` when the number names none, as `+800` numbers do."""
    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(phone))
    except phonenumbers.NumberParseException:
        region = None
    return region if region is not None and region.isalpha() else "PL"


def number(value: Decimal | int) -> str:
    """Digits in groups of three with a decimal comma only where needed: `103 948`, `52,5`. Two decimals at most."""
    text = f"{value:,.2f}".replace(",", " ").replace(".", ",")
    return text.rstrip("0").rstrip(",")


def money(value: Decimal | int) -> str:
    """An amount in złoty: whole, or with both digits of the grosze."""
    text = f"{value:,.2f}".replace(",", " ").replace(".", ",")
    return f"{text.removesuffix(',00')} zł"


def property_type(value: str | None) -> str:
    """The kind of property in Polish where we know it, otherwise as it was given."""
    given = plain(value, 60)
    return PROPERTY_TYPES.get(given.lower(), given)


def consents(*, marketing: bool) -> str:
    """Both consents. Contact is always given: an alert leaves only past the guard that checks it."""
    return f"zgoda na kontakt; marketing: {'tak' if marketing else 'nie'}"


def local_time(moment: datetime) -> str:
    """An instant as a clock in Warsaw shows it."""
    return moment.astimezone(_WARSAW).strftime("%d.%m.%Y %H:%M")


def local_time_with_zone(moment: datetime) -> str:
    """The same for readers of English, with its zone: `2026-11-24 10:15 CET`."""
    return moment.astimezone(_WARSAW).strftime("%Y-%m-%d %H:%M %Z")


def short_id(identifier: UUID) -> str:
    """The last eight hex digits: the first ones of a time-ordered UUID are the same for hours."""
    return identifier.hex[-8:]
