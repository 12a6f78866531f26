"""JSON from strangers: one value in UTF-8 that every parser reads the same way (RFC 8259, I-JSON), or an error."""

import json
import math
import re
from typing import Any, Final

from app.core.errors import MalformedError

MAX_DEPTH: Final = 20
MAX_VALUES: Final = 200
"""Members of objects and items of arrays, all together: each of them may be an error of its own, and those cost."""
_EXACT: Final = 2**53
"""Up to here a double is one integer and no other."""

# a string, closed or not, so that the scan is linear whatever it meets; or a bracket
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|([\[{])|[\]}]', re.DOTALL)


class MalformedJsonError(MalformedError):
    """The body is not JSON, or JSON that two readers may understand differently."""

    code = "malformed-json"
    title = "The body is not valid JSON."


def decode(body: bytes) -> Any:
    """The value that `body` holds. Raises MalformedJsonError.

    Refused beside what is not JSON: another encoding than UTF-8, a byte order mark, a name that appears twice in an
    object, NaN and Infinity, a number that no double holds, integers of more than 4,300 digits, more than MAX_DEPTH
    levels, and more than MAX_VALUES members and items.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise MalformedJsonError("It is not UTF-8.") from None
    brackets = text.count("[") + text.count("{")
    if brackets > MAX_DEPTH:
        _check_depth(text)
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise MalformedJsonError from None
    if brackets + text.count(",") > MAX_VALUES:
        _check_size(value)
    return value


def _check_depth(text: str) -> None:
    depth = 0
    for token in _TOKEN.finditer(text):
        if token[1]:
            depth += 1
            if depth > MAX_DEPTH:
                raise MalformedJsonError(f"It has more than {MAX_DEPTH} levels.")
        elif token[0][0] != '"':
            depth -= 1


def _check_size(value: Any) -> None:
    left, inside = MAX_VALUES, [value]
    while inside:
        one = inside.pop()
        if isinstance(one, dict | list):
            left -= len(one)
            if left < 0:
                raise MalformedJsonError(f"It has more than {MAX_VALUES} members and items.")
            inside.extend(one.values() if isinstance(one, dict) else one)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedJsonError("A name appears twice in an object.")
    return found


def _refuse(_constant: str) -> Any:
    raise MalformedJsonError("NaN and Infinity are no numbers of JSON.")


def _number(text: str) -> float | int:
    """JSON has one kind of number: 51.0 is the integer 51, as JSON Schema has it too."""
    number = float(text)
    if math.isinf(number):
        raise MalformedJsonError("A number is too large.")
    return int(number) if number.is_integer() and abs(number) <= _EXACT else number


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_number)
