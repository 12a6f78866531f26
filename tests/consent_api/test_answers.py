"""Consent by session token: every purpose by itself, safe to repeat, and only to words that were shown."""

import asyncio
from itertools import pairwise

import asyncpg
import httpx
import pytest

from app.core.db import Database
from tests.consent_api import people
from tests.consent_api.conftest import Texts
from tests.processes import eventually
from tests.talk import CONSENT, ENQUIRY, open_session, say


async def answers(client: httpx.AsyncClient, token: people.Token) -> dict[str, str | None]:
    items = (await client.get("/v1/consent", headers=token)).json()["items"]
    return {item["purpose"]: item["decision"] for item in items}


async def test_nothing_is_answered_until_it_is(client: httpx.AsyncClient) -> None:
    token = await open_session(client)
    (first, *_) = (await client.get("/v1/consent", headers=token)).json()["items"]
    assert first == {
        "purpose": "rodo",
        "decision": None,
        "text_version": None,
        "text_sha256": None,
        "decided_at": None,
    }
    assert set((await answers(client, token)).values()) == {None}


async def test_an_answer_is_recorded_once_and_replayed(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts
) -> None:
    token = await people.visitor(client)
    first = await people.put(client, token, texts)
    again = await people.put(client, token, texts)
    assert (first.status_code, again.status_code) == (201, 200)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json() == again.json()
    assert first.json()["text_sha256"] == texts["marketing_email", "pl"]["sha256"]
    (entry,) = await sql.fetch("SELECT * FROM consent_audit_log")
    assert (entry["event"], entry["purpose"], entry["surface"]) == ("consent.granted", "marketing_email", "api")
    assert (entry["text_version"], entry["locale"], entry["message_seq"]) == (1, "pl", None)
    assert entry["evidence_hash"] is not None
    assert await answers(client, token) == {"rodo": None, "marketing_email": "granted", "marketing_phone": None}


async def test_the_other_language_is_another_text(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts
) -> None:
    token = await open_session(client)
    assert (await people.put(client, token, texts)).status_code == 201
    assert (await people.put(client, token, texts, locale="en")).status_code == 201
    rows = await sql.fetch("SELECT locale FROM consent_audit_log ORDER BY seq")
    assert [row["locale"] for row in rows] == ["pl", "en"]


@pytest.mark.parametrize("change", [{"text_version": 2}, {"sha256": "0" * 64}])
async def test_an_answer_to_a_text_that_is_not_current_is_409_and_says_which_is(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, change: dict[str, object]
) -> None:
    token = await open_session(client)
    text = texts["marketing_email", "pl"]
    body = {"decision": "granted", "text_version": text["version"], "sha256": text["sha256"]} | change
    response = await client.put("/v1/consent/marketing_email", json=body, headers=token)
    assert (response.status_code, response.json()["code"]) == (409, "consent-text-stale")
    assert response.json()["detail"] == "The current version of marketing_email is 1."
    assert await people.events(sql) == []


@pytest.mark.parametrize("purpose", ["marketing", "all", "rodo,marketing_email", "RODO"])
async def test_an_unknown_or_bundled_purpose_is_422(client: httpx.AsyncClient, texts: Texts, purpose: str) -> None:
    token = await open_session(client)
    text = texts["rodo", "pl"]
    body = {"decision": "granted", "text_version": text["version"], "sha256": text["sha256"]}
    assert (await client.put(f"/v1/consent/{purpose}", json=body, headers=token)).status_code == 422
    assert (await client.delete(f"/v1/consent/{purpose}", headers=token)).status_code == 422


async def test_without_a_session_nothing_is_told_or_changed(client: httpx.AsyncClient, texts: Texts) -> None:
    stranger = {"Authorization": "Bearer nobody"}
    assert (await client.get("/v1/consent", headers=stranger)).status_code == 401
    assert (await people.put(client, stranger, texts)).status_code == 401
    assert (await client.delete("/v1/consent/rodo", headers=stranger)).status_code == 401


async def test_withdrawing_is_204_every_time_and_recorded_once(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts
) -> None:
    token = await people.visitor(client)
    await people.put(client, token, texts)
    await people.queue_followups(sql, await people.conversation(sql, token))
    for _ in range(3):
        assert (await client.delete("/v1/consent/marketing_email", headers=token)).status_code == 204
    assert [event for event, *_ in await people.events(sql)] == ["consent.granted", "consent.refused"]
    assert await people.waiting(sql) == 0
    assert await sql.fetchval("SELECT marketing_consent FROM chat_conversations") is False


