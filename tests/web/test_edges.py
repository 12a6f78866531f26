"""What every answer carries, whoever gives it: ids, headers, CORS, and a problem when it is no success."""

import io
import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from app.core.settings import Settings, SettingsError, read_settings
from tests.conftest import OPERATOR, application
from tests.conversations.test_bad_input import problem
from tests.talk import CONSENT, ENQUIRY, open_session, say

PAGE = "https://www.novahouse.pl"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
EXPOSED = {"X-Request-ID", "traceparent", "Idempotent-Replayed", "Retry-After", "RateLimit", "RateLimit-Policy"}


@asynccontextmanager
async def serving(settings: Settings, **changed: Any) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """The application with changed settings."""
    app = application(settings.model_copy(update=changed))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        yield app, client


def names(header: str) -> set[str]:
    return {name.strip() for name in header.split(",")}


async def test_every_answer_has_the_same_headers(settings: Settings) -> None:
    async with serving(settings, allowed_origins=(PAGE,)) as (app, client):
        app.state.chat = None
        preflight = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
        answers = {
            200: await client.get("/health/live"),
            204: await client.options("/v1/quotes", headers=preflight),
            400: await client.options("/v1/quotes", headers=preflight | {"Origin": "https://evil.example"}),
            404: await client.get("/nowhere"),
            405: await client.delete("/v1/packages"),
            413: await client.post("/v1/quotes", content=b" " * 40_000),
            415: await client.post("/v1/quotes", content=b"{}"),
            422: await client.get("/v1/packages?locale=de"),
            500: await client.get("/v1/packages"),
        }
    for status, answer in answers.items():
        assert answer.status_code == (200 if status == 204 else status)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert "Strict-Transport-Security" not in answer.headers
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", answer.headers["traceparent"])
        if status >= 400:
            found = problem(answer, status)
            assert found["type"] == f"tag:novahouse.pl,2026:problem:{found['code']}"


async def test_a_page_of_an_allowed_origin_may_read_everything_and_no_other_may(settings: Settings) -> None:
    async with serving(settings, allowed_origins=(PAGE,)) as (app, client):
        app.state.chat = None
        for path, status in (("/health/live", 200), ("/nowhere", 404), ("/v1/leads", 401), ("/v1/packages", 500)):
            allowed = await client.get(path, headers={"Origin": PAGE})
            assert (allowed.status_code, allowed.headers["Access-Control-Allow-Origin"]) == (status, PAGE)
            assert names(allowed.headers["Access-Control-Expose-Headers"]) == EXPOSED
            assert "Access-Control-Allow-Credentials" not in allowed.headers
            assert "Origin" in allowed.headers["Vary"]
            for stranger in ("https://novahouse.pl", "https://www.novahouse.pl.evil.example", "null", PAGE.upper()):
                refused = await client.get(path, headers={"Origin": stranger})
                assert "Access-Control-Allow-Origin" not in refused.headers, stranger


async def test_a_preflight_is_remembered_and_names_what_may_be_sent(settings: Settings) -> None:
    async with serving(settings, allowed_origins=(PAGE,)) as (_, client):
        asked = {
            "Origin": PAGE,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": (
                "authorization, content-type, idempotency-key, last-event-id, x-request-id, traceparent"
            ),
        }
        granted = await client.options("/v1/consent/rodo", headers=asked)
        cookies = asked | {"Access-Control-Request-Headers": "cookie"}
        refused = await client.options("/v1/consent/rodo", headers=cookies)
    assert granted.status_code == 200
    assert granted.headers["Access-Control-Max-Age"] == "7200"
    assert names(granted.headers["Access-Control-Allow-Methods"]) == {"GET", "POST", "PUT", "PATCH", "DELETE"}
    assert problem(refused, 400)["code"] == "cors-refused"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALLOWED_ORIGINS", "*"),
        ("ALLOWED_ORIGINS", "https://*.novahouse.pl"),
        ("ALLOWED_ORIGINS", "https://novahouse.pl/"),
        ("ALLOWED_ORIGINS", "novahouse.pl"),
        ("ALLOWED_ORIGINS", "null"),
        ("ALLOWED_HOSTS", "https://api.novahouse.pl"),
        ("ALLOWED_HOSTS", "*"),
        ("ALLOWED_HOSTS", "api.novahouse.pl:443"),
    ],
)
def test_lists_of_whom_to_trust_are_exact(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        read_settings()


async def test_in_production_requests_name_a_host_of_ours(settings: Settings) -> None:
    production = {
        "environment": "production",
        "public_base_url": "https://api.novahouse.pl:8443",
        "allowed_hosts": ("Chat.example.com",),
    }
    async with serving(settings, **production) as (_, client):
        for host in ("api.novahouse.pl", "API.novahouse.pl:8443", "chat.example.com", "127.0.0.1:8000", "[::1]:80"):
            answer = await client.get("/v1/consent/texts", headers={"Host": host})
            assert answer.status_code == 200, host
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        for host in ("evil.example", "api.novahouse.pl.evil.example", "10.0.0.7", "", "api.novahouse.pl@evil.example"):
            answer = await client.get("/v1/consent/texts", headers={"Host": host})
            assert problem(answer, 400)["code"] == "host-unknown"
            assert "evil" not in answer.text
        for path in ("/health/live", "/health/ready", "/metrics"):
            assert (await client.get(path, headers={"Host": "10.0.0.7:8000"})).status_code == 200


async def test_in_development_any_host_will_do(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/consent/texts", headers={"Host": "anything.example"})).status_code == 200


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/followups", {"GET", "POST"}),
        ("/v1/chat/messages", {"GET", "POST"}),
        ("/v1/consent/rodo", {"PUT", "DELETE"}),
        ("/u/x", {"GET", "HEAD", "POST"}),
        ("/v1/packages", {"GET"}),
        ("/openapi.json", {"GET", "HEAD"}),
    ],
)
async def test_405_names_every_method_of_the_path(client: httpx.AsyncClient, path: str, allowed: set[str]) -> None:
    for method in ("PATCH", "OPTIONS", "TRACE", "BREW"):
        answer = await client.request(method, path)
        assert problem(answer, 405)["code"] == "method-not-allowed"
        assert names(answer.headers["Allow"]) == allowed


