"""Erasure: nothing of the person is left anywhere, what must stay stays, and it is whole or not at all."""

import asyncio
from uuid import UUID

import asyncpg
import httpx
import pytest
import redis as redis_client
from sqlalchemy import text

from app.conversations import repository as conversations
from app.conversations import unsubscribe_repository
from app.core.db import Database
from app.privacy import erasure, proof
from app.privacy.erasure import ErasureIncompleteError, Subject
from app.privacy.office import Office
from app.privacy.proof import Proof
from app.privacy.repository import requests
from tests.conftest import OPERATOR
from tests.privacy.people import (
    ADDRESS,
    NATIONAL,
    SPOKEN,
    WORDS,
    captured,
    conversation_of,
    dump,
    holding,
    is_there,
    one,
    plant,
)
from tests.processes import eventually
from tests.talk import capture_lead, open_session, say


async def test_the_token_erases_the_conversation_and_everything_about_it(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await captured(client)
    conversation_id = await conversation_of(sql)
    lead_id = await sql.fetchval("SELECT id FROM leads")
    await plant(sql, conversation_id)
    before = holding(await dump(sql), *WORDS)
    assert {"chat_messages", "chat_conversations", "leads", "consent_evidence", "followup_event"} <= before
    assert {"delivery_attempt", "dead_letter_queue", "outbound_alert", "idempotency_key"} <= before

    response = await client.delete("/v1/chat", headers=token)

    assert response.status_code == 204, response.text
    after = await dump(sql)
    assert holding(after, *WORDS, str(lead_id)) == set()
    assert holding(after, str(conversation_id)) == {"consent_audit_log", "erasure"}
    for method, path in (("GET", "/v1/chat/export"), ("GET", "/v1/chat/messages"), ("DELETE", "/v1/chat")):
        assert (await client.request(method, path, headers=token)).status_code == 401


async def test_somebody_else_keeps_everything(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    other = await capture_lead(client)
    before = await sql.fetch("SELECT * FROM chat_messages ORDER BY id")
    token = await captured(client)
    await client.delete("/v1/chat", headers=token)
    assert await sql.fetch("SELECT * FROM chat_messages ORDER BY id") == before
    assert (await client.get("/v1/chat/messages", headers=other)).status_code == 200
    assert await sql.fetchval("SELECT count(*) FROM leads") == 1


async def test_by_address_every_conversation_goes_and_a_mention_by_somebody_else_stays(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    for _ in range(2):
        await captured(client)
    mention = await open_session(client)
    await say(client, mention, "Mój znajomy dostał od Was wycenę, ile kosztuje premium?")
    erased = await erasure.erase(office, Subject(address=ADDRESS), surface="cli")
    assert len(erased.conversation_ids) == 2
    assert holding(await dump(sql), *WORDS) == set()
    assert await sql.fetchval("SELECT count(*) FROM chat_conversations") == 1


async def test_the_address_gets_no_marketing_any_more(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    await captured(client)
    await erasure.erase(office, Subject(address=ADDRESS), surface="cli")
    key_id, digest = office.digest(ADDRESS)
    row = await one(sql, "SELECT address_hmac, key_id, scope, reason FROM suppression")
    assert row == {"address_hmac": digest, "key_id": key_id, "scope": "marketing", "reason": "erasure"}


async def test_the_audit_log_says_so_and_its_chain_still_holds(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await captured(client)
    conversation_id = await conversation_of(sql)
    await client.delete("/v1/chat", headers=token)
    row = await one(sql, "SELECT subject_ref, surface FROM consent_audit_log WHERE event = 'erasure.completed'")
    assert row == {"subject_ref": conversation_id, "surface": "chat"}
    broken = await sql.fetchval(
        "SELECT count(*) FROM consent_audit_log WHERE row_hash <> sha256(prev_hash || convert_to("
        "consent_audit_canonical(seq, at, event, subject_ref, purpose, text_version, text_sha256, locale, surface, "
        "message_seq, evidence_hash), 'UTF8'))"
    )
    unchained = await sql.fetchval(
        "SELECT count(*) FROM consent_audit_log a JOIN consent_audit_log b ON b.seq = a.seq + 1 "
        "WHERE b.prev_hash <> a.row_hash"
    )
    assert (broken, unchained) == (0, 0)


async def test_what_waits_is_cancelled_and_what_arrived_is_to_be_deleted(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await captured(client)
    await sql.execute(
        "UPDATE outbound_alert SET state = 'delivered', delivered_at = now(), remote_ref = '77' "
        "WHERE channel = 'monday'"
    )
    sent = await sql.fetchval("SELECT id FROM outbound_alert WHERE channel = 'monday'")
    await client.delete("/v1/chat", headers=token)
    slack = await one(sql, "SELECT state, last_error FROM outbound_alert WHERE channel = 'slack'")
    assert slack == {"state": "cancelled", "last_error": "subject_erased"}
    asked = await one(sql, "SELECT channel, subject_id, state FROM outbound_alert WHERE event = 'lead.erased'")
    assert asked == {"channel": "monday", "subject_id": sent, "state": "pending"}
    assert await sql.fetchval("SELECT remote_ref FROM outbound_alert WHERE id = $1", sent) == "77"


async def test_an_alert_that_is_being_sent_is_looked_after_when_its_lease_is_over(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await captured(client)
    await sql.execute(
        "UPDATE outbound_alert SET state = 'sending', lease_token = gen_random_uuid(), attempts = 1, "
        "lease_until = now() + interval '1 minute' WHERE channel = 'monday'"
    )
    await client.delete("/v1/chat", headers=token)
    row = await one(
        sql,
        "SELECT s.state, s.conversation_id, e.next_attempt_at > s.lease_until AS later "
        "FROM outbound_alert e JOIN outbound_alert s ON s.id = e.subject_id WHERE e.event = 'lead.erased'",
    )
    assert row == {"state": "sending", "conversation_id": None, "later": True}


async def test_receipts_in_redis_go_too(client: httpx.AsyncClient, sql: asyncpg.Connection, redis_url: str) -> None:
    token = await captured(client)
    ids = [row["id"] for row in await sql.fetch("SELECT id FROM outbound_alert")]
    with redis_client.Redis.from_url(redis_url) as client_of_redis:
        for alert_id in ids:
            client_of_redis.set(f"novahouse:receipt:{alert_id}", "77")
        client_of_redis.set("novahouse:receipt:other", "1")
        await client.delete("/v1/chat", headers=token)
        assert [key.decode() for key in client_of_redis.keys("novahouse:receipt:*")] == ["novahouse:receipt:other"]


@pytest.mark.parametrize("where", ["actor", "request_id"])
async def test_a_trace_that_is_left_undoes_everything_and_operators_are_told(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office, where: str
) -> None:
    await captured(client)
    await sql.execute(
        "INSERT INTO operator_action (id, actor, action, target, request_id) "
        "VALUES (gen_random_uuid(), $1, 'x', 'all', $2)",
        f"cli:{NATIONAL}" if where == "actor" else "cli:ewa",
        ADDRESS.upper() if where == "request_id" else None,
    )
    with pytest.raises(ErasureIncompleteError):
        await erasure.erase(office, Subject(address=ADDRESS), surface="cli")
    assert await is_there(sql)
    assert await sql.fetchval("SELECT count(*) FROM erasure") == 0
    notice = await one(sql, "SELECT kind, reason FROM operator_notice")
    assert notice == {"kind": "notice.erasure_failed", "reason": "operator_action"}
    assert await sql.fetchval("SELECT channel FROM outbound_alert WHERE event = 'notice.erasure_failed'") == "slack"


async def test_what_operators_did_about_the_person_stays_without_the_person(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token, other = await captured(client), await captured(client, "Nazywam się Anna, 600 700 800")
    leads = {row["email"]: row["id"] for row in await sql.fetch("SELECT email, id FROM leads")}
    for lead in leads.values():
        done = await client.patch(f"/v1/leads/{lead}", json={"status": "contacted"}, headers=OPERATOR)
        assert done.status_code == 200
    await sql.execute(
        "INSERT INTO operator_action (id, actor, action, target, reason) "
        "VALUES (gen_random_uuid(), 'cli:ewa', 'dead_letter.discard', 'x', $1)",
        f"{ADDRESS} wants none",
    )
    assert (await client.delete("/v1/chat", headers=token)).status_code == 204
    rows = await sql.fetch("SELECT actor, action, target, reason FROM operator_action ORDER BY at, target")
    assert ("key:admin", "lead.contacted", "erased", None) in [tuple(row) for row in rows]
    assert ("key:admin", "lead.contacted", str(leads[None]), None) in [tuple(row) for row in rows]
    assert ("cli:ewa", "dead_letter.discard", "x", "erased") in [tuple(row) for row in rows]
    assert (await client.get("/v1/chat/messages", headers=other)).status_code == 200


async def test_a_table_that_nobody_thought_of_is_searched_too(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    await captured(client)
    await sql.execute("CREATE TABLE forgotten (note jsonb)")
    try:
        await sql.execute("INSERT INTO forgotten VALUES (jsonb_build_object('who', $1::text))", ADDRESS)
        with pytest.raises(ErasureIncompleteError):
            await erasure.erase(office, Subject(address=ADDRESS), surface="cli")
    finally:
        await sql.execute("DROP TABLE forgotten")


async def test_a_turn_at_the_same_time_is_erased_with_the_rest(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    token = await captured(client)
    conversation_id: UUID = await conversation_of(sql)
    async with database.transaction() as session:
        await conversations.lock(session, [conversation_id])
        erasing = asyncio.create_task(client.delete("/v1/chat", headers=token))
        speaking = asyncio.create_task(say(client, token, SPOKEN))
        await asyncio.sleep(0.2)
        assert not erasing.done()
    erased, said = await asyncio.gather(erasing, speaking)
    assert erased.status_code == 204
    assert said.status_code in {201, 401}
    assert holding(await dump(sql), *WORDS) == set()


async def waits_for_a_lock(sql: asyncpg.Connection, count: int = 1) -> bool:
    """Whether so many of this database's connections wait for others."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    found: int = await sql.fetchval(waiting)
    return found >= count


async def test_two_erasures_of_one_chat_at_once_are_one(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    token = await captured(client)
    conversation_id = await conversation_of(sql)
    async with database.transaction() as session:
        await conversations.lock(session, [conversation_id])
        both = [asyncio.create_task(client.delete("/v1/chat", headers=token)) for _ in range(2)]
        await eventually(lambda: waits_for_a_lock(sql, 2))
    answers = await asyncio.gather(*both)
    assert sorted(answer.status_code for answer in answers) == [204, 401]
    assert (await one(sql, "SELECT subject_refs FROM erasure"))["subject_refs"] == f'["{conversation_id}"]'


async def test_an_erasure_and_the_worker_that_lets_conversations_follow_lock_in_one_order(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database, office: Office
) -> None:
    """Both take the address that waits first and its conversations second."""
    await captured(client)
    conversation_id = await conversation_of(sql)
    assert (await client.post("/v1/unsubscribe", json={"email": ADDRESS})).status_code == 202
    async with database.transaction() as worker:
        assert await unsubscribe_repository.next_request(worker) is not None
        erasing = asyncio.create_task(erasure.erase(office, Subject(address=ADDRESS), surface="cli"))
        await eventually(lambda: waits_for_a_lock(sql))
        await worker.execute(text("SET LOCAL lock_timeout = '2s'"))
        assert await conversations.lock(worker, [conversation_id]) == [conversation_id]
    assert (await erasing).conversation_ids == (conversation_id,)
    assert await sql.fetchval("SELECT count(*) FROM unsubscribe_request") == 0


async def test_two_proofs_of_one_address_at_once_are_answered_one_after_the_other(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database, office: Office
) -> None:
    """Each erasure closes the other's request, which the other holds: without an order they would wait for ever."""
    await captured(client)
    conversation_id = await conversation_of(sql)
    proofs = []
    for _ in range(2):
        asked = await client.post("/v1/privacy/requests", json={"type": "erasure", "email": ADDRESS})
        async with database.transaction() as session:
            written = await proof.write(session, office.keys, UUID(asked.json()["id"]))
        assert isinstance(written, Proof)
        await sql.execute("UPDATE privacy_request SET mailed_at = mailed_at - interval '11 minutes'")
        proofs.append((f"/v1/privacy/requests/{asked.json()['id']}/verify", {"token": written.token}))
    async with database.transaction() as session:
        await conversations.lock(session, [conversation_id])
        both = [asyncio.create_task(client.post(path, json=body)) for path, body in proofs]
        await eventually(lambda: waits_for_a_lock(sql, 2))
    answers = await asyncio.gather(*both)
    assert sorted(answer.status_code for answer in answers) == [200, 404], [answer.text for answer in answers]


async def test_a_mail_that_is_written_again_and_its_proof_lock_in_one_order(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database, office: Office
) -> None:
    """Both take the address first and the request second."""
    asked = await client.post("/v1/privacy/requests", json={"type": "access", "email": ADDRESS})
    request_id = UUID(asked.json()["id"])
    async with database.transaction() as verifying:
        await requests.lock_address(verifying, list(office.digests(ADDRESS).values()))

        async def write() -> Proof | str:
            async with database.transaction() as session:
                return await proof.write(session, office.keys, request_id)

        writing = asyncio.create_task(write())
        await eventually(lambda: waits_for_a_lock(sql))
        await verifying.execute(text("SET LOCAL lock_timeout = '2s'"))
        assert await requests.take_try(verifying, request_id) is not None
    assert isinstance(await writing, Proof)