async def test_withdrawing_what_was_never_granted_is_a_refusal(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await open_session(client)
    for _ in range(2):
        assert (await client.delete("/v1/consent/marketing_phone", headers=token)).status_code == 204
    assert await people.events(sql) == [("consent.refused", "marketing_phone", "api")]


async def test_sales_is_alerted_of_a_lead_whose_consent_comes_by_the_api(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts
) -> None:
    token = await open_session(client)
    await say(client, token, ENQUIRY)
    assert await people.waiting(sql, "lead.captured") == 0
    assert (await people.put(client, token, texts, "rodo")).status_code == 201
    assert await people.waiting(sql, "lead.captured") == 2
    await say(client, token, CONSENT)
    rows = await sql.fetch("SELECT channel, dedupe_key, subject_id FROM outbound_alert ORDER BY channel")
    lead = await sql.fetchval("SELECT id FROM leads WHERE rodo_consent")
    assert [tuple(row) for row in rows] == [
        ("monday", f"lead.captured:{lead}:monday", lead),
        ("slack", f"lead.captured:{lead}:slack", lead),
    ]


async def test_consent_before_the_contact_data_alerts_sales_when_they_come(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts
) -> None:
    token = await open_session(client)
    await people.put(client, token, texts, "rodo")
    assert await people.waiting(sql, "lead.captured") == 0
    await say(client, token, ENQUIRY)
    assert await people.waiting(sql, "lead.captured") == 2


async def test_who_agrees_again_before_sales_heard_is_heard_of(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts
) -> None:
    token = await open_session(client)
    await say(client, token, ENQUIRY)
    for _ in range(2):
        await people.put(client, token, texts, "rodo")
        assert await people.waiting(sql, "lead.captured") == 2
        await client.delete("/v1/consent/rodo", headers=token)
        assert await people.waiting(sql, "lead.captured") == 0
    await sql.execute("UPDATE outbound_alert SET state = 'delivered', delivered_at = now() WHERE channel = 'slack'")
    await say(client, token, "jednak zgadzam się na kontakt")
    assert await sql.fetchval("SELECT array_agg(channel) FROM outbound_alert WHERE state = 'pending'") == ["monday"]
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert") == 2


async def test_grants_and_withdrawals_at_once_have_one_order(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts
) -> None:
    token = await people.visitor(client)
    for _ in range(4):
        responses = await asyncio.gather(
            *(
                people.put(client, token, texts)
                if number % 2
                else client.delete("/v1/consent/marketing_email", headers=token)
                for number in range(6)
            )
        )
        assert {response.status_code for response in responses} <= {200, 201, 204}
    entries = [event for event, *_ in await people.events(sql)]
    assert all(before != after for before, after in pairwise(entries))
    (found,) = await sql.fetch(
        """
        SELECT s.granted, c.marketing_consent, l.event FROM consent_state s
        JOIN chat_conversations c ON c.id = s.conversation_id JOIN consent_audit_log l ON l.seq = s.audit_seq
        """
    )
    assert (found["granted"], found["event"]) == (found["marketing_consent"], entries[-1])
    assert await people.chain_is_whole(sql)


async def test_a_turn_does_not_overwrite_a_decision_that_came_in_between(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, database: Database
) -> None:
    """The turn has read and waits for the row; the withdrawal that holds it commits first."""
    token = await open_session(client)
    await say(client, token, ENQUIRY)
    await people.put(client, token, texts, "rodo")
    conversation_id = await people.conversation(sql, token)
    holding = sql.transaction()
    await holding.start()
    await sql.execute("UPDATE chat_conversations SET rodo_consent = false WHERE id = $1", conversation_id)
    await sql.execute("UPDATE consent_state SET granted = false WHERE conversation_id = $1", conversation_id)
    turn = asyncio.create_task(say(client, token, "pakiet Comfort, 60 m2"))
    async with database.driver() as watcher:
        await eventually(lambda: watcher.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
    await holding.commit()
    said = await turn
    assert said.status_code == 201
    assert said.json()["context"]["consent_contact"] is False
    assert said.json()["context"]["package"] == "comfort"
    assert await sql.fetchval("SELECT rodo_consent FROM chat_conversations") is False
    assert await sql.fetchval("SELECT rodo_consent FROM leads") is False


async def test_messages_and_decisions_at_once_end_in_one_answer_everywhere(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts
) -> None:
    token = await open_session(client)
    await say(client, token, ENQUIRY)

    async def decide(number: int) -> None:
        if number % 3 == 0:
            await say(client, token, f"a ile za {50 + number} m2?")
        elif number % 3 == 1:
            await people.put(client, token, texts, "rodo")
        else:
            await client.delete("/v1/consent/rodo", headers=token)

    for _ in range(3):
        await asyncio.gather(*(decide(number) for number in range(6)))
    state = await sql.fetchval("SELECT granted FROM consent_state WHERE purpose = 'rodo'")
    assert await sql.fetchval("SELECT rodo_consent FROM chat_conversations") is state
    assert await sql.fetchval("SELECT rodo_consent FROM leads") is state
    assert await people.chain_is_whole(sql)
