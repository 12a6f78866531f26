"""JSON bodies are read strictly: what two parsers could understand differently is refused, and never repeated."""

import io
import json
import logging
import time
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from app.api import ROUTERS
from app.core.errors import MalformedError
from app.web.json_body import MAX_DEPTH, MAX_VALUES, decode
from app.web.paging import WHOLE
from tests.conftest import OPERATOR
from tests.conversations.test_bad_input import CANARY, problem
from tests.talk import open_session

MALFORMED = {
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": -Infinity}',
    "no double": b'{"a": 1e400}',
    "endless integer": b'{"a": ' + b"9" * 5_000 + b"}",
    "a name twice": b'{"a": 1, "a": 2}',
    "a name twice inside": b'[{"a": [{"b": 1, "\\u0062": 2}]}]',
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "UTF-16 without a mark": '{"a": 1}'.encode("utf-16-le"),
    "Latin-1": '{"a": "ż"}'.encode("iso-8859-2"),
    "overlong UTF-8": b'{"a": "\xc0\x80"}',
    "surrogate as UTF-8": b'{"a": "\xed\xa0\x80"}',
    "raw control character": b'{"a": "\x01"}',
    "too deep": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    "too deep behind brackets in strings": b'["]]]]]' + b'", [' * 21 + b"]" * 22,
    "100,000 brackets": b"[" * 100_000,
    "many members": json.dumps(dict.fromkeys(map(str, range(MAX_VALUES + 1)))).encode(),
    "many items": json.dumps([0] * (MAX_VALUES + 1)).encode(),
    "many members of many items": json.dumps([{"a": 1, "b": 2}] * (MAX_VALUES // 3 + 1)).encode(),
    "many arrays of one": json.dumps([[0]] * (MAX_VALUES // 2 + 1)).encode(),
    "cut off": b'{"a": ',
    "two values": b"{} {}",
    "a comment": b"{} // x",
    "a trailing comma": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "space": b" ",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": [1, -2.5, 1e3, true, null, "\\u017c\\n"]}',
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        json.dumps({"a": "[{" * 100}).encode(),
        json.dumps([[]] * MAX_VALUES).encode(),
        json.dumps({"a": ",[{" * MAX_VALUES}).encode(),
        json.dumps(dict.fromkeys(map(str, range(MAX_VALUES)))).encode(),
        json.dumps(['"[[' * 20, "\\[" * 20, {}]).encode(),
    ],
    ids=["values", "deep enough", "brackets in a string", "wide", "commas in a string", "members", "escapes"],
)
def test_what_is_json_is_read_as_the_library_reads_it(body: bytes) -> None:
    assert decode(body) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [b'"' + b'\\"' * 16_000, b'["' * 10_000, b"[" * 21 + b'"' + b"\\" * 32_000, b"[]" * 16_000],
    ids=["escaped quotes", "open strings", "backslashes", "pairs"],
)
def test_the_scan_for_depth_is_linear(body: bytes) -> None:
    """A quadratic one takes minutes of the event loop here."""
    began = time.process_time()
    with pytest.raises(MalformedError):
        decode(b"[" * 21 + body if not body.startswith(b"[") else body)
    with pytest.raises(MalformedError):
        decode(b"[]," * 30 + body)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON;charset=UTF-8", 200),
        ("application/json; charset=iso-8859-2", 415),
        ("application/json; charset=utf-16", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/xml", 415),
        (f"text/{CANARY}", 415),
        ("", 415),
        (None, 415),
        ('application/json ;\tcharset="UTF-8" ', 200),
        ("application/json; charset=", 415),
        ("application/json; charset=utf-8; charset=utf-8", 415),
        ("application/json; profile=x", 415),
        ("application/json, application/json", 415),
        ("application/json; charset*=utf-8; charset*0=utf-8", 415),
        (f"application/json; charset*{'9' * 4_400}=utf-8", 415),
        ("application/json; charset*=bogus'en'utf-8", 415),
        ('application/json; charset="\xff"', 415),
    ],
)
async def test_a_body_says_that_it_is_json(client: httpx.AsyncClient, content_type: str | None, status: int) -> None:
    headers = {} if content_type is None else {b"Content-Type": content_type.encode("latin-1")}
    answer = await client.post("/v1/quotes", content=b'{"area_m2": 52, "package": "premium"}', headers=headers)
    assert answer.status_code == status
    if status == 415:
        assert problem(answer, 415)["code"] == "unsupported-media-type"


async def test_of_two_content_types_none_is_believed(client: httpx.AsyncClient) -> None:
    for other in ("application/json", "text/plain"):
        answer = await client.post(
            "/v1/quotes",
            content=b'{"area_m2": 52, "package": "premium"}',
            headers=[("Content-Type", "application/json"), ("Content-Type", other)],
        )
        assert problem(answer, 415)["code"] == "unsupported-media-type"


@pytest.mark.parametrize(
    "content_type",
    ['application/json; "' + ";" * 30_000, "application/json;" + " " * 30_000 + "x", "application/json; a=b" * 1_500],
    ids=["semicolons", "space", "parameters"],
)
async def test_a_content_type_is_read_in_linear_time(client: httpx.AsyncClient, content_type: str) -> None:
    """Reading it as a mail's header takes seconds of the event loop here."""
    began = time.thread_time()
    problem(await client.post("/v1/quotes", content=b"{}", headers={"Content-Type": content_type}), 415)
    assert time.thread_time() - began < 0.5


READERS = (
    ("/v1/quotes", b'{"area_m2": 52, "package": "premium"}', {"Content-Type": "application/json"}),
    ("/v1/chat/messages", b'{"text": "hej"}', {"Content-Type": "application/json"}),
    ("/v1/channels/slack/resume", b"x", {**OPERATOR, "Idempotency-Key": "a" * 16}),
    (f"/privacy/requests/{UUID(int=1)}", b"token=x", {"Content-Type": "application/x-www-form-urlencoded"}),
    (f"/privacy/requests/{UUID(int=1)}/export", b"token=x", {"Content-Type": "application/x-www-form-urlencoded"}),
)


@pytest.mark.parametrize(("path", "body", "headers"), READERS, ids=[path for path, _, _ in READERS])
async def test_a_body_is_sent_as_it_is(
    client: httpx.AsyncClient, path: str, body: bytes, headers: dict[str, str]
) -> None:
    if path.startswith("/v1/chat"):
        headers = headers | await open_session(client)
    for coding in ("gzip", "br", "identity, gzip", "x", ""):
        answer = await client.post(path, content=body, headers={**headers, "Content-Encoding": coding})
        assert problem(answer, 415)["code"] == "unsupported-media-type"
        assert answer.headers["Accept-Encoding"] == "identity"
    taken = await client.post(path, content=body, headers={**headers, "Content-Encoding": "Identity"})
    assert taken.status_code in {200, 201, 404}


@pytest.mark.parametrize("path", ["/v1/quotes", "/v1/unsubscribe", "/v1/chat/messages"])
async def test_an_error_is_not_made_of_each_of_thousands_of_members(client: httpx.AsyncClient, path: str) -> None:
    content = json.dumps(dict.fromkeys((f"{n:x}" for n in range(3_000)), 1)).encode()
    headers = {**await open_session(client), "Content-Type": "application/json"}
    assert problem(await client.post(path, content=content, headers=headers), 400)["code"] == "malformed-json"


async def test_no_body_where_one_is_needed_is_422(client: httpx.AsyncClient) -> None:
    found = problem(await client.post("/v1/quotes", headers={"Content-Type": "application/json"}), 422)
    assert found["errors"][0]["code"] == "missing"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/followups/preview", {"conversation_id": "x", "followup_number": "1"}),
        ("/v1/followups/preview", {"conversation_id": "x", "followup_number": True}),
        ("/v1/followups/preview", {"conversation_id": "x", "followup_number": 1.5}),
        ("/v1/followups/preview", {"conversation_id": "x", "followup_number": 10**30}),
        ("/v1/followups/preview", {"conversation_id": "x", "followup_number": -(2**63) - 1}),
        ("/v1/quotes", {"area_m2": True, "package": "premium"}),
        ("/v1/quotes", {"area_m2": "1e5000", "package": "premium"}),
        ("/v1/quotes", {"area_m2": 52, "package": ["premium"]}),
        ("/v1/dead-letters/retry", {"since": 0}),
        ("/v1/dead-letters/retry", {"since": "2026-01-01T00:00:00"}),
        ("/v1/dead-letters/retry", {"channel": 1}),
        ("/v1/dead-letters/retry", {"statuses": ["pending"] * 100}),
        ("/v1/channels/slack/pause", {"reason": 5}),
        ("/v1/channels/slack/pause", {CANARY: 5}),
        ("/v1/chat/sessions", {"locale": "\ud800"}),
        ("/v1/unsubscribe", {"email": f"{CANARY}\x00@example.com"}),
        ("/v1/privacy/requests", {"type": "access", "email": "a@\ud800.pl"}),
    ],
)
async def test_values_are_of_their_type_and_in_their_bounds(
    client: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    headers = {**OPERATOR, "Content-Type": "application/json"}
    problem(await client.post(path, content=json.dumps(body).encode(), headers=headers), 422)


MARKS = "a" + "\u0300" * 7_000 + "\u0316" * 7_000
SOME_ID = str(UUID(int=1))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/unsubscribe", {"email": "a@b.pl", "reason": MARKS}),
        ("/v1/unsubscribe", {"email": MARKS}),
        ("/v1/privacy/requests", {"type": "access", "email": MARKS}),
        (f"/v1/privacy/requests/{SOME_ID}/verify", {"token": MARKS}),
        ("/v1/chat/messages", {"text": MARKS}),
        ("/v1/chat/handoff", {"reason": MARKS}),
        ("/v1/chat/contact", {"email": "a@b.pl", "name": MARKS}),
        ("/v1/chat/contact", {"email": "a@b.pl", "phone": MARKS}),
        ("/v1/chat/contact", {"email": MARKS}),
        (f"/v1/chat/messages/{SOME_ID}/feedback", {"rating": "up", "comment": MARKS}),
        (f"/v1/conversations/{SOME_ID}/messages", {"text": MARKS}),
        ("/v1/followups", {"conversation_id": SOME_ID, "followup_number": 1, "message": MARKS}),
        ("/v1/channels/slack/pause", {"reason": MARKS}),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
async def test_a_text_is_measured_before_it_is_composed(
    client: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    """Composing 14,000 marks on one letter takes half a second of the event loop."""
    headers = (await open_session(client)) if path.startswith("/v1/chat") else OPERATOR
    content = json.dumps(body, ensure_ascii=False).encode()
    began = time.thread_time()
    problem(await client.post(path, content=content, headers={**headers, "Content-Type": "application/json"}), 422)
    assert time.thread_time() - began < 0.2


@pytest.mark.parametrize("text", [" \n", "\u202e\u200b", "\u3164", "\u2800"], ids=ascii)
async def test_a_text_that_nobody_can_see_is_none(client: httpx.AsyncClient, text: str) -> None:
    token = await open_session(client)
    for path, body in (
        ("/v1/chat/messages", {"text": text}),
        ("/v1/chat/handoff", {"reason": text}),
        ("/v1/chat/contact", {"email": "a@b.pl", "name": text}),
        ("/v1/followups", {"conversation_id": SOME_ID, "followup_number": 1, "message": text}),
        ("/v1/channels/slack/pause", {"reason": text}),
        (f"/v1/conversations/{SOME_ID}/messages", {"text": text}),
    ):
        headers = token if path.startswith("/v1/chat") else OPERATOR
        problem(await client.post(path, json=body, headers=headers), 422)


TEXTS = (
    "%00",
    "%ED%A0%80",
    "%FF%FE",
    "%F0%9F%92%A9",
    "a" * 5_000,
    "%2e%2e%2f%2e%2e%2fetc",
    "%0d%0aX-A:%20b",
    "%25%30%30",
    "1e400",
)
NUMBERS = ("1_0", "+1", "%201", "1%20", "1.0", "1e1", "0x1", "-1", "--1", "", "%D9%A1", "9" * 20, "9" * 4_400)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/leads?limit={}",
        "/v1/alerts?limit={}",
        "/v1/followups/due?limit={}",
        f"/v1/conversations/{SOME_ID}?after={{}}",
        "/v1/chat/messages?limit={}",
        "/v1/chat/messages?after={}",
        "/v1/chat/events?after={}",
    ],
)
async def test_a_number_in_a_query_is_written_in_digits(app: FastAPI, client: httpx.AsyncClient, path: str) -> None:
    app.state.feed.shut()  # a stream that begins all the same is a 503 then, and no test that never ends
    token = await open_session(client) if path.startswith("/v1/chat") else OPERATOR
    for number in NUMBERS:
        found = problem(await client.get(path.format(number), headers=token), 422)
        assert found["code"] == "validation-failed", number
    if "/events" not in path:
        assert (await client.get(path.format("10"), headers=token)).status_code in {200, 404}


