"""The sink's monday.com refuses what monday refuses, in monday's shapes, and honours Idempotency-Key."""

from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest

from app.core import clock
from app.devstack.sink.app import RunningSink
from app.devstack.sink.state import ChannelName

HEADERS = {"Authorization": "token", "API-Version": "2026-10", "Content-Type": "application/json"}
CREATE = (
    "mutation ($board: ID!, $name: String!, $values: JSON) "
    "{ create_item(board_id: $board, item_name: $name, column_values: $values) { id name } }"
)
FIND = (
    "query ($text: String!) { items_page_by_column_values(board_id: 4711, "
    'columns: [{column_id: "alert_id", column_values: [$text]}]) '
    '{ cursor items { id column_values(ids: ["score"]) { id type text value } } } }'
)


async def ask(http: httpx.AsyncClient, query: str, variables: Any = None, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"query": query} if variables is None else {"query": query, "variables": variables}
    return await http.post("/monday/v2", content=orjson.dumps(body), headers={**HEADERS, **named})


def item(values: Any = None, **changes: Any) -> dict[str, Any]:
    return {
        "board": "4711",
        "name": "Jan",
        "values": None if values is None else orjson.dumps(values).decode(),
    } | changes


async def test_an_item_is_created_found_and_deleted(http: httpx.AsyncClient) -> None:
    created = (await ask(http, CREATE, item({"alert_id": "a-1", "score": "85"}))).json()
    assert created["data"]["create_item"]["name"] == "Jan"
    assert created["account_id"]
    found = (await ask(http, FIND, {"text": "a-1"})).json()["data"]["items_page_by_column_values"]
    score = {"id": "score", "type": "numbers", "text": "85", "value": "85"}
    assert found == {"cursor": None, "items": [{"id": created["data"]["create_item"]["id"], "column_values": [score]}]}
    gone = await ask(http, "mutation ($id: ID) { delete_item(item_id: $id) { id } }", {"id": found["items"][0]["id"]})
    assert gone.json()["data"]["delete_item"]["id"] == found["items"][0]["id"]
    assert (await ask(http, FIND, {"text": "a-1"})).json()["data"]["items_page_by_column_values"]["items"] == []


async def test_me_and_version_can_be_asked(http: httpx.AsyncClient) -> None:
    answer = (await ask(http, "{ me { name } version { value } }")).json()
    assert answer["data"] == {"me": {"name": "NovaHouse sink"}, "version": {"value": "2026-10"}}


@pytest.mark.parametrize(
    "values",
    [
        {"phone": {"phone": "+48691222333", "countryShortName": "PL"}},
        {"phone": "+48691222333 PL"},
        {"email": {"email": "a@b.pl", "text": "a"}},
        {"area": 52},
        {"area": "52.5"},
        {"captured_at": {"date": "2026-11-24"}},
        {"captured_at": {"date": "2026-11-24", "time": "09:15:30"}},
        {"last_words": {"text": "x" * 2000}},
        {"last_words": "x"},
        {},
    ],
)
async def test_values_in_their_columns_format_are_taken(http: httpx.AsyncClient, values: dict[str, Any]) -> None:
    answer = (await ask(http, CREATE, item(values))).json()
    assert "errors" not in answer


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        (item({"nope": "x"}), "InvalidColumnIdException"),
        (item({"phone": "691222333"}), "ColumnValueException"),
        (item({"phone": {"phone": "+48691222333"}}), "ColumnValueException"),
        (item({"phone": {"phone": "call me", "countryShortName": "PL"}}), "ColumnValueException"),
        (item({"phone": {"phone": "+48691222333", "countryShortName": "Polska"}}), "ColumnValueException"),
        (item({"email": "a@b.pl"}), "ColumnValueException"),
        (item({"email": {"email": "nobody", "text": "x"}}), "ColumnValueException"),
        (item({"city": {"text": "x"}}), "ColumnValueException"),
        (item({"area": "52,5"}), "ColumnValueException"),
        (item({"area": True}), "ColumnValueException"),
        (item({"captured_at": "24.11.2026"}), "ColumnValueException"),
        (item({"captured_at": {"date": "2026-02-30"}}), "ColumnValueException"),
        (item({"captured_at": {"date": "2026-11-24", "time": "25:00:00"}}), "ColumnValueException"),
        (item({"last_words": {"text": "x" * 2001}}), "ColumnValueException"),
        (item(values="[]"), "InvalidArgumentException"),
        (item(values="{"), "InvalidArgumentException"),
        (item({"city": "x" * 70_000}), "InvalidArgumentException"),
        (item(name=""), "ItemNameTooLongException"),
        (item(name="x" * 256), "ItemNameTooLongException"),
        (item(board="1"), "InvalidBoardIdException"),
    ],
)
async def test_an_application_error_comes_with_status_200(
    http: httpx.AsyncClient, sink: RunningSink, variables: dict[str, Any], code: str
) -> None:
    answer = await ask(http, CREATE, variables)
    assert answer.status_code == 200
    [error] = answer.json()["errors"]
    assert error["extensions"]["code"] == code
    assert error["extensions"]["status_code"] == 200
    assert error["path"] == ["create_item"]
    assert answer.json()["data"] == {"create_item": None}
    assert not sink.state.messages
    assert sink.state.rejections[0].reason.startswith(code)


