"""Follow-ups over HTTP: each number of a conversation once, only to those who agreed, and every step is journaled."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from app.core.settings import Settings
from app.followups.schemas import FollowupsOut, FollowupWrittenOut
from tests.alerts import rows
from tests.conftest import OPERATOR
from tests.followups_api.people import PATH, decide, visitor, write

NOBODY = "00000000-0000-4000-8000-000000000000"
KEY = "5f0c1c52-0c5b-4c4c-9a53-7e2a4e6f9a10"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With mail, so that a follow-up waits to leave."""
    mail = {"smtp_url": "smtp://127.0.0.1:9", "mail_from": "NovaHouse <x@novahouse.pl>"}
    return Settings(**(settings.model_dump() | mail))


async def listed(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    response = await client.get(PATH, params=query, headers=OPERATOR)
    assert response.status_code == 200, response.text
    FollowupsOut.model_validate_json(response.content)
    items: list[dict[str, Any]] = response.json()["items"]
    return items


async def test_the_first_is_201_and_the_same_again_200_with_the_same_body(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    conversation_id, token = await visitor(client)
    first = await write(client, conversation_id)
    assert first.status_code == 201, first.text
    assert "Idempotent-Replayed" not in first.headers
    FollowupWrittenOut.model_validate_json(first.content)
    await decide(client, token, "refused")
    again = await write(client, conversation_id)
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await sql.fetchval("SELECT count(*) FROM followup_event") == 1
    assert [entry[:3] for entry in await rows.actions(sql)] == [("key:admin", "followup.write", first.json()["id"])]


async def test_a_parallel_crowd_writes_one(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    conversation_id, _ = await visitor(client)
    answers = await asyncio.gather(*(write(client, conversation_id, message="Dzień dobry") for _ in range(30)))
    assert sorted(answer.status_code for answer in answers) == [200] * 29 + [201]
    assert len({answer.content for answer in answers}) == 1
    assert await sql.fetchval("SELECT count(*) FROM followup_event") == 1


async def test_other_words_under_the_same_number_are_409(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    conversation_id, _ = await visitor(client)
    assert (await write(client, conversation_id, message="Dzień dobry")).status_code == 201
    other = await write(client, conversation_id, message="Dobry wieczór")
    assert (other.status_code, other.json()["code"]) == (409, "followup-differs")
    assert (await write(client, conversation_id, 2, message="Dobry wieczór")).status_code == 201
    messages = await sql.fetch("SELECT message FROM followup_event ORDER BY followup_number")
    assert [row["message"] for row in messages] == ["Dzień dobry", "Dobry wieczór"]


async def test_who_has_not_agreed_is_not_written_to(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    silent, _ = await visitor(client, agrees=False)
    refusing, token = await visitor(client)
    await decide(client, token, "refused")
    for conversation_id in (silent, refusing):
        for key in (None, str(uuid4())):
            response = await write(client, conversation_id, key=key)
            assert (response.status_code, response.json()["code"]) == (409, "consent-missing")
    assert await sql.fetchval("SELECT count(*) FROM followup_event") == 0
    assert await sql.fetchval("SELECT count(*) FROM idempotency_key") == 0
    assert await rows.actions(sql) == []


async def test_a_refusal_is_not_kept_under_its_key(client: httpx.AsyncClient) -> None:
    conversation_id, token = await visitor(client, agrees=False)
    assert (await write(client, conversation_id, key=KEY)).status_code == 409
    await decide(client, token)
    assert (await write(client, conversation_id, key=KEY)).status_code == 201


async def test_what_is_not_there_is_404(client: httpx.AsyncClient) -> None:
    assert (await write(client, NOBODY)).json()["code"] == "conversation-unknown"
    reason = {"reason": "a"}
    gone = await client.post(f"{PATH}/{NOBODY}/cancel", json=reason, headers=OPERATOR)
    body = {"conversation_id": NOBODY, "followup_number": 1}
    preview = await client.post(f"{PATH}/preview", json=body, headers=OPERATOR)
    assert (gone.status_code, gone.json()["code"]) == (404, "followup-unknown")
    assert (preview.status_code, preview.json()["code"]) == (404, "conversation-unknown")


async def test_a_key_gives_the_first_answer_and_holds_no_words(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    conversation_id, _ = await visitor(client)
    first = await write(client, conversation_id, key=KEY, message="Dzień dobry, Pani Kowalska")
    again = await write(client, conversation_id, key=KEY, message="Dzień dobry, Pani Kowalska")
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Kowalska" not in await sql.fetchval("SELECT string_agg(body::text, '') FROM idempotency_key")
    other = await write(client, conversation_id, 2, key=KEY)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    plain = await write(client, conversation_id)
    assert (plain.status_code, plain.content) == (200, first.content)


async def test_the_list_tells_words_and_state(client: httpx.AsyncClient) -> None:
    in_chat, _ = await visitor(client)
    by_mail, _ = await visitor(client, email="jan@example.com")
    first = await write(client, in_chat, message="raz")
    second = await write(client, by_mail, 7, message="dwa")
    items = await listed(client)
    assert [item["id"] for item in items] == [second.json()["id"], first.json()["id"]]
    assert {**items[0], **second.json()} == items[0]
    assert (items[0]["message"], items[0]["state"], items[0]["followup_number"]) == ("dwa", "pending", 7)
    assert (items[1]["state"], items[1]["closed_at"] is None) == ("sent", False)
    assert await listed(client, state="pending") == items[:1]
    assert await listed(client, state="failed") == []


async def test_pages_meet_without_gap_or_overlap(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    conversation_id, _ = await visitor(client)
    for number in range(1, 8):
        assert (await write(client, conversation_id, number)).status_code == 201
    await sql.execute("UPDATE followup_event SET created_at = date_trunc('day', created_at)")
    found, cursor = [], None
    while True:
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(PATH, params=query, headers=OPERATOR)).json()
        found += [item["id"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert len(found) == len(set(found)) == 7


async def test_what_has_not_left_is_taken_back_once(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    conversation_id, _ = await visitor(client, email="jan@example.com")
    written = (await write(client, conversation_id)).json()
    path = f"{PATH}/{written['id']}/cancel"
    for reason in ("Zadzwoniłam", "Jeszcze raz"):
        response = await client.post(path, json={"reason": reason}, headers=OPERATOR)
        assert (response.status_code, response.json()["state"]) == (200, "cancelled"), response.text
    assert (await listed(client))[0]["state"] == "cancelled"
    assert [entry[1:4] for entry in await rows.actions(sql)][1:] == [("followup.cancel", written["id"], "Zadzwoniłam")]
    assert await sql.fetchval("SELECT state FROM outbound_alert WHERE event = 'followup.due'") == "cancelled"


async def test_what_has_left_is_not_taken_back(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    conversation_id, _ = await visitor(client)
    written = (await write(client, conversation_id)).json()
    response = await client.post(f"{PATH}/{written['id']}/cancel", json={"reason": "a"}, headers=OPERATOR)
    assert (response.status_code, response.json()["code"]) == (409, "followup-closed")
    assert len(await rows.actions(sql)) == 1


async def test_cancelling_under_a_key_is_replayed(client: httpx.AsyncClient) -> None:
    conversation_id, _ = await visitor(client, email="jan@example.com")
    written = (await write(client, conversation_id)).json()
    path, headers = f"{PATH}/{written['id']}/cancel", {**OPERATOR, "Idempotency-Key": KEY}
    first, again = [await client.post(path, json={"reason": "a"}, headers=headers) for _ in range(2)]
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_a_preview_is_what_is_written_and_writes_nothing(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    conversation_id, _ = await visitor(client)
    body = {"conversation_id": conversation_id, "followup_number": 2}
    preview = await client.post(f"{PATH}/preview", json=body, headers=OPERATOR)
    assert preview.status_code == 200, preview.text
    assert await sql.fetchval("SELECT count(*) FROM followup_event") == 0
    await write(client, conversation_id, 2)
    assert (await listed(client))[0]["message"] == preview.json()["text"]


async def test_what_is_due_is_told_and_not_written(
    client: httpx.AsyncClient, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation_id, _ = await visitor(client, email="jan@example.com")
    assert (await client.get(f"{PATH}/due", headers=OPERATOR)).json() == {"items": []}
    await sql.execute(
        "UPDATE chat_conversations SET created_at = now() - interval '3 days', "
        "last_message_at = now() - interval '30 hours'"
    )
    monkeypatch.setattr("app.followups.calendar.Hours.allow", lambda *_: True)
    (item,) = (await client.get(f"{PATH}/due", headers=OPERATOR)).json()["items"]
    assert (item["conversation_id"], item["followup_number"]) == (conversation_id, 1)
    assert await sql.fetchval("SELECT count(*) FROM followup_event") == 0


BAD = [
    {"followup_number": 0},
    {"followup_number": 101},
    {"followup_number": True},
    {"followup_number": "1"},
    {"followup_number": 1.5},
    {"followup_number": 10**30},
    {"conversation_id": "x"},
    {"conversation_id": None},
    {"conversation_id": f"{NOBODY}\0"},
    {"message": ""},
    {"message": " \n "},
    {"message": "a" * 2001},
    {"message": "a\0b"},
    {"message": "\ud800"},
    {"message": {"a": 1}},
    {"author": "schedule"},
]


@pytest.mark.parametrize("wrong", BAD)
async def test_hostile_input_is_422_and_not_repeated(
    client: httpx.AsyncClient, sql: asyncpg.Connection, wrong: dict[str, Any]
) -> None:
    body = json.dumps({"conversation_id": NOBODY, "followup_number": 1, **wrong})
    headers = {**OPERATOR, "Content-Type": "application/json", "Idempotency-Key": KEY}
    response = await client.post(PATH, content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (422, "validation-failed")
    assert "aaaa" not in response.text
    assert await sql.fetchval("SELECT count(*) FROM idempotency_key") == 0


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"[" * 10_000, 400),
        (b'{"followup_number":1e400}', 400),
        (b'{"followup_number":NaN}', 400),
        (b"\xff\xfe", 400),
        (b"x" * 40_000, 413),
    ],
)
async def test_bodies_that_are_none_are_refused(client: httpx.AsyncClient, content: bytes, status: int) -> None:
    headers = {**OPERATOR, "Content-Type": "application/json", "Idempotency-Key": KEY}
    assert (await client.post(PATH, content=content, headers=headers)).status_code == status


@pytest.mark.parametrize(
    ("method", "tail"),
    [("POST", ""), ("GET", ""), ("GET", "/due"), ("POST", "/preview"), ("POST", f"/{NOBODY}/cancel")],
)
async def test_strangers_are_401(client: httpx.AsyncClient, method: str, tail: str) -> None:
    conversation_id, token = await visitor(client)
    body = {"conversation_id": conversation_id, "followup_number": 1}
    for headers in ({}, token, {"Authorization": "Bearer x", "Idempotency-Key": KEY}):
        assert (await client.request(method, f"{PATH}{tail}", json=body, headers=headers)).status_code == 401


@pytest.mark.parametrize("query", ["?state=gone", "?limit=0", "?limit=101", "?cursor=x", "?cursor=%00"])
async def test_hostile_queries_are_422(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"{PATH}{query}", headers=OPERATOR)).status_code == 422


async def test_what_was_written_stands_in_the_conversation_for_both_sides(client: httpx.AsyncClient) -> None:
    conversation_id, token = await visitor(client)
    await write(client, conversation_id, message="Dzień dobry")
    seen = (await client.get("/v1/chat/messages", headers=token)).json()["items"][-1]
    read = (await client.get(f"/v1/conversations/{conversation_id}", headers=OPERATOR)).json()["messages"][-1]
    assert (seen["text"], seen["type"]) == (read["text"], read["type"]) == ("Dzień dobry", "followup")


async def test_follow_ups_are_counted_by_number_and_state(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    conversation_id, _ = await visitor(client)
    by_mail, _ = await visitor(client, email="jan@example.com")
    for number in (1, 2):
        await write(client, conversation_id, number)
    await write(client, by_mail, 1)
    await write(client, conversation_id, 3)
    await sql.execute("UPDATE followup_event SET created_at = now() - interval '8 days' WHERE followup_number = 3")
    await sql.execute("UPDATE followup_event SET created_at = now() - interval '100 s' WHERE state = 'pending'")
    text = (await client.get("/metrics")).text
    assert 'followups{number="1",state="sent"} 1.0' in text
    assert 'followups{number="2",state="sent"} 1.0' in text
    assert 'followups{number="1",state="pending"} 1.0' in text
    assert 'followups{number="3"' not in text
    waits = next(line for line in text.splitlines() if line.startswith("followups_oldest_pending_seconds "))
    assert 100 <= float(waits.split()[1]) < 160
    assert conversation_id not in text
