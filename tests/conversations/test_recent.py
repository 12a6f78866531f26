"""What a process remembers of a conversation is never older than the row."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from app.conversations import repository, service
from app.conversations.recent import Recent
from app.conversations.service import Chat, hash_token
from tests.evaluation.rules import own
from tests.processes import eventually
from tests.talk import CONSENT, ENQUIRY, open_session, say

TALKS = [conversation for conversation in own() if len(conversation.turns) > 2][::12]


def chat_of(app: FastAPI, recent: Recent) -> Chat:
    """The application's chat as another process has it."""
    own: Chat = app.state.chat
    return replace(own, recent=recent)


async def tell(chat: Chat, token: str, text: str, client_message_id: str | None = None) -> dict[str, Any]:
    said = await service.say(
        chat, token_hash=hash_token(token), text=text, client_message_id=client_message_id, origin=None
    )
    return said.body


def without_ids(body: dict[str, Any]) -> dict[str, Any]:
    """What two conversations in which the same was said have in common."""
    messages = [body["message"], *body["replies"]]
    return {**body, "message": None, "replies": [(m["seq"], m["type"], m["text"], m["data"]) for m in messages]}


async def token_of(client: httpx.AsyncClient) -> str:
    return (await open_session(client))["Authorization"].removeprefix("Bearer ")


@pytest.mark.parametrize("seed", range(3))
async def test_two_processes_that_remember_say_what_one_says_that_does_not(
    app: FastAPI, client: httpx.AsyncClient, seed: int
) -> None:
    chance = Random(seed)  # noqa: S311  protects nothing
    forgetful, remembering = chat_of(app, Recent(size=0)), [chat_of(app, Recent()) for _ in range(2)]
    for talk in TALKS:
        one, two = await token_of(client), await token_of(client)
        for text in talk.turns:
            expected = await tell(forgetful, one, text)
            assert without_ids(await tell(chance.choice(remembering), two, text)) == without_ids(expected), talk.id
    assert len(forgetful.recent) == 0
    assert all(len(chat.recent) for chat in remembering)


async def test_what_is_remembered_is_what_would_be_read(app: FastAPI, client: httpx.AsyncClient) -> None:
    chat = chat_of(app, Recent())
    for talk in TALKS:
        token = await token_of(client)
        for text in talk.turns:
            await tell(chat, token, text)
            remembered = chat.recent.take(hash_token(token))
            if remembered is not None:
                async with chat.database.driver() as connection:
                    assert remembered == await repository.read_turn(
                        connection, token_hash=hash_token(token), client_message_id=None
                    )


async def test_a_message_said_before_is_found_without_having_been_read(app: FastAPI, client: httpx.AsyncClient) -> None:
    chat, token = chat_of(app, Recent()), await token_of(client)
    first = await tell(chat, token, "Ile kosztuje 50 m2?", "a")
    await tell(chat, token, "Premium", "b")
    assert len(chat.recent) == 1
    assert await tell(chat, token, "Ile kosztuje 50 m2?", "a") == first
    with pytest.raises(service.MessageIdReusedError):
        await tell(chat, token, "Premium", "a")


async def test_nor_does_what_it_did_beyond_the_chat_happen_twice(
    app: FastAPI, client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    chat, token = chat_of(app, Recent()), await token_of(client)
    first = await tell(chat, token, ENQUIRY, "a")
    agreed = await tell(chat, token, CONSENT, "b")
    await tell(chat, token, "Ile to trwa?", "c")
    assert len(chat.recent) == 1
    assert await tell(chat, token, CONSENT, "b") == agreed
    await tell(chat, token, "A gwarancja?", "d")
    assert len(chat.recent) == 1
    assert await tell(chat, token, ENQUIRY, "a") == first
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert WHERE event = 'lead.captured'") == 2


CHANGES: dict[str, str] = {
    "a consent": "UPDATE chat_conversations SET rodo_consent = false WHERE id = $1",
    "a state": "UPDATE chat_conversations SET state = 'closed' WHERE id = $1",
    "nothing at all": "UPDATE chat_conversations SET state = state WHERE id = $1",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_row_that_somebody_else_wrote_is_read_again(
    app: FastAPI, client: httpx.AsyncClient, sql: asyncpg.Connection, change: str
) -> None:
    chat, token = chat_of(app, Recent()), await token_of(client)
    await tell(chat, token, "Mam 50 m2")
    stale = chat.recent.take(hash_token(token))
    assert stale is not None
    chat.recent.keep(hash_token(token), stale)
    await sql.execute(change, stale["id"])
    turn = await tell(chat, token, "Premium")
    fresh = chat.recent.take(hash_token(token))
    assert fresh is not None
    assert (turn["context"]["area_m2"], turn["context"]["package"]) == (50, "premium")
    known = await sql.fetchrow("SELECT state, rodo_consent FROM chat_conversations WHERE id = $1", stale["id"])
    assert known is not None
    assert (fresh["state"], turn["context"]["consent_contact"]) == tuple(known)


async def test_a_conversation_that_is_gone_is_unknown_at_once(app: FastAPI, client: httpx.AsyncClient) -> None:
    chat, token = chat_of(app, Recent()), await token_of(client)
    await tell(chat, token, "Mam 50 m2")
    assert (await client.delete("/v1/chat", headers={"Authorization": f"Bearer {token}"})).status_code == 204
    assert len(chat.recent) == 1
    with pytest.raises(service.SessionUnknownError):
        await tell(chat, token, "Premium")
    assert len(chat.recent) == 0


async def test_of_many_at_once_each_sees_what_the_one_before_said(
    app: FastAPI, client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    chat, token = chat_of(app, Recent()), await token_of(client)
    await tell(chat, token, "Mam 50 m2")
    bodies = await asyncio.gather(
        *(tell(chat, token, text) for text in ("Premium", "Gdańsk", "Comfort", "dzień dobry"))
    )
    seqs = sorted(body["message"]["seq"] for body in bodies)
    stored = await sql.fetch("SELECT seq FROM chat_messages WHERE role = 'visitor' ORDER BY seq")
    assert [row[0] for row in stored][1:] == seqs
    assert max(bodies, key=lambda body: int(body["message"]["seq"]))["context"]["city"] == "Gdańsk"


async def test_a_turn_that_decides_or_captures_is_not_remembered(client: httpx.AsyncClient, app: FastAPI) -> None:
    token = await open_session(client)
    for text in (ENQUIRY, CONSENT):
        assert (await say(client, token, text)).status_code == 201
        assert len(app.state.chat.recent) == 0


def kept(recent: Recent) -> Callable[[], Any]:
    async def empty() -> bool:
        return not len(recent)

    return empty


async def test_it_holds_so_many_for_so_long() -> None:
    recent = Recent(size=10, seconds=0.2)
    for number in range(100):
        recent.keep(number.to_bytes(), {"id": UUID(int=number)})
        assert len(recent) <= 10
    assert recent.take((89).to_bytes()) is None
    assert recent.take((90).to_bytes()) == {"id": UUID(int=90)}
    await eventually(kept(recent), seconds=10)
    recent.keep(b"again", {})
    assert len(recent) == 1
    await eventually(kept(recent), seconds=10)