async def test_a_missing_item_cannot_be_deleted(http: httpx.AsyncClient) -> None:
    answer = (await ask(http, "mutation { delete_item(item_id: 1) { id } }")).json()
    assert answer["errors"][0]["extensions"]["code"] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        ("mutation {", None, "GRAPHQL_PARSE_FAILED"),
        ("{ me { name } " * 900, None, "GRAPHQL_PARSE_FAILED"),
        ("{ boards { id } }", None, "GRAPHQL_VALIDATION_FAILED"),
        ("mutation { create_item(item_name: 1) { id } }", None, "GRAPHQL_VALIDATION_FAILED"),
        (CREATE, {"board": "4711"}, "BAD_USER_INPUT"),
        (CREATE, {"board": "4711", "name": "x", "values": {"city": "x"}}, "BAD_USER_INPUT"),
    ],
)
async def test_a_query_that_does_not_fit_the_schema_is_refused(
    http: httpx.AsyncClient, query: str, variables: Any, code: str
) -> None:
    answer = await ask(http, query, variables)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"]["code"] == code


@pytest.mark.parametrize(
    ("content", "headers", "status", "said"),
    [
        (b"{", {}, 400, "not JSON"),
        (b"[]", {}, 400, "no query"),
        (b'{"query": 1}', {}, 400, "no query"),
        (b'{"query": "{ me { id } }", "variables": []}', {}, 400, "variables"),
        (b'{"query": "{ me { id } }"}', {"Content-Type": "text/plain"}, 415, "Content-Type"),
        (b'{"query": "{ me { id } }"}', {"API-Version": ""}, 400, "API-Version"),
        (b'{"query": "{ me { id } }"}', {"API-Version": "2019-10"}, 400, "API-Version"),
        (b'{"query": "{ me { id } }"}', {"API-Version": "latest"}, 400, "API-Version"),
        (b'{"query": "{ me { id } }"}', {"Authorization": "Bearer token"}, 401, "Not Authenticated"),
        (b'{"query": "{ me { id } }"}', {"Authorization": ""}, 401, "Not Authenticated"),
    ],
)
async def test_a_request_that_is_wrong_around_the_query_is_refused(
    http: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    answer = await http.post("/monday/v2", content=content, headers={**HEADERS, **headers})
    assert answer.status_code == status
    assert said in answer.text


async def test_the_same_key_gets_the_same_answer_and_no_second_item(http: httpx.AsyncClient, sink: RunningSink) -> None:
    first = await ask(http, CREATE, item(), Idempotency_Key="k1")
    again = await ask(http, CREATE, item(name="changed"), Idempotency_Key="k1")
    other = await ask(http, CREATE, item(), Idempotency_Key="k2")
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["data"] == first.json()["data"] != other.json()["data"]
    assert len(list(sink.state.of(ChannelName.MONDAY))) == 2


async def test_a_key_is_forgotten_after_half_an_hour(
    http: httpx.AsyncClient, sink: RunningSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(http, CREATE, item(), Idempotency_Key="k1")
    later = clock.now() + timedelta(minutes=31)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert "idempotency-replayed" not in (await ask(http, CREATE, item(), Idempotency_Key="k1")).headers
    assert len(list(sink.state.of(ChannelName.MONDAY))) == 2


async def test_a_refusal_is_not_remembered_under_its_key(http: httpx.AsyncClient) -> None:
    await ask(http, CREATE, item({"nope": "x"}), Idempotency_Key="k1")
    mended = await ask(http, CREATE, item(), Idempotency_Key="k1")
    assert mended.json()["data"]["create_item"]["id"]
