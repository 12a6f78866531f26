"""The sink's Slack refuses what Slack refuses, in Slack's words."""

from typing import Any

import httpx
import pytest

from tests.devstack.sink.conftest import HOOK


def plain(text: Any, **more: Any) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, **more}


def section(**parts: Any) -> dict[str, Any]:
    return {"type": "section", **parts}


HEADER = {"type": "header", "text": plain("x")}


@pytest.mark.parametrize(
    "payload",
    [
        {"text": "hello"},
        {"blocks": [HEADER]},
        {"blocks": [{"type": "divider"}] * 50},
        {"blocks": [{"type": "header", "text": plain("x" * 150, emoji=True)}]},
        {"blocks": [section(text={"type": "mrkdwn", "text": "x" * 3000, "verbatim": True})]},
        {"blocks": [section(fields=[plain("x" * 2000)] * 10)]},
        {"blocks": [{"type": "context", "elements": [plain("x")] * 10}]},
        {"blocks": [{"type": "rich_text", "elements": []}]},
    ],
)
async def test_what_slack_takes_is_taken(http: httpx.AsyncClient, payload: dict[str, Any]) -> None:
    answer = await http.post(HOOK, json=payload)
    assert (answer.status_code, answer.text) == (200, "ok")
    assert answer.headers["content-type"].startswith("text/plain")


async def test_a_form_with_the_payload_is_taken_too(http: httpx.AsyncClient) -> None:
    answer = await http.post(HOOK, data={"payload": '{"text": "hello"}'})
    assert answer.text == "ok"


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        ({}, "no_text"),
        ({"text": ""}, "no_text"),
        ({"text": 7}, "invalid_payload"),
        ([], "invalid_payload"),
        ("text", "invalid_payload"),
        ({"text": "x", "blocks": {}}, "invalid_blocks_format"),
        ({"blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        ({"blocks": ["header"]}, "invalid_blocks"),
        ({"blocks": [{"type": "headline"}]}, "invalid_blocks"),
        ({"blocks": [{"type": ["header"]}]}, "invalid_blocks"),
        ({"blocks": [{**HEADER, "title": "x"}]}, "invalid_blocks"),
        ({"blocks": [{**HEADER, "block_id": "x" * 256}]}, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": plain("x" * 151)}]}, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": "x"}]}, "invalid_blocks"),
        ({"blocks": [section()]}, "invalid_blocks"),
        ({"blocks": [section(text=plain("x" * 3001))]}, "invalid_blocks"),
        ({"blocks": [section(text=plain(""))]}, "invalid_blocks"),
        ({"blocks": [section(text=plain(None))]}, "invalid_blocks"),
        ({"blocks": [section(text=plain("x", verbatim=True))]}, "invalid_blocks"),
        ({"blocks": [section(text=plain("x", emoji="yes"))]}, "invalid_blocks"),
        ({"blocks": [section(text={"type": "markdown", "text": "x"})]}, "invalid_blocks"),
        ({"blocks": [section(fields=[])]}, "invalid_blocks"),
        ({"blocks": [section(fields=[plain("x")] * 11)]}, "invalid_blocks"),
        ({"blocks": [section(fields=[plain("x" * 2001)])]}, "invalid_blocks"),
        ({"blocks": [{"type": "context", "elements": []}]}, "invalid_blocks"),
        ({"blocks": [{"type": "context", "elements": [plain("x")] * 11}]}, "invalid_blocks"),
        ({"blocks": [{"type": "context", "elements": [{"type": "image"}]}]}, "invalid_blocks"),
    ],
)
async def test_what_slack_refuses_is_refused(http: httpx.AsyncClient, payload: Any, word: str) -> None:
    answer = await http.post(HOOK, json=payload)
    assert (answer.status_code, answer.text) == (400, word)
    [rejection] = (await http.get("/rejections")).json()["items"]
    assert rejection["reason"].startswith(word)
    assert not (await http.get("/messages")).json()["items"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'{"text": "x"', "application/json"),
        (b"", "application/json"),
        (b'{"text": "x"}', "text/plain"),
        (b'{"text": "' + b"x" * 2_000_000 + b'"}', "application/json"),
        (b'{"text": "\xff"}', "application/json"),
        (b"payload=nonsense", "application/x-www-form-urlencoded"),
    ],
)
async def test_what_is_no_json_is_an_invalid_payload(http: httpx.AsyncClient, content: bytes, kind: str) -> None:
    answer = await http.post(HOOK, content=content, headers={"Content-Type": kind})
    assert (answer.status_code, answer.text) == (400, "invalid_payload")


async def test_another_webhook_has_no_service(http: httpx.AsyncClient) -> None:
    answer = await http.post(f"{HOOK}x", json={"text": "x"})
    assert (answer.status_code, answer.text) == (404, "no_service")


async def test_a_webhook_takes_only_post(http: httpx.AsyncClient) -> None:
    assert (await http.get(HOOK)).status_code == 405
