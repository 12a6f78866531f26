"""What Slack's and monday's own answers mean, without a network."""

from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import orjson
import pytest

from app.core import clock
from worker.channels import monday_errors, slack
from worker.channels.base import Health, OutcomeKind
from worker.channels.http import LONGEST_WAIT, Reply, retry_after


def reply(status: int, body: Any, **headers: str) -> Reply:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return Reply(status, httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()}), raw, True)


@pytest.mark.parametrize(
    ("status", "word", "kind"),
    [
        (400, "invalid_payload", OutcomeKind.PAYLOAD_PERMANENT),
        (400, "invalid_blocks", OutcomeKind.PAYLOAD_PERMANENT),
        (400, "no_text", OutcomeKind.PAYLOAD_PERMANENT),
        (400, "user_not_found", OutcomeKind.DESTINATION_PERMANENT),
        (403, "action_prohibited", OutcomeKind.DESTINATION_PERMANENT),
        (403, "invalid_token", OutcomeKind.DESTINATION_PERMANENT),
        (404, "no_service", OutcomeKind.DESTINATION_PERMANENT),
        (404, "channel_not_found", OutcomeKind.DESTINATION_PERMANENT),
        (410, "channel_is_archived", OutcomeKind.DESTINATION_PERMANENT),
        (500, "rollup_error", OutcomeKind.AMBIGUOUS),
    ],
)
def test_slacks_words_are_understood(status: int, word: str, kind: OutcomeKind) -> None:
    outcome = slack.classify(reply(status, word.encode()))
    assert (outcome.kind, outcome.error, outcome.status) == (kind, word, status)


def test_slack_says_ok_and_nothing_else() -> None:
    assert slack.classify(reply(200, b"ok")).kind is OutcomeKind.DELIVERED
    assert slack.classify(reply(200, b"no_service")).kind is OutcomeKind.AMBIGUOUS
    assert slack.classify(Reply(200, httpx.Headers(), b"ok", False)).kind is OutcomeKind.AMBIGUOUS


def test_slacks_throttling_says_how_long() -> None:
    outcome = slack.classify(reply(429, b"rate_limited", retry_after="30"))
    assert (outcome.kind, outcome.retry_after) == (OutcomeKind.THROTTLED, timedelta(seconds=30))


def test_a_word_of_refusal_does_not_make_a_throttle_permanent() -> None:
    assert slack.classify(reply(429, b"no_service")).kind is OutcomeKind.THROTTLED


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("7", timedelta(seconds=7)),
        ("0", timedelta(0)),
        ("-3", None),
        ("soon", None),
        ("", None),
        ("1.5", None),
        ("9" * 400, LONGEST_WAIT),
        ("Wed, 21 Oct 2015 07:28:00 GMT", timedelta(0)),
        ("Wed, 21 Oct 9999 07:28:00 GMT", LONGEST_WAIT),
        ("Wed, 32 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_read_and_kept_within_bounds(value: str, wait: timedelta | None) -> None:
    assert retry_after(httpx.Headers({"Retry-After": value})) == wait


def test_retry_after_may_be_a_date() -> None:
    until = clock.now() + timedelta(seconds=90)
    wait = retry_after(httpx.Headers({"Retry-After": format_datetime(until, usegmt=True)}))
    assert wait is not None
    assert timedelta(seconds=85) < wait <= timedelta(seconds=90)


def coded(code: str, **extensions: Any) -> dict[str, Any]:
    return {"data": {"create_item": None}, "errors": [{"message": "m", "extensions": {"code": code, **extensions}}]}


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        (coded("ColumnValueException", status_code=200), OutcomeKind.PAYLOAD_PERMANENT, "ColumnValueException"),
        (coded("ItemNameTooLongException"), OutcomeKind.PAYLOAD_PERMANENT, "ItemNameTooLongException"),
        (coded("InvalidColumnIdException"), OutcomeKind.DESTINATION_PERMANENT, "InvalidColumnIdException"),
        (coded("InvalidBoardIdException"), OutcomeKind.DESTINATION_PERMANENT, "InvalidBoardIdException"),
        (
            coded("UserUnauthorizedException", status_code=403),
            OutcomeKind.DESTINATION_PERMANENT,
            "UserUnauthorizedException",
        ),
        (coded("SomethingNew", status_code=403), OutcomeKind.DESTINATION_PERMANENT, "SomethingNew"),
        (coded("SomethingNew", status_code=429), OutcomeKind.THROTTLED, "SomethingNew"),
        (coded("COMPLEXITY_BUDGET_EXHAUSTED"), OutcomeKind.THROTTLED, "COMPLEXITY_BUDGET_EXHAUSTED"),
        (coded("maxConcurrencyExceeded"), OutcomeKind.THROTTLED, "maxConcurrencyExceeded"),
        (coded("Rate Limit Exceeded"), OutcomeKind.THROTTLED, "Rate_Limit_Exceeded"),
        (
            {"error_code": "ComplexityException", "status_code": 429, "error_message": "reset in 3 seconds"},
            OutcomeKind.THROTTLED,
            "ComplexityException",
        ),
        (
            {"error_code": "InvalidBoardIdException", "status_code": 200, "error_message": "m", "error_data": {}},
            OutcomeKind.DESTINATION_PERMANENT,
            "InvalidBoardIdException",
        ),
        ({"errors": ["Not Authenticated"]}, OutcomeKind.DESTINATION_PERMANENT, "NotAuthenticated"),
        ({"errors": ["Something else"]}, OutcomeKind.AMBIGUOUS, "unlisted_error"),
        ({"errors": "Something else"}, OutcomeKind.AMBIGUOUS, "unlisted_error"),
        ({"errors": [None, 7, {"extensions": "x"}]}, OutcomeKind.AMBIGUOUS, "unlisted_error"),
        (coded("INTERNAL_SERVER_ERROR"), OutcomeKind.AMBIGUOUS, "unlisted_error"),
        ({"data": {"create_item": None}}, OutcomeKind.AMBIGUOUS, "unexpected_body"),
        ({"data": None}, OutcomeKind.AMBIGUOUS, "unexpected_body"),
        ({"data": {"create_item": {"id": "<b>"}}}, OutcomeKind.AMBIGUOUS, "unexpected_body"),
        ([], OutcomeKind.AMBIGUOUS, "unexpected_body"),
        (b"", OutcomeKind.AMBIGUOUS, "unexpected_body"),
    ],
)
def test_an_error_of_monday_under_status_200_is_a_failure(body: Any, kind: OutcomeKind, error: str) -> None:
    outcome = monday_errors.classify(reply(200, body))
    assert (outcome.kind, outcome.error, outcome.remote_ref) == (kind, error, None)


