"""The export: complete, machine-readable, and without what is no data of the person's."""

from typing import Any

import asyncpg
import httpx

from app.models import metadata
from app.privacy.repository import holdings
from tests.privacy.people import ADDRESS, PHONE, captured, conversation_of, plant
from tests.talk import capture_lead

ELSEWHERE: dict[str, str] = {}
"""Tables with a conversation_id that an export leaves out, and why."""


async def export(client: httpx.AsyncClient, token: dict[str, str]) -> dict[str, Any]:
    response = await client.get("/v1/chat/export", headers=token)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    assert "attachment" in response.headers["content-disposition"]
    document: dict[str, Any] = response.json()
    return document


async def test_it_holds_everything_about_the_conversation_and_nothing_else(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    await capture_lead(client)
    token = await captured(client)
    conversation_id = await conversation_of(sql)
    await plant(sql, conversation_id)
    document = await export(client, token)
    assert (document["format"], document["complete"]) == ("novahouse.export/1", True)
    (held,) = document["conversations"]
    assert (held["conversation"]["id"], held["conversation"]["email"]) == (str(conversation_id), ADDRESS)
    messages = await sql.fetchval("SELECT count(*) FROM chat_messages WHERE conversation_id = $1", conversation_id)
    assert [message["seq"] for message in held["messages"]] == list(range(1, messages + 1))
    assert [lead["phone"] for lead in held["leads"]] == [PHONE]
    assert [consent["granted"] for consent in held["consents"]] == [True]
    (entry,) = held["consent_history"]
    texts = {row["sha256"]: row["body"] for row in await sql.fetch("SELECT sha256, body FROM consent_text")}
    assert (entry["event"], entry["text"]) == ("consent.granted", texts[entry["text_sha256"]])
    assert entry["at"]
    assert ADDRESS in held["evidence"][-1]["user_agent"] or ADDRESS in held["evidence"][0]["user_agent"]
    assert [followup["message"] for followup in held["followups"]] == [f"Dzień dobry {ADDRESS}"]
    assert {alert["channel"] for alert in held["alerts"]} == {"slack", "monday"}
    assert all(alert["attempts_made"] and alert["dead_letters"] for alert in held["alerts"])


async def test_no_secret_and_no_hash_of_one_leaves(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await captured(client)
    await sql.execute(
        "UPDATE outbound_alert SET lease_token = gen_random_uuid(), state = 'sending', lease_until = now()"
    )
    text = str(await export(client, token))
    assert token["Authorization"].removeprefix("Bearer ") not in text
    assert (await sql.fetchval("SELECT encode(token_hash, 'hex') FROM chat_conversations")) not in text
    assert str(await sql.fetchval("SELECT lease_token FROM outbound_alert LIMIT 1")) not in text


def test_every_table_about_a_conversation_is_in_it() -> None:
    names = {str(table.name) for table in metadata.tables.values() if "conversation_id" in table.c}
    assert names - ELSEWHERE.keys() == {str(table.name) for table in holdings.held_tables()}
    assert set(holdings.NAMES) == names - ELSEWHERE.keys(), "give a new table its name in the export's format"


def test_every_column_that_is_left_out_exists_and_has_a_reason() -> None:
    for name, columns in holdings.OMITTED.items():
        assert columns.keys() <= set(metadata.tables[name].c.keys())
        assert all(columns.values())


async def test_without_the_token_there_is_no_export(client: httpx.AsyncClient) -> None:
    await captured(client)
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        assert (await client.get("/v1/chat/export", headers=headers)).status_code == 401
        assert (await client.delete("/v1/chat", headers=headers)).status_code == 401
