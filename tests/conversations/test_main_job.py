"""The main job over HTTP: a visitor chats, a lead is captured with consent, alerts are recorded with it."""

import asyncio
import uuid
from decimal import Decimal

import asyncpg
import httpx
import pytest

from app.conversations.schemas import SessionOut, TurnOut
from tests.talk import CONSENT, ENQUIRY, open_session, say, spoken


async def test_the_enquiry_is_quoted_and_the_contact_is_confirmed(client: httpx.AsyncClient) -> None:
    token = await open_session(client)
    first = await say(client, token, ENQUIRY)
    second = await say(client, token, CONSENT)

    assert first.status_code == second.status_code == 201
    TurnOut.model_validate_json(first.content, strict=True)
    assert "103 948 zł" in spoken(first)
    assert "orientacyjn" in spoken(first).lower()
    assert first.json()["context"] == {
        "area_m2": 52,
        "package": "premium",
        "city": "Warszawa",
        "budget_pln": None,
        "name": None,
        "phone": "+48691222333",
        "email": None,
        "property_type": None,
        "consent_contact": None,
        "consent_marketing": None,
    }
    assert second.json()["context"]["consent_contact"] is True
    assert second.json()["context"]["consent_marketing"] is None


async def test_one_lead_and_one_alert_per_channel_however_often_it_is_said(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await open_session(client)
    for text in (ENQUIRY, CONSENT, ENQUIRY, CONSENT):
        assert (await say(client, token, text)).status_code == 201

    (lead,) = await sql.fetch("SELECT * FROM leads")
    assert (lead["phone"], lead["area_m2"], lead["package"], lead["city"]) == (
        "+48691222333",
        Decimal("52.00"),
        "premium",
        "Warszawa",
    )
    assert lead["rodo_consent"] is True
    assert lead["marketing_consent"] is None
    assert lead["score"] >= 45
    alerts = await sql.fetch("SELECT channel, state, attempts, delivered_at FROM outbound_alert ORDER BY channel")
    assert [tuple(row) for row in alerts] == [("monday", "pending", 0, None), ("slack", "pending", 0, None)]


async def test_contact_data_without_consent_makes_a_lead_and_no_alert(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await open_session(client)
    await say(client, token, ENQUIRY)
    assert await sql.fetchval("SELECT rodo_consent FROM leads") is None
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert") == 0


async def test_a_refusal_is_recorded_and_alerts_nobody(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    await say(client, token, ENQUIRY)
    refused = await say(client, token, "nie, nie zgadzam się na przetwarzanie")
    assert refused.json()["context"]["consent_contact"] is False
    assert await sql.fetchval("SELECT rodo_consent FROM leads") is False
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert") == 0
    assert [row["event"] for row in await sql.fetch("SELECT event FROM consent_audit_log")] == ["consent.refused"]


async def test_consent_is_recorded_with_the_exact_text_that_was_shown(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    published = (await client.get("/v1/consent/texts")).json()["items"]
    (rodo,) = [text for text in published if (text["purpose"], text["locale"]) == ("rodo", "pl")]
    token = await open_session(client)
    asked = await say(client, token, ENQUIRY)
    answered = await say(client, token, CONSENT)

    assert rodo["body"] in " ".join(reply["text"] for reply in asked.json()["replies"])
    (entry,) = await sql.fetch("SELECT * FROM consent_audit_log")
    assert (entry["event"], entry["purpose"], entry["surface"]) == ("consent.granted", "rodo", "chat")
    assert (entry["text_version"], entry["text_sha256"], entry["locale"]) == (rodo["version"], rodo["sha256"], "pl")
    assert entry["message_seq"] == answered.json()["message"]["seq"]
    (state,) = await sql.fetch("SELECT * FROM consent_state")
    assert (state["purpose"], state["granted"], state["audit_seq"]) == ("rodo", True, entry["seq"])


async def test_the_same_message_id_gives_the_same_body_and_stores_once(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await open_session(client)
    message_id = str(uuid.uuid4())
    first = await say(client, token, ENQUIRY, client_message_id=message_id)
    await say(client, token, CONSENT)
    again = await say(client, token, ENQUIRY, client_message_id=message_id)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert again.json() == first.json()
    assert await sql.fetchval("SELECT count(*) FROM chat_messages WHERE client_message_id = $1", message_id) == 1

    other = await say(client, token, "coś innego", client_message_id=message_id)
    assert other.status_code == 409
    assert other.json()["code"] == "client-message-id-reused"


async def test_thirty_copies_at_once_are_stored_once_and_answered_alike(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await open_session(client)
    message_id = str(uuid.uuid4())
    responses = await asyncio.gather(*(say(client, token, ENQUIRY, client_message_id=message_id) for _ in range(30)))
    assert sorted(response.status_code for response in responses) == [200] * 29 + [201]
    assert len({response.content for response in responses if response.status_code == 201}) == 1
    assert all(response.json() == responses[0].json() for response in responses)
    assert await sql.fetchval("SELECT count(*) FROM chat_messages WHERE role = 'visitor'") == 1
    assert await sql.fetchval("SELECT count(*) FROM leads") == 1


async def test_messages_at_once_are_numbered_without_gaps(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    responses = await asyncio.gather(*(say(client, token, f"Mam {n} m2") for n in range(40, 46)))
    assert {response.status_code for response in responses} <= {201, 503}
    numbers = [row["seq"] for row in await sql.fetch("SELECT seq FROM chat_messages ORDER BY seq")]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_history_is_paged_and_only_for_its_own_token(client: httpx.AsyncClient) -> None:
    token = await open_session(client)
    await say(client, token, ENQUIRY)
    stranger = await open_session(client)

    first = (await client.get("/v1/chat/messages", params={"limit": 1}, headers=token)).json()
    assert [item["role"] for item in first["items"]] == ["bot"]
    rest = (await client.get("/v1/chat/messages", params={"after": first["next_cursor"]}, headers=token)).json()
    assert [item["text"] for item in rest["items"] if item["role"] == "visitor"] == [ENQUIRY]
    assert rest["next_cursor"] is None
    own = (await client.get("/v1/chat/messages", headers=stranger)).json()
    assert ENQUIRY not in str(own)


async def test_a_rolled_back_turn_leaves_no_row_and_rings_for_nobody(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await open_session(client)
    await say(client, token, ENQUIRY)
    await sql.execute("ALTER TABLE outbound_alert ADD CONSTRAINT refuse CHECK (channel <> 'monday')")
    failed = await say(client, token, CONSENT)

    assert failed.status_code == 500
    assert failed.json()["code"] == "internal-error"
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert") == 0
    assert await sql.fetchval("SELECT count(*) FROM consent_audit_log") == 0
    assert await sql.fetchval("SELECT count(*) FROM chat_messages WHERE text = $1", CONSENT) == 0

    await sql.execute("ALTER TABLE outbound_alert DROP CONSTRAINT refuse")
    assert (await say(client, token, CONSENT)).status_code == 201
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert") == 2


@pytest.mark.parametrize("locale", ["pl", "en"])
async def test_a_session_discloses_that_a_machine_answers(client: httpx.AsyncClient, locale: str) -> None:
    response = await client.post("/v1/chat/sessions", json={"locale": locale})
    SessionOut.model_validate_json(response.content, strict=True)
    session = response.json()
    assert session["disclosure"]
    assert session["greeting"]
    assert session["privacy"]["controller"] == "NovaHouse Sp. z o.o."


async def test_the_token_is_stored_as_a_hash_only(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    session = (await client.post("/v1/chat/sessions")).json()
    row = await sql.fetchrow("SELECT * FROM chat_conversations")
    assert row is not None
    assert str(row["id"]) == session["session_id"]
    assert session["session_token"] not in str(dict(row))
    assert len(row["token_hash"]) == 32
