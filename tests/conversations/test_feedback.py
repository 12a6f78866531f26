"""What visitors think of our messages: theirs to change, ours to read, gone with them."""

import asyncio
import logging
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from app.core.db import Database
from app.privacy import purge
from tests.conftest import OPERATOR
from tests.limits.conftest import sample
from tests.privacy.test_purge import KEPT
from tests.talk import open_session, say

LIST = "/v1/feedback"
CANARY = "Kanarek.Zenobiusz"


async def rate(client: httpx.AsyncClient, token: dict[str, str], message_id: object, **body: Any) -> httpx.Response:
    return await client.post(f"/v1/chat/messages/{message_id}/feedback", json=body, headers=token)


async def messages(client: httpx.AsyncClient, token: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get("/v1/chat/messages", headers=token)).json()["items"]
    return found


async def greeting(client: httpx.AsyncClient, token: dict[str, str]) -> str:
    return str((await messages(client, token))[0]["id"])


async def test_the_last_word_counts(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    message = await greeting(client, token)
    first = await rate(client, token, message, rating="up", comment="Miło")
    again = await rate(client, token, message, rating="down")
    assert (first.status_code, again.status_code) == (201, 200)
    assert (first.json()["rating"], first.json()["comment"]) == ("up", "Miło")
    assert (again.json()["rating"], again.json()["comment"]) == ("down", None)
    assert again.json()["created_at"] == first.json()["created_at"]
    assert [tuple(row) for row in await sql.fetch("SELECT rating, comment FROM message_feedback")] == [("down", None)]


async def test_many_at_once_are_one(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    message = await greeting(client, token)
    answers = await asyncio.gather(*(rate(client, token, message, rating="up") for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert await sql.fetchval("SELECT count(*) FROM message_feedback") == 1


async def test_only_our_messages_of_the_own_conversation_are_rated(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token, other = await open_session(client), await open_session(client)
    await say(client, token, "Cześć")
    own = next(item["id"] for item in await messages(client, token) if item["role"] == "visitor")
    for message in (own, await greeting(client, other), uuid4()):
        response = await rate(client, token, message, rating="up")
        assert (response.status_code, response.json()["code"]) == (404, "message-unknown")
    ours = await greeting(client, token)
    assert (await rate(client, {}, ours, rating="up")).status_code == 401
    assert (await rate(client, {"Authorization": "Bearer x"}, ours, rating="up")).status_code == 401
    assert await sql.fetchval("SELECT count(*) FROM message_feedback") == 0


async def test_what_a_person_said_is_rated_too(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    await client.post("/v1/chat/handoff", headers=token)
    conversation_id = await sql.fetchval("SELECT id FROM chat_conversations")
    path = f"/v1/conversations/{conversation_id}/messages"
    said = await client.post(path, json={"text": "Dzień dobry"}, headers=OPERATOR)
    assert (await rate(client, token, said.json()["id"], rating="up")).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"rating": "sideways"},
        {"rating": True},
        {"rating": "up", "comment": "a" * 1001},
        {"rating": "up", "comment": "\x00"},
        {"rating": "up", "comment": 1},
        {"rating": "up", "stars": 5},
    ],
)
async def test_nonsense_is_422(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    token = await open_session(client)
    assert (await rate(client, token, await greeting(client, token), **body)).status_code == 422
    assert (await rate(client, token, "x", rating="up")).status_code == 422


async def test_operators_read_it_page_by_page_and_by_rating(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    ids = []
    for number in range(5):
        token = await open_session(client)
        message = await greeting(client, token)
        ids.append(message)
        await rate(client, token, message, rating="down" if number % 2 else "up", comment=f"nr {number}")
    await sql.execute("UPDATE message_feedback SET created_at = date_trunc('day', created_at)")
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(LIST, params=query, headers=OPERATOR)).json()
        found += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break
    assert sorted(item["message_id"] for item in found) == sorted(ids)
    assert {UUID(item["id"]) for item in found} == {
        row["id"] for row in await sql.fetch("SELECT id FROM message_feedback")
    }
    assert all(item["message"] for item in found)
    down = (await client.get(LIST, params={"rating": "down"}, headers=OPERATOR)).json()["items"]
    assert sorted(item["comment"] for item in down) == ["nr 1", "nr 3"]
    assert (await client.get(LIST, params={"rating": "x"}, headers=OPERATOR)).status_code == 422
    assert (await client.get(LIST)).status_code == 401


async def test_the_numbers_are_told(client: httpx.AsyncClient) -> None:
    for rating in ("up", "up", "down"):
        token = await open_session(client)
        await rate(client, token, await greeting(client, token), rating=rating)
    await client.post("/v1/chat/handoff", headers=token)
    assert await sample(client, "message_feedback", rating="up") == 2
    assert await sample(client, "message_feedback", rating="down") == 1
    assert await sample(client, "handoffs_waiting") == 1


async def test_a_comment_is_exported_and_erased_and_never_logged(
    client: httpx.AsyncClient, sql: asyncpg.Connection, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    token = await open_session(client)
    with caplog.at_level(logging.DEBUG):
        await rate(client, token, await greeting(client, token), rating="down", comment=CANARY)
        [held] = (await client.get("/v1/chat/export", headers=token)).json()["conversations"]
        assert [(row["rating"], row["comment"]) for row in held["feedback"]] == [("down", CANARY)]
        assert (await client.delete("/v1/chat", headers=token)).status_code == 204
    assert await sql.fetchval("SELECT count(*) FROM message_feedback") == 0
    written = capsys.readouterr()
    assert CANARY not in caplog.text + written.out + written.err


async def test_feedback_and_handoffs_go_with_their_conversation(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    token = await open_session(client)
    await rate(client, token, await greeting(client, token), rating="up")
    await client.post("/v1/chat/handoff", headers=token)
    await sql.execute(
        "UPDATE chat_conversations SET created_at = now() - interval '2 years', last_message_at = created_at"
    )
    await sql.execute("UPDATE chat_conversations SET last_message_at = created_at")
    assert (await purge.purge(database, KEPT))["chats"] > 0
    for table in ("message_feedback", "handoff"):
        assert await sql.fetchval(f"SELECT count(*) FROM {table}") == 0
