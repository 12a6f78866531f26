"""monday's side of its API: the checks, error shapes and idempotency of api.monday.com/v2.

Sources, all developer.monday.com/api-reference: docs/authentication, docs/error-handling, docs/idempotency,
docs/api-versioning. In two points the sink is stricter than the original, which serves a missing or retired version
with another one: here both are refused, because a version must be pinned. Whether monday remembers errors under an
idempotency key is not documented; the sink remembers successes only.
"""

import hmac
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import orjson
from starlette.requests import Request
from starlette.responses import Response

from app.core import clock
from app.devstack.sink.board import Board, Item
from app.devstack.sink.http import json_answer, media_type, read
from app.devstack.sink.monday_schema import RequestError, Root, is_mutation, prepare, run
from app.devstack.sink.settings import SinkSettings
from app.devstack.sink.state import ChannelName, SinkState

ACCOUNT_ID: Final = 1234567
VERSIONS: Final = ("2026-07", "2026-10", "2027-01")
"""Maintenance, current and release candidate as of November 2026."""
KEPT_FOR: Final = timedelta(minutes=30)
MAX_KEYS: Final = 10_000
SHOWN_HEADERS: Final = ("api-version", "idempotency-key", "content-type")


class _RefusedError(Exception):
    def __init__(self, status: int, body: dict[str, Any], reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.body = body


class MondayService:
    """One account with one board. Takes items into `state` and answers as monday would."""

    channel = ChannelName.MONDAY

    def __init__(self, settings: SinkSettings, state: SinkState) -> None:
        self._key = settings.monday_api_key
        self._state = state
        self._answers: OrderedDict[str, tuple[datetime, bytes]] = OrderedDict()
        self._board = Board(settings.monday_board_id, settings.monday_columns)

    async def answer(self, request: Request) -> Response:
        """What monday would answer to this request."""
        body = await read(request)
        try:
            self._authenticate(request)
            return self._execute(request, _parsed(request, body), body)
        except _RefusedError as refused:
            self._state.reject(self.channel, status=refused.status, reason=str(refused), body=body)
            return json_answer(refused.body, status=refused.status)

    def clear(self) -> None:
        """Forget items and remembered answers."""
        self._board.clear()
        self._answers.clear()

    def _authenticate(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        known = self._key is None or hmac.compare_digest(given.encode(), self._key.get_secret_value().encode())
        if not given or not known:
            reason = "Authorization is missing" if not given else "Authorization is not MONDAY_API_KEY"
            raise _RefusedError(401, {"errors": ["Not Authenticated"]}, f"Not Authenticated: {reason}")

    def _execute(self, request: Request, parsed: dict[str, Any], body: bytes) -> Response:
        version = _version(request)
        try:
            document = prepare(parsed["query"])
            key = request.headers.get("idempotency-key", "") if is_mutation(document) else ""
            remembered = self._remembered(key)
            if remembered is not None:
                self._state.replay(self.channel)
                return Response(remembered, media_type="application/json", headers={"Idempotency-Replayed": "true"})
            root = Root(self._board, version)
            result = run(document, parsed.get("variables") or {}, root)
        except RequestError as refused:
            errors = [{**error.formatted, "extensions": {"code": refused.code}} for error in refused.errors]
            raise _RefusedError(400, _envelope({"errors": errors}), f"{refused.code}: {refused}") from None
        self._keep(request, root.created)
        for item in root.deleted:
            self._state.withdraw(self.channel, item.id)
        answer = orjson.dumps(_envelope(dict(result.formatted)))
        if result.errors:
            first = result.errors[0]
            reason = f"{(first.extensions or {}).get('code', 'error')}: {first.message}"
            self._state.reject(self.channel, status=200, reason=_with_column(reason, first.extensions), body=body)
        elif key:
            self._remember(key, answer)
        return Response(answer, media_type="application/json")

    def _keep(self, request: Request, created: list[Item]) -> None:
        headers = {name: request.headers[name] for name in SHOWN_HEADERS if name in request.headers}
        for item in created:
            content = {"id": item.id, "name": item.name, "board_id": item.board_id, "column_values": item.values}
            self._state.accept(self.channel, content, headers)

    def _remember(self, key: str, answer: bytes) -> None:
        self._answers[key] = (clock.now() + KEPT_FOR, answer)
        if len(self._answers) > MAX_KEYS:
            self._answers.popitem(last=False)

    def _remembered(self, key: str) -> bytes | None:
        until, answer = self._answers.get(key, (None, None))
        return answer if until is not None and clock.now() < until else None


def _version(request: Request) -> str:
    version = request.headers.get("api-version", "")
    if version in VERSIONS:
        return str(version)
    why = f"{version!r} is not one of {', '.join(VERSIONS)}" if version else "the header is missing, but we pin it"
    message = f"API-Version: {why}"
    error = {"message": message, "extensions": {"code": "InvalidVersionException", "status_code": 400}}
    raise _RefusedError(400, _envelope({"errors": [error]}), message)


def _parsed(request: Request, body: bytes) -> dict[str, Any]:
    if media_type(request) != "application/json":
        raise _bad_request("Content-Type is not application/json", 415)
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _bad_request("the body is not JSON", 400) from None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("query"), str):
        raise _bad_request("the body has no query string", 400)
    if not isinstance(parsed.get("variables", {}), dict | None):
        raise _bad_request("variables is not an object", 400)
    return parsed


def _bad_request(why: str, status: int) -> _RefusedError:
    body = {"error_code": "JsonParseException", "error_message": why, "error_data": {}, "status_code": status}
    return _RefusedError(status, _envelope(body), f"JsonParseException: {why}")


def _envelope(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "account_id": ACCOUNT_ID, "extensions": {"request_id": str(uuid4())}}


def _with_column(reason: str, extensions: dict[str, Any] | None) -> str:
    data = (extensions or {}).get("error_data", {})
    named = ", ".join(f"{key} {value}" for key, value in data.items())
    return f"{reason} ({named})" if named else reason