def test_mondays_item_id_is_kept() -> None:
    outcome = monday_errors.classify(reply(200, {"data": {"create_item": {"id": "98765"}}, "account_id": 1}))
    assert (outcome.kind, outcome.remote_ref, outcome.error) == (OutcomeKind.DELIVERED, "98765", None)


def test_an_item_beside_errors_is_not_called_delivered_but_remembered() -> None:
    body = {"data": {"create_item": {"id": "98765"}}, "errors": [{"message": "m", "extensions": {"code": "X"}}]}
    outcome = monday_errors.classify(reply(200, body))
    assert (outcome.kind, outcome.remote_ref) == (OutcomeKind.AMBIGUOUS, "98765")


@pytest.mark.parametrize(
    ("status", "body", "headers", "seconds"),
    [
        (200, coded("COMPLEXITY_BUDGET_EXHAUSTED", retry_in_seconds=17), {}, 17),
        (429, coded("COMPLEXITY_BUDGET_EXHAUSTED", retry_in_seconds=17), {"retry_after": "40"}, 40),
        (429, {"error_code": "FIELD_LIMIT_EXCEEDED", "error_data": {"retry_in_seconds": 15}}, {}, 15),
        (200, {"errors": ["Complexity budget exhausted, query cost 1 reset in 3 seconds"]}, {}, 3),
        (429, b"slow down", {"retry_after": "8"}, 8),
        (423, {"errors": [{"message": "board locked"}]}, {"retry_after": "5"}, 5),
        (409, {"errors": [{"message": "in progress"}]}, {"retry_after": "2"}, 2),
    ],
)
def test_monday_throttles_for_as_long_as_it_says(status: int, body: Any, headers: dict[str, str], seconds: int) -> None:
    outcome = monday_errors.classify(reply(status, body, **headers))
    assert (outcome.kind, outcome.retry_after) == (OutcomeKind.THROTTLED, timedelta(seconds=seconds))


def test_the_daily_limit_ends_at_midnight_utc() -> None:
    now = clock.now()
    outcome = monday_errors.classify(reply(200, coded("DAILY_LIMIT_EXCEEDED")))
    assert outcome.kind is OutcomeKind.THROTTLED
    assert outcome.retry_after is not None
    until = now + outcome.retry_after
    assert (until + timedelta(seconds=1)).hour == 0
    assert outcome.retry_after <= timedelta(days=1)


def test_a_code_that_is_no_code_is_not_repeated() -> None:
    outcome = monday_errors.classify(reply(200, coded("jan.kowalski@example.com", status_code=403)))
    assert (outcome.kind, outcome.error) == (OutcomeKind.DESTINATION_PERMANENT, "unlisted_code")


def test_a_conflict_comes_from_a_remote_that_lives() -> None:
    told = slack.classify(reply(409, b"conflict"))
    assert (told.kind, told.remote_health) == (OutcomeKind.AMBIGUOUS, Health.ALIVE)
    told = monday_errors.classify(reply(409, {"errors": [{"message": "in progress"}]}))
    assert (told.kind, told.remote_health) == (OutcomeKind.THROTTLED, Health.ALIVE)


def test_an_unclear_answer_under_status_200_counts_against_the_remote() -> None:
    assert slack.classify(reply(200, b"<html>")).remote_health is Health.FAILING
    assert monday_errors.classify(reply(200, coded("INTERNAL_SERVER_ERROR"))).remote_health is Health.FAILING
    assert monday_errors.classify(reply(200, coded("ColumnValueException"))).remote_health is Health.ALIVE
