"""Nothing a stranger sends crashes the API, is echoed or is stored (DESIGN invariant 8)."""

import json
import re
from typing import Any

import asyncpg
import httpx
import pytest

from app.core.redaction import Redactor
from tests.talk import open_session

CANARY = "kanarek-7781"


def raw(name: str, value: str) -> dict[bytes, bytes]:
    """A header as bytes on the wire, whatever it holds."""
    return {name.encode(): value.encode()}


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert CANARY not in response.text
    found: dict[str, Any] = response.json()
    assert found["status"] == status
    assert found["code"]
    assert found["request_id"] == response.headers["X-Request-ID"]
    return found


BAD_BODIES = {
    "not json": b"{" + CANARY.encode(),
    "an array": json.dumps([CANARY]).encode(),
    "null": b"null",
    "text missing": b"{}",
    "text is a number": b'{"text": 5}',
    "text is an object": json.dumps({"text": {CANARY: 1}}).encode(),
    "text empty": b'{"text": ""}',
    "text blank": b'{"text": " \\n "}',
    "text too long": json.dumps({"text": CANARY * 400}).encode(),
    "NUL": json.dumps({"text": f"{CANARY}\x00"}).encode(),
    "lone surrogate": b'{"text": "\\ud800' + CANARY.encode() + b'"}',
    "control character": json.dumps({"text": f"{CANARY}\x1b[31m"}).encode(),
    "invalid utf-8": b'{"text": "\xff\xfe"}',
    "unknown member": json.dumps({"text": "hej", CANARY: 1}).encode(),
    "NaN": b'{"text": NaN}',
    "huge number": b'{"text": 1e400}',
    "bad message id": json.dumps({"text": "hej", "client_message_id": CANARY + " "}).encode(),
    "long message id": json.dumps({"text": "hej", "client_message_id": "a" * 65}).encode(),
    "message id is a number": b'{"text": "hej", "client_message_id": 7}',
    "deep nesting": b'{"text": ' + b"[" * 15_000 + b"]" * 15_000 + b"}",
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_a_bad_message_is_refused_and_not_stored(
    client: httpx.AsyncClient, sql: asyncpg.Connection, body: bytes
) -> None:
    token = await open_session(client)
    response = await client.post(
        "/v1/chat/messages", content=body, headers={**token, "Content-Type": "application/json"}
    )
    assert 400 <= response.status_code < 500
    problem(response, response.status_code)
    assert await sql.fetchval("SELECT count(*) FROM chat_messages WHERE role = 'visitor'") == 0


async def test_five_megabytes_are_too_large_with_and_without_a_length(client: httpx.AsyncClient) -> None:
    token = await open_session(client)
    body = json.dumps({"text": CANARY * 450_000}).encode()

    async def chunks() -> Any:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    headers = {**token, "Content-Type": "application/json"}
    problem(await client.post("/v1/chat/messages", content=body, headers=headers), 413)
    problem(await client.post("/v1/chat/messages", content=chunks(), headers=headers), 413)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic abc",
        "Bearer nobody",
        "Bearer " + "x" * 5000,
        "Bearer za\u017c\u00f3\u0142\u0107",
    ],
)
async def test_an_unknown_token_is_401_whatever_it_looks_like(client: httpx.AsyncClient, authorization: str) -> None:
    headers = raw("Authorization", authorization) if authorization else {}
    for response in (
        await client.post("/v1/chat/messages", json={"text": CANARY}, headers=headers),
        await client.get("/v1/chat/messages", headers=headers),
    ):
        problem(response, 401)
        assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/chat/messages/", 404),
        ("DELETE", "/v1/packages", 405),
        ("GET", "/v1/packages?locale=de", 422),
        ("GET", "/v1/leads", 401),
        ("GET", "/v1/alerts", 401),
    ],
)
async def test_every_error_is_a_problem(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    response = await client.request(method, path)
    problem(response, status)
    if status == 405:
        assert response.headers["Allow"]


@pytest.mark.parametrize(
    "body",
    [
        {"area_m2": 0, "package": "premium"},
        {"area_m2": 1e30, "package": "premium"},
        {"area_m2": "NaN", "package": "premium"},
        {"area_m2": 52, "package": "gold"},
        {"area_m2": True, "package": "premium"},
        {"area_m2": 52, "package": "premium", "extra": 1},
    ],
)
async def test_a_senseless_quote_is_refused(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    problem(await client.post("/v1/quotes", json=body), 422)


async def test_a_quote_is_area_times_price(client: httpx.AsyncClient) -> None:
    quote = (await client.post("/v1/quotes", json={"area_m2": 52, "package": "premium"})).json()
    assert quote["total_pln"] == "103948.00"
    assert quote["price_per_m2"] == "1999"
    assert quote["vat_percent"] == 8


async def test_a_request_id_is_taken_over_only_when_it_is_harmless(client: httpx.AsyncClient) -> None:
    redactor = Redactor()
    for harmless in (
        "abcd-1234-efgh",
        "20261130-checkout-a",
        "a-" * 32,
        "12345678-1234-4234-8234-123456789012",
        "F47AC10B-58CC-4372-A567-0E02B2C3D479",
        "a123456789012345",
        "0123456789abcdef" * 4,
        "0123456789ABCDEF",
    ):
        taken = await client.get("/v1/packages", headers={"X-Request-ID": harmless})
        assert taken.headers["X-Request-ID"] == harmless
        assert redactor.event({"request_id": harmless}) == {"request_id": harmless}
    for harmful in (
        "short",
        "a" * 65,
        "abc def ghi",
        "abcd1234\u00e9",
        "691222333",
        "tel-691222333",
        "x691222333",
        "jan-691-222-333",
        "48-a6-91b-222c333",
        "4111111111111111",
        "6912223336912223336912223336912223",
        "Zk3vTwQxAbNmLrSHdOfGjPcVyWpAeQuKiRoWt-TB-x",
        "0123456789abcdeF",
    ):
        refused = await client.get("/v1/packages", headers=raw("X-Request-ID", harmful))
        assert re.fullmatch("[0-9a-f]{32}", refused.headers["X-Request-ID"]), harmful
