"""The answer to a message as server-sent events."""

import asyncio
import io
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from app.conversations import service
from tests.conversations.events import STREAM, parse, streaming
from tests.processes import api, eventually
from tests.talk import ENQUIRY, open_session, say

MESSAGES = "/v1/chat/messages"


@pytest.fixture
def environment(database_url: str, redis_url: str) -> dict[str, str]:
    """A service on this test's own servers."""
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "DRAIN_SECONDS": "0"}


async def ask(client: httpx.AsyncClient, token: dict[str, str], text: str, **more: Any) -> httpx.Response:
    headers = {**token, **STREAM, **more.pop("headers", {})}
    return await client.post(MESSAGES, json={"text": text, **more}, headers=headers)


async def test_the_stream_says_what_the_json_answer_says(client: httpx.AsyncClient) -> None:
    token = await open_session(client)
    key = str(uuid4())
    response = await ask(client, token, ENQUIRY, client_message_id=key)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert "Idempotent-Replayed" not in response.headers
    ack, *rest, done = parse(response.text)
    assert (ack.name, ack.id, ack.data) == ("ack", None, {"client_message_id": key})
    again = await say(client, token, ENQUIRY, client_message_id=key)
    assert again.status_code == 200
    assert (done.name, done.data) == ("done", again.json())
    replies = done.data["replies"]
    assert [event.data for event in rest if event.name == "message"] == replies
    assert [event.id for event in rest if event.name == "message"] == [reply["seq"] for reply in replies]
    assert done.id == replies[-1]["seq"]


async def test_a_quote_comes_as_numbers_before_its_words(client: httpx.AsyncClient) -> None:
    token = await open_session(client)
    events = parse((await ask(client, token, "Ile kosztuje 52 m2 w pakiecie Premium?")).text)
    place = next(number for number, event in enumerate(events) if event.name == "quote")
    quote, message = events[place], events[place + 1]
    assert quote.id is None
    assert message.name == "message"
    assert quote.data == {"message_id": message.data["id"], **message.data["data"]}
    assert quote.data["total_pln"] == "103948.00"


async def test_a_stream_that_broke_is_taken_up_after_the_last_event(client: httpx.AsyncClient) -> None:
    token = await open_session(client)
    whole = parse((await ask(client, token, ENQUIRY, client_message_id="a")).text)
    messages = [event for event in whole if event.name == "message"]
    assert len(messages) > 1
    for number, seen in enumerate(messages, start=1):
        response = await ask(client, token, ENQUIRY, client_message_id="a", headers={"Last-Event-ID": str(seen.id)})
        assert response.headers["Idempotent-Replayed"] == "true"
        events = parse(response.text)
        assert [event for event in events if event.name == "message"] == messages[number:]
        assert {event.name for event in events} <= {"message", "quote", "done"}
        assert events[-1] == whole[-1]
    assert parse((await ask(client, token, ENQUIRY, client_message_id="a")).text) == whole


async def test_a_new_message_with_a_last_event_id_is_answered_whole(client: httpx.AsyncClient) -> None:
    """The first try never arrived: there is nothing stored to go on from."""
    token = await open_session(client)
    events = parse((await ask(client, token, "Cześć", client_message_id="a", headers={"Last-Event-ID": "1"})).text)
    assert [event.name for event in events] == ["ack", "message", "done"]


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "²", "99999999999", "4294967296", "1, 2"])
async def test_a_last_event_id_that_is_no_number_is_refused(
    client: httpx.AsyncClient, sql: asyncpg.Connection, value: str
) -> None:
    token = await open_session(client)
    headers = {name.encode(): text.encode() for name, text in {**token, **STREAM, "Last-Event-ID": value}.items()}
    response = await client.post(MESSAGES, json={"text": "hej"}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "last-event-id-malformed")
    assert await sql.fetchval("SELECT count(*) FROM chat_messages WHERE role = 'visitor'") == 0


@pytest.mark.parametrize(
    ("accept", "streams"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream", True),
        ("text/event-stream;q=0.5, application/json;q=0.4", True),
        ("application/json;q=0.9, text/event-stream", True),
        ("text/event-stream, */*;q=0.1", True),
        ("*/*, text/event-stream", True),
        ("text/event-stream; charset=utf-8 ; q=1", True),
        ("*/*", False),
        ("text/*", False),
        ("application/json", False),
        ("", False),
        ("application/json, text/event-stream", False),
        ("text/event-stream;q=0.4, application/json;q=0.5", False),
        ("text/event-stream;q=0.4, */*;q=0.5", False),
        ("text/event-stream;q=0.4, */*;q=0.3, application/*;q=0.5", False),
        ("text/event-stream;q=0", False),
        ("text/event-stream;q=nan", False),
        ("text/event-stream;q=x", False),
        ("text/event-streams", False),
    ],
)
async def test_who_prefers_a_stream_says_so(client: httpx.AsyncClient, accept: str, streams: bool) -> None:
    token = await open_session(client)
    response = await client.post(MESSAGES, json={"text": "Cześć"}, headers={**token, "Accept": accept})
    assert response.status_code == (200 if streams else 201)
    assert response.headers["Content-Type"].startswith("text/event-stream" if streams else "application/json")