async def test_every_number_in_a_query_is_of_that_kind(app: FastAPI) -> None:
    numbers = [
        field.field_info
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for field in route.dependant.query_params
        if field.field_info.annotation is int
    ]
    assert len(numbers) > 10
    for number in numbers:
        assert WHOLE in number.metadata


JUNK = (b"\xff\xfe", b"za\xc5\xbc", b"a" * 8_000, b"\x01\x02", b"", b'"', b"a,b;q=x")
HEADERS = (
    "Authorization",
    "Idempotency-Key",
    "Accept",
    "Accept-Language",
    "X-Request-ID",
    "traceparent",
    "Origin",
    "User-Agent",
    "X-Forwarded-For",
    "Content-Type",
    "Content-Encoding",
)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/leads/{}",
        "/v1/leads?cursor={}",
        "/v1/leads?limit={}",
        "/v1/leads.csv?separator={}",
        "/v1/audit?email={}",
        "/v1/audit?email=a@b.pl&cursor={}",
        "/v1/operator-actions?target={}",
        "/v1/dead-letters?since={}",
        "/v1/dead-letters?status={}",
        "/v1/followups?state={}",
        "/v1/conversations/{}",
        "/v1/packages?locale={}",
        "/v1/{}",
        "/u/{}",
        "/privacy/requests/{}",
    ],
)
async def test_junk_in_path_and_query_is_no_accident(client: httpx.AsyncClient, path: str) -> None:
    for text in TEXTS:
        answer = await client.get(path.format(text), headers={**OPERATOR, "Accept": "application/json"})
        assert answer.status_code in {200, 404, 422}, answer.text
        if answer.status_code != 200:
            problem(answer, answer.status_code)
        assert "X-A" not in answer.headers
        assert text not in answer.text


