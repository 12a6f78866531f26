"""What no log line may show, whoever wrote it: personal data, secrets, and characters that forge lines. Pure.

Free text is not logged at all; this is the net under that rule. It knows names of fields, shapes of values, and the
process's own secrets. It cannot know a person's name in the middle of a sentence.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import ip_address
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

REDACTED: Final = "[redacted]"
MAX_TEXT: Final = 2_000
MAX_ITEMS: Final = 50
MAX_DEPTH: Final = 6
SHORTEST_SECRET: Final = 8
"""Shorter values of settings are too likely to be a part of other words."""
SHORTEST_PHONE: Final = 9
"""Digits of a Polish number without its country code."""

_PRIVATE_NAMES: Final = frozenset(
    [
        "address",
        "api_key",
        "authorization",
        "body",
        "city",
        "client",
        "cookie",
        "email",
        "first_name",
        "ip",
        "last_name",
        "mail",
        "name",
        "password",
        "phone",
        "recipient",
        "secret",
        "set_cookie",
        "sms",
        "surname",
        "tel",
        "text",
        "token",
        "user_agent",
    ]
)
_PRIVATE_ENDINGS: Final = ("_address", "_email", "_ip", "_key", "_name", "_password", "_phone", "_secret", "_token")
_OWN_NAMES: Final = frozenset({"func_name", "logger_name", "thread_name", "process_name", "host_name"})

_EMAIL: Final = re.compile(r"[^\s@<>\"'(),;:=/]+(?:@|%40)[^\s@<>\"'(),;:/?&]+\.[^\s@<>\"'(),;:/?&]{2,}")
_MAILBOX: Final = re.compile(r"(?:\"[^\"]{0,100}\"\s*|(?:[^\W\d_][\w.'-]{0,40}\s+){1,4})<[^\s<>]*(?:@|%40)[^\s<>]*>")
_CREDENTIALS: Final = re.compile(r"(://)[^/\s@]*@")
_HEADER: Final = re.compile(r"\b(bearer|basic)\s+[^\s\"',;]+", re.IGNORECASE)
_WEBHOOK: Final = re.compile(r"(hooks\.slack\.com/)\S+", re.IGNORECASE)
_LONG_RUN: Final = re.compile(r"[A-Za-z0-9_-]{40,}")
_DOTTED_TOKEN: Final = re.compile(r"\bv1\.[0-9a-f]{8}\.[A-Za-z0-9_.-]+")
_DATE: Final = r"\d{4}-\d{2}-\d{2}"
_UUID: Final = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_HEX: Final = r"(?=[0-9]*[A-Fa-f])[0-9A-Fa-f]{16,}"
_DIGITS: Final = re.compile(
    rf"((?<![A-Za-z0-9])(?:{_UUID}|{_HEX})(?![A-Za-z0-9])"
    rf"|(?<!\d){_DATE}(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{{1,9}})?)?)?(?!\d))"
    rf"|(?:\+|\(|00)?\d(?:[\s().\-/]{{0,3}}\d){{{SHORTEST_PHONE - 1},}}"
)
"""Nine digits and more, whatever stands around them; or first, as a group, what has them and is nobody's number."""
_IP: Final = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}(?![\w.])|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:]))"
)
_PLAIN: Final = re.compile(rf"[A-Za-z_ ,.-]{{0,39}}|{_UUID}|{_HEX}|{_DATE}T[0-9:.]{{8,15}}Z")
"""Words, a UUID, a digest, an instant: nothing that any of the rules looks for."""
_OWN_IDS: Final = {"request_id": re.compile("[0-9a-f]{32}"), "client_hash": re.compile("[0-9a-f]{16}")}
"""What we make by these names is shown also where chance made it of digits only; a caller's id never is."""


class Redactor:
    """Makes a log event harmless; `secrets` are hidden wherever they stand, also percent-encoded."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {form for secret in secrets if len(secret) >= SHORTEST_SECRET for form in (secret, quote(secret, ""))}
        longest_first = sorted(known, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The event with everything private replaced; its size is bounded."""
        return self._members(event, depth=0)

    def text(self, text: str) -> str:
        """A string as a log may show it: one line of visible characters, bounded, without private parts."""
        shown = _one_line(text)
        if self._secrets is not None:
            shown = self._secrets.sub(REDACTED, shown)
        if not _PLAIN.fullmatch(shown):
            for pattern, replacement in _RULES:
                shown = pattern.sub(replacement, shown)
        return shown if len(shown) <= MAX_TEXT else f"{shown[:MAX_TEXT]}… ({len(shown)} characters)"

    def _members(self, members: Mapping[Any, Any], *, depth: int) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for name, value in list(members.items())[:MAX_ITEMS]:
            own = self.text(str(name))
            if own in _OWN_IDS and isinstance(value, str) and _OWN_IDS[own].fullmatch(value):
                shown[own] = value
                continue
            shown[own] = REDACTED if _is_private(own) and value is not None else self._value(value, depth=depth + 1)
        return shown

    def _value(self, value: Any, *, depth: int) -> Any:  # noqa: PLR0911  a list of kinds
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, Enum):
            return self._value(value.value, depth=depth)
        if isinstance(value, int):
            return REDACTED if len(str(abs(value))) >= SHORTEST_PHONE else int(value)
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, UUID | date | datetime | time | timedelta):
            return str(value)
        if isinstance(value, Decimal | PurePath):
            return self.text(str(value))
        if depth < MAX_DEPTH and isinstance(value, Mapping):
            return self._members(value, depth=depth)
        if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
            return [self._value(item, depth=depth + 1) for item in list(value)[:MAX_ITEMS]]
        return f"<{type(value).__qualname__}>"


def _one_line(text: str) -> str:
    """`text` in NFKC on one line: line breaks and tabs become spaces, what nobody sees is left out.

    Full-width digits become plain ones, a soft hyphen in an address goes, an escape sequence loses its escape.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    category = unicodedata.category(character)
    return "" if category in {"Cf", "Cs", "Co", "Cn"} else " "


def _is_private(name: str) -> bool:
    name = name.lower().replace("-", "_")
    return name in _PRIVATE_NAMES or (name.endswith(_PRIVATE_ENDINGS) and name not in _OWN_NAMES)


def _public_ip(found: re.Match[str]) -> str:
    try:
        address = ip_address(found.group())
    except ValueError:
        return found.group()
    return REDACTED if address.is_global else found.group()


def _random_looking(found: re.Match[str]) -> str:
    """A run that mixes cases and digits is a token; a digest in hexadecimal or a long identifier is not."""
    run = found.group()
    mixed = any(c.isupper() for c in run) and any(c.islower() for c in run) and any(c.isdigit() for c in run)
    return REDACTED if mixed else run


_RULES: Final[tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]] = (
    (_CREDENTIALS, rf"\1{REDACTED}@"),
    (_WEBHOOK, rf"\1{REDACTED}"),
    (_HEADER, rf"\1 {REDACTED}"),
    (_DOTTED_TOKEN, REDACTED),
    (_MAILBOX, REDACTED),
    (_EMAIL, REDACTED),
    (_LONG_RUN, _random_looking),
    (_IP, _public_ip),
    (_DIGITS, lambda found: found[1] or REDACTED),
)
