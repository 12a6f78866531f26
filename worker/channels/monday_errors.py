"""What monday.com's answers mean: every error shape it is known to use, reduced to an outcome.

Sources, all developer.monday.com/api-reference: docs/error-handling, docs/rate-limits, docs/idempotency, and the
changelog entries on complexity errors (2025-07), `FIELD_LIMIT_EXCEEDED` and "Improvement to exception handling".
Application errors come with HTTP 200, and in four shapes: `errors[].extensions.code`, top-level `error_code` with
`error_message` and `status_code`, `errors: ["text"]`, and either of them beside partial `data`.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import httpx
import orjson

from app.core import clock
from worker.channels.base import Outcome, OutcomeKind
from worker.channels.http import Reply, bounded_wait, by_status, retry_after

_KINDS: Final[dict[str, OutcomeKind]] = {
    "complexityexception": OutcomeKind.THROTTLED,
    "complexitybudgetexhausted": OutcomeKind.THROTTLED,
    "concurrencylimitexceeded": OutcomeKind.THROTTLED,
    "dailylimitexceeded": OutcomeKind.THROTTLED,
    "fieldlimitexceeded": OutcomeKind.THROTTLED,
    "fieldminuteratelimitexceeded": OutcomeKind.THROTTLED,
    "ipratelimitexceeded": OutcomeKind.THROTTLED,
    "maxconcurrencyexceeded": OutcomeKind.THROTTLED,
    "minutelimitexceeded": OutcomeKind.THROTTLED,
    "ratelimitexceeded": OutcomeKind.THROTTLED,
    "resourcelocked": OutcomeKind.THROTTLED,
    "badrequest": OutcomeKind.PAYLOAD_PERMANENT,
    "baduserinput": OutcomeKind.PAYLOAD_PERMANENT,
    "columnvalueexception": OutcomeKind.PAYLOAD_PERMANENT,
    "correctedvalueexception": OutcomeKind.PAYLOAD_PERMANENT,
    "invalidargumentexception": OutcomeKind.PAYLOAD_PERMANENT,
    "itemnametoolongexception": OutcomeKind.PAYLOAD_PERMANENT,
    "jsonparseexception": OutcomeKind.PAYLOAD_PERMANENT,
    # The rest of a board's settings is the same for every alert, so the next one would fail too.
    "accountblocked": OutcomeKind.DESTINATION_PERMANENT,
    "graphqlparsefailed": OutcomeKind.DESTINATION_PERMANENT,
    "graphqlvalidationfailed": OutcomeKind.DESTINATION_PERMANENT,
    "invalidapiversion": OutcomeKind.DESTINATION_PERMANENT,
    "invalidboardidexception": OutcomeKind.DESTINATION_PERMANENT,
    "invalidcolumnidexception": OutcomeKind.DESTINATION_PERMANENT,
    "invalidversionexception": OutcomeKind.DESTINATION_PERMANENT,
    "itemslimitationexception": OutcomeKind.DESTINATION_PERMANENT,
    "missingrequiredpermissions": OutcomeKind.DESTINATION_PERMANENT,
    "notauthenticated": OutcomeKind.DESTINATION_PERMANENT,
    "resourcenotfoundexception": OutcomeKind.DESTINATION_PERMANENT,
    "unauthenticated": OutcomeKind.DESTINATION_PERMANENT,
    "unauthorized": OutcomeKind.DESTINATION_PERMANENT,
    "useraccessdenied": OutcomeKind.DESTINATION_PERMANENT,
    "userunauthorizedexception": OutcomeKind.DESTINATION_PERMANENT,
}
"""monday's codes in lower case without separators: it writes one and the same code in several ways."""

_ABSENT: Final = frozenset({"resourcenotfoundexception", "invaliditemidexception", "itemnotfoundexception"})
"""What monday says, in lower case without separators, of an item that is not there."""

_TEXTS: Final[tuple[tuple[str, str], ...]] = (
    ("complexity budget exhausted", "ComplexityException"),
    ("not authenticated", "NotAuthenticated"),
    ("rate limit exceeded", "RateLimitExceeded"),
    ("daily limit", "DAILY_LIMIT_EXCEEDED"),
    ("concurrency", "ConcurrencyLimitExceeded"),
)
"""What to look for in errors that are bare text, and the code they would have had."""

_RESET_IN: Final = re.compile(r"reset in (\d{1,6}) seconds?")
_CODE_LIKE: Final = re.compile(r"[A-Za-z][A-Za-z_]{1,47}")
_SEVERITY: Final = (OutcomeKind.THROTTLED, OutcomeKind.DESTINATION_PERMANENT, OutcomeKind.PAYLOAD_PERMANENT)


def classify(reply: Reply) -> Outcome:
    """DELIVERED only for HTTP 200 with an item id and without errors; anything monday did not say clearly is AMBIGUOUS.

    An unknown error may have come after the item was made; sent again under the same Idempotency-Key it does no harm.
    """
    body = _parsed(reply)
    errors = list(_errors(body))
    item_id = _item_id(body)
    if reply.status == httpx.codes.OK and not errors and item_id is not None:
        return Outcome(OutcomeKind.DELIVERED, status=reply.status, remote_ref=item_id)
    return _failure(reply, errors, item_id)


def classify_lookup(reply: Reply) -> str | Outcome | None:
    """The id of the item that was looked for, None when there is certainly none, or why we don't know.

    A lookup creates nothing, so whatever becomes of it, the message was not sent by it: never AMBIGUOUS.
    """
    body = _parsed(reply)
    errors = list(_errors(body))
    items = _found_items(body)
    if reply.status == httpx.codes.OK and not errors and items is not None:
        ids = [_id_of(item) for item in items]
        if not ids:
            return None
        if ids[0] is not None:
            return ids[0]
    return without_effect(_failure(reply, errors, None))