@pytest.mark.parametrize("name", HEADERS)
async def test_junk_in_headers_is_no_accident(client: httpx.AsyncClient, name: str) -> None:
    operator = {key.encode(): value.encode() for key, value in OPERATOR.items()}
    for junk in JUNK:
        for method, path in (("POST", "/v1/channels/slack/resume"), ("POST", "/v1/quotes"), ("GET", "/u/x")):
            content = b'{"area_m2": 52, "package": "premium"}' if path == "/v1/quotes" else None
            answer = await client.request(method, path, headers={**operator, name.encode(): junk}, content=content)
            assert answer.status_code < 500, answer.text
            assert junk not in answer.content or len(junk) < 2


async def test_what_a_stranger_sends_is_not_logged(
    client: httpx.AsyncClient, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = io.StringIO()
    (handler,) = (handler for handler in logging.getLogger().handlers if type(handler) is logging.StreamHandler)
    monkeypatch.setattr(handler, "stream", logged)
    token = await open_session(client)
    for body in (f'{{"text": "{CANARY}', f'{{"{CANARY}": 1}}', f'{{"text": "{CANARY}\\u0000"}}'):
        await client.post(
            "/v1/chat/messages", content=body.encode(), headers={**token, "Content-Type": "application/json"}
        )
    await client.get(f"/v1/{CANARY}?{CANARY}={CANARY}", headers={"X-Request-ID": f"{CANARY} x", "Accept": CANARY})
    assert await sql.fetchval("SELECT count(*) FROM chat_messages WHERE role = 'visitor'") == 0
    await client.get("/v1/leads", headers={"Authorization": f"Bearer {CANARY}"})
    assert CANARY not in logged.getvalue()
