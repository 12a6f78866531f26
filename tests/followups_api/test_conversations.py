"""Conversations as operators read them."""

import asyncpg
import httpx
import pytest

from tests.conftest import OPERATOR
from tests.talk import CONSENT, ENQUIRY, capture_lead, open_session

PATH = "/v1/conversations"
NOBODY = "00000000-0000-4000-8000-000000000000"


async def test_conversations_come_newest_first_and_each_once(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    for _ in range(5):
        await open_session(client)
    await sql.execute("UPDATE chat_conversations SET created_at = date_trunc('day', created_at)")
    found: list[str] = []
    cursor = None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(PATH, params=query, headers=OPERATOR)).json()
        found += [item["id"] for item in page["items"]]
        await open_session(client)
        if (cursor := page["next_cursor"]) is None:
            break
    expected = await sql.fetch(
        "SELECT id FROM chat_conversations WHERE created_at = date_trunc('day', created_at) ORDER BY id DESC"
    )
    assert found == [str(row["id"]) for row in expected]
    assert len(found) == 5


async def test_one_conversation_is_read_page_by_page(client: httpx.AsyncClient) -> None:
    await capture_lead(client)
    (item,) = (await client.get(PATH, headers=OPERATOR)).json()["items"]
    assert (item["phone"], item["rodo_consent"], item["visitor_messages"]) == ("+48691222333", True, 2)
    said, after = [], 0
    while True:
        query = {"after": after, "limit": 2}
        page = (await client.get(f"{PATH}/{item['id']}", params=query, headers=OPERATOR)).json()
        assert {name: page[name] for name in item} == item
        said += page["messages"]
        if (after := page["next_cursor"]) is None:
            break
    assert [message["seq"] for message in said] == list(range(1, len(said) + 1))
    assert [message["text"] for message in said if message["role"] == "visitor"] == [ENQUIRY, CONSENT]


async def test_nothing_secret_is_shown(client: httpx.AsyncClient) -> None:
    token = (await capture_lead(client))["Authorization"].removeprefix("Bearer ")
    listed = await client.get(PATH, headers=OPERATOR)
    one = await client.get(f"{PATH}/{listed.json()['items'][0]['id']}", headers=OPERATOR)
    for text in (listed.text, one.text):
        assert "token" not in text
        assert "memory" not in text
        assert token not in text


async def test_what_is_not_there_is_404(client: httpx.AsyncClient) -> None:
    response = await client.get(f"{PATH}/{NOBODY}", headers=OPERATOR)
    assert (response.status_code, response.json()["code"]) == (404, "conversation-unknown")


@pytest.mark.parametrize(
    "tail",
    [
        "?limit=0",
        "?limit=101",
        "?cursor=x",
        "?cursor=%00",
        f"/{NOBODY}?after=-1",
        f"/{NOBODY}?after=99999999999",
        f"/{NOBODY}?limit=1000",
        "/x",
        "/%00",
    ],
)
async def test_hostile_input_is_422(client: httpx.AsyncClient, tail: str) -> None:
    assert (await client.get(f"{PATH}{tail}", headers=OPERATOR)).status_code == 422


@pytest.mark.parametrize("tail", ["", f"/{NOBODY}"])
async def test_strangers_are_401(client: httpx.AsyncClient, tail: str) -> None:
    for headers in ({}, await open_session(client), {"Authorization": "Bearer x"}):
        assert (await client.get(f"{PATH}{tail}", headers=headers)).status_code == 401