async def test_what_is_wrong_before_the_stream_is_an_ordinary_problem(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await open_session(client)
    await ask(client, token, "Cześć", client_message_id="a")
    reused = await ask(client, token, "Coś innego", client_message_id="a")
    stranger = await ask(client, {"Authorization": "Bearer x"}, "Cześć")
    nobody = await ask(client, {}, "Cześć")
    blank = await ask(client, token, " ")
    large = await ask(client, token, "a" * 40_000)
    await sql.execute("UPDATE chat_conversations SET last_seq = $1", service.MAX_SEQ)
    full = await ask(client, token, "Cześć")
    found = [(answer.status_code, answer.json()["code"]) for answer in (reused, stranger, nobody, blank, large, full)]
    assert found == [
        (409, "client-message-id-reused"),
        (401, "session-unknown"),
        (401, "unauthenticated"),
        (422, "validation-failed"),
        (413, "body-too-large"),
        (409, "conversation-full"),
    ]
    again = await ask(client, token, "Cześć", client_message_id="a")
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_the_ack_comes_at_once_and_what_fails_later_is_an_event(
    environment: dict[str, str], sql: asyncpg.Connection, tmp_path: Path
) -> None:
    async with api(environment, tmp_path / "api.log") as (_, client):
        token = await open_session(client)
        async with sql.transaction():
            await sql.execute("SELECT FROM chat_conversations FOR UPDATE")
            async with streaming(client, "POST", MESSAGES, token, json={"text": "Cześć"}) as events:
                assert (await anext(events)).name == "ack"
                assert await sql.fetchval("SELECT count(*) FROM chat_messages") == 1
                error = await anext(events)
                assert (error.name, error.id, error.data["status"]) == ("error", None, 503)
                assert error.data["code"] == "database-unavailable"
                assert error.data["request_id"]
                assert [event async for event in events] == []
        assert [event.name for event in parse((await ask(client, token, "Cześć")).text)] == ["ack", "message", "done"]


async def test_an_answer_that_takes_too_long_ends_with_an_event(
    environment: dict[str, str], sql: asyncpg.Connection, tmp_path: Path
) -> None:
    async with api(environment | {"REQUEST_SECONDS": "3"}, tmp_path / "api.log") as (_, client):
        token = await open_session(client)
        async with sql.transaction():
            await sql.execute("SELECT FROM chat_conversations FOR UPDATE")
            _, error = parse((await ask(client, token, ENQUIRY)).text)
            assert (error.name, error.data["code"]) == ("error", "deadline-exceeded")


async def test_who_leaves_after_the_ack_has_still_said_it(
    environment: dict[str, str], sql: asyncpg.Connection, tmp_path: Path
) -> None:
    async with api(environment, tmp_path / "api.log") as (_, client):
        token = await open_session(client)
        async with sql.transaction():
            await sql.execute("SELECT FROM chat_conversations FOR UPDATE")
            body = {"text": ENQUIRY, "client_message_id": "a"}
            async with streaming(client, "POST", MESSAGES, token, json=body) as events:
                assert (await anext(events)).name == "ack"

        async def stored() -> bool:
            return bool(await sql.fetchval("SELECT count(*) FROM chat_messages WHERE role = 'visitor'"))

        await eventually(stored)
        assert (await say(client, token, ENQUIRY, client_message_id="a")).status_code == 200


async def test_two_streams_of_one_message_store_it_once(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    first, second = await asyncio.gather(*(ask(client, token, ENQUIRY, client_message_id="a") for _ in range(2)))
    assert parse(first.text) == parse(second.text)
    assert await sql.fetchval("SELECT count(*) FROM chat_messages WHERE role = 'visitor'") == 1


async def test_a_mistake_of_ours_after_the_ack_is_logged_and_told_without_its_words(
    app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = io.StringIO()
    (handler,) = (handler for handler in logging.getLogger().handlers if type(handler) is logging.StreamHandler)
    monkeypatch.setattr(handler, "stream", logged)
    token = await open_session(client)
    app.state.chat = replace(app.state.chat, engine=None)
    ack, error = parse((await ask(client, token, "Ile kosztuje Premium?")).text)
    assert (ack.name, error.name, error.data["code"], error.data["status"]) == ("ack", "error", "internal-error", 500)
    assert set(error.data) == {"type", "title", "status", "code", "request_id"}
    (line,) = [line for line in logged.getvalue().splitlines() if "request_failed" in line]
    assert json.loads(line)["request_id"] == error.data["request_id"]