def classify_deletion(reply: Reply) -> Outcome:
    """DELIVERED when the item is gone, by this request or before. Deleting twice does no harm: never AMBIGUOUS."""
    body = _parsed(reply)
    errors = list(_errors(body))
    data = body.get("data")
    deleted = _id_of(data.get("delete_item")) if isinstance(data, dict) else None
    absent = bool(errors) and all(re.sub(r"[^a-z]", "", error["code"].lower()) in _ABSENT for error in errors)
    if reply.status == httpx.codes.OK and ((deleted is not None and not errors) or absent):
        return Outcome(OutcomeKind.DELIVERED, status=reply.status)
    return without_effect(_failure(reply, errors, None))


def without_effect(outcome: Outcome) -> Outcome:
    """The outcome of a request that only asked: what is unclear about it is not whether the message arrived."""
    if outcome.kind is not OutcomeKind.AMBIGUOUS:
        return outcome
    return replace(outcome, kind=OutcomeKind.NOT_SENT, remote_ref=None, health=outcome.remote_health)


def _failure(reply: Reply, errors: list[dict[str, Any]], item_id: str | None) -> Outcome:
    if reply.status == httpx.codes.CONFLICT:
        return Outcome(
            OutcomeKind.THROTTLED, status=reply.status, error="idempotency_conflict", retry_after=_wait(reply, errors)
        )
    known = _most_telling(errors)
    if known is not None and item_id is None:
        code, kind = known
        return Outcome(kind, status=reply.status, error=code, retry_after=_wait(reply, errors, code))
    if reply.status != httpx.codes.OK:
        return replace(by_status(reply), retry_after=_wait(reply, errors))
    error = ("errors_beside_item" if item_id else "unlisted_error") if errors else "unexpected_body"
    return Outcome(OutcomeKind.AMBIGUOUS, status=reply.status, error=error, remote_ref=item_id)


def _parsed(reply: Reply) -> dict[str, Any]:
    if not reply.complete:
        return {}
    try:
        body = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _errors(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every error of the answer as `{code, status_code, message, retry_in_seconds}`, whatever shape it came in."""
    if any(body.get(key) for key in ("error_code", "error_message")):
        yield _error(body.get("error_code"), body.get("error_message"), body, body.get("error_data"))
    listed = body.get("errors")
    for entry in listed if isinstance(listed, list) else [listed] if listed else []:
        if isinstance(entry, dict):
            extensions = entry.get("extensions")
            extensions = extensions if isinstance(extensions, dict) else {}
            yield _error(extensions.get("code"), entry.get("message"), extensions, extensions.get("error_data"))
        else:
            yield _error(None, entry, {}, None)


def _error(code: Any, message: Any, about: dict[str, Any], data: Any) -> dict[str, Any]:
    data = data if isinstance(data, dict) else {}
    text = message.lower() if isinstance(message, str) else ""
    if not isinstance(code, str) or not code:
        code = next((meant for part, meant in _TEXTS if part in text), "")
    wait = about.get("retry_in_seconds", data.get("retry_in_seconds"))
    return {"code": code, "status_code": about.get("status_code"), "message": text, "retry_in_seconds": wait}


def _most_telling(errors: list[dict[str, Any]]) -> tuple[str, OutcomeKind] | None:
    """The code to report and its kind. A wait outranks a refusal: after it the refusal may be gone."""
    found: dict[OutcomeKind, str] = {}
    for error in errors:
        kind = _kind(error)
        if kind is not None:
            code = error["code"].replace(" ", "_")
            found.setdefault(kind, code if _CODE_LIKE.fullmatch(code) else "unlisted_code")
    return next(((found[kind], kind) for kind in _SEVERITY if kind in found), None)


def _kind(error: dict[str, Any]) -> OutcomeKind | None:
    kind = _KINDS.get(re.sub(r"[^a-z]", "", error["code"].lower()))
    if kind is not None:
        return kind
    if error["status_code"] in (401, 403):
        return OutcomeKind.DESTINATION_PERMANENT
    return OutcomeKind.THROTTLED if error["status_code"] in (423, 429) else None


def _wait(reply: Reply, errors: list[dict[str, Any]], code: str = "") -> timedelta | None:
    """The longest wait that any part of the answer asks for; the daily limit ends at 00:00 UTC."""
    waits = [retry_after(reply.headers)]
    for error in errors:
        seconds = error["retry_in_seconds"]
        if isinstance(seconds, int | float) and not isinstance(seconds, bool):
            waits.append(bounded_wait(seconds))
        reset = _RESET_IN.search(error["message"])
        if reset is not None:
            waits.append(bounded_wait(int(reset.group(1))))
    if code == "DAILY_LIMIT_EXCEEDED":
        now = clock.now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        waits.append(midnight - now)
    return max((wait for wait in waits if wait is not None), default=None)


def _item_id(body: dict[str, Any]) -> str | None:
    data = body.get("data")
    return _id_of(data.get("create_item")) if isinstance(data, dict) else None


def _found_items(body: dict[str, Any]) -> list[Any] | None:
    data = body.get("data")
    page = data.get("items_page_by_column_values") if isinstance(data, dict) else None
    items = page.get("items") if isinstance(page, dict) else None
    return items if isinstance(items, list) else None


def _id_of(item: Any) -> str | None:
    found = item.get("id") if isinstance(item, dict) else None
    if isinstance(found, str | int) and not isinstance(found, bool) and re.fullmatch(r"[0-9]{1,32}", str(found)):
        return str(found)
    return None