async def test_a_slash_at_the_end_is_another_path_and_leads_nowhere(client: httpx.AsyncClient) -> None:
    for path in ("/v1/leads/", "/v1/packages/", "/docs/", "//v1/packages"):
        answer = await client.get(path, headers={**OPERATOR, "Host": "evil.example"})
        assert answer.status_code in {404, 422}
        assert "Location" not in answer.headers


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "00",
        PARENT.upper(),
        PARENT + "-x",
        PARENT.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-00f067aa0ba902b7-0g",
        PARENT + "\n",
        "x" * 5_000,
    ],
    ids=["empty", "short", "upper", "longer", "ff", "no trace", "no span", "flags", "line", "long"],
)
async def test_a_trace_that_is_not_valid_begins_anew(client: httpx.AsyncClient, parent: str) -> None:
    answer = await client.get("/health/live", headers={b"traceparent": parent.encode()})
    assert TRACE not in answer.headers["traceparent"]


async def test_of_two_traces_none_is_believed(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health/live", headers=[("traceparent", PARENT), ("traceparent", PARENT)])
    assert TRACE not in answer.headers["traceparent"]


async def test_a_trace_is_continued_into_answer_and_alert(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    newer = await client.get("/health/live", headers={"traceparent": f"cc-{TRACE}-00f067aa0ba902b7-00-what-comes"})
    assert newer.headers["traceparent"].startswith(f"00-{TRACE}-")
    token = await open_session(client)
    await say(client, token, ENQUIRY)
    answer = await client.post("/v1/chat/messages", json={"text": CONSENT}, headers={**token, "traceparent": PARENT})
    version, trace, span, flags = answer.headers["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert span != PARENT.split("-")[2]
    rows = await sql.fetch("SELECT id, trace_id, request_id FROM outbound_alert")
    assert {row["trace_id"] for row in rows} == {TRACE}
    assert {row["request_id"] for row in rows} == {answer.headers["X-Request-ID"]}
    shown = await client.get(f"/v1/alerts/{rows[0]['id']}", headers=OPERATOR)
    assert shown.json()["trace_id"] == TRACE


async def test_what_breaks_is_logged_under_its_ids_and_not_shown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = io.StringIO()
    (handler,) = (handler for handler in logging.getLogger().handlers if type(handler) is logging.StreamHandler)
    monkeypatch.setattr(handler, "stream", logged)
    async with serving(settings) as (app, client):
        app.state.chat = None
        answer = await client.get("/v1/packages", headers={"traceparent": PARENT})
    found = problem(answer, 500)
    assert set(found) == {"type", "title", "status", "code", "request_id"}
    (line,) = [line for line in logged.getvalue().splitlines() if "request_failed" in line]
    assert (json.loads(line)["request_id"], json.loads(line)["trace_id"]) == (found["request_id"], TRACE)
    assert re.fullmatch("[0-9a-f]{16}", json.loads(line)["client_hash"])
    assert "client" not in json.loads(line)


async def test_a_forged_link_is_a_problem_for_programs_and_a_page_for_people(client: httpx.AsyncClient) -> None:
    problem(await client.get("/u/forged"), 404)
    page = await client.get("/u/forged", headers={"Accept": "text/html,*/*"})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")


async def test_the_docs_page_may_load_from_its_cdn_only(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    loaded = set(re.findall(r'(?:src|href)="(https://[^/"]+)', page.text))
    assert loaded == {"https://cdn.jsdelivr.net"}
    assert (await client.get("/redoc")).status_code == 404
