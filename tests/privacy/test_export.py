"""The export: complete, machine-readable, and without what is no data of the person's."""

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import orjson
import pytest

from app.core.db import Database
from app.models import metadata
from app.privacy import export as copies
from app.privacy.export import ErasedMeanwhileError
from app.privacy.office import Office
from app.privacy.repository import holdings
from tests.limits.test_overload import blocked
from tests.privacy.people import ADDRESS, PHONE, captured, conversation_of, plant
from tests.processes import Running, api
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


LONGEST = "zażółć gęś" * 200
FULL = 4_000
MANY = 2 * holdings.BATCH_ROWS + 50


async def fill(sql: asyncpg.Connection, *, messages: int, conversations: int = 1) -> list[UUID]:
    """Conversations of one address with so many of the longest messages; their tokens are "1", "2" and so on."""
    ids = [uuid4() for _ in range(conversations)]
    await sql.execute(
        "INSERT INTO chat_conversations (id, token_hash, locale, language, email, last_seq) "
        "SELECT id, sha256(n::text::bytea), 'pl', 'pl', $2, $3 FROM unnest($1::uuid[]) WITH ORDINALITY AS t (id, n)",
        ids,
        ADDRESS,
        messages,
    )
    await sql.execute(
        "INSERT INTO chat_messages (conversation_id, seq, id, role, type, text) "
        "SELECT id, seq, gen_random_uuid(), 'visitor', 'text', $3 "
        "FROM unnest($1::uuid[]) id, generate_series(1, $2) seq",
        ids,
        messages,
        LONGEST,
    )
    return ids


def most_memory(process: Running) -> float:
    """The most that a process has held at any time, in MB."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


async def prove(sql: asyncpg.Connection) -> tuple[str, dict[str, str]]:
    """Where a proved request's export is, and the bearer that opens it."""
    request_id = await sql.fetchval(
        "INSERT INTO privacy_request "
        "(id, type, address, address_hmac, key_id, due_at, state, verified_at, access_hash, access_until) "
        "VALUES (gen_random_uuid(), 'access', $1, '', 'k', now(), 'verified', now(), sha256('t'), now() + '1 h') "
        "RETURNING id",
        ADDRESS,
    )
    return f"/v1/privacy/requests/{request_id}/export", {"Authorization": "Bearer t"}


async def test_the_longest_export_keeps_nobody_waiting_and_fits_in_little_memory(
    environment: dict[str, str], sql: asyncpg.Connection, tmp_path: Path
) -> None:
    await fill(sql, messages=FULL, conversations=3)
    path, bearer = await prove(sql)
    async with api(environment, tmp_path / "api.log") as (process, client):
        memory = most_memory(process)
        one = await client.get("/v1/chat/export", headers={"Authorization": "Bearer 1"})  # compiles the statements
        before = await blocked(client)
        whole = await client.get(path, headers=bearer)
        assert await blocked(client) == before
        assert most_memory(process) - memory < 40
    for answer, conversations in ((one, 1), (whole, 3)):
        document = orjson.loads(answer.content)
        assert orjson.dumps(document, option=orjson.OPT_INDENT_2) == answer.content
        assert len(document["conversations"]) == conversations
        for held in document["conversations"]:
            assert [message["seq"] for message in held["messages"]] == list(range(1, FULL + 1))
            assert {message["text"] for message in held["messages"]} == {LONGEST}


async def test_an_export_that_cannot_be_finished_does_not_look_finished(
    environment: dict[str, str], sql: asyncpg.Connection, tmp_path: Path
) -> None:
    await fill(sql, messages=FULL)
    async with api(environment, tmp_path / "api.log") as (_, client):
        async with client.stream("GET", "/v1/chat/export", headers={"Authorization": "Bearer 1"}) as answer:
            assert answer.status_code == 200
            pieces = answer.aiter_raw()
            await anext(pieces)
            await sql.execute("DELETE FROM chat_conversations")
            with pytest.raises(httpx.RemoteProtocolError):
                await take_all(pieces, bytearray())
        assert (await client.get("/health/ready")).status_code == 200


async def test_it_holds_what_was_there_when_it_began_and_no_transaction_while_it_is_read(
    database: Database, sql: asyncpg.Connection
) -> None:
    (conversation_id,) = await fill(sql, messages=MANY)
    content = b""
    async for piece in copies.of_conversation(database, sha256(b"1").digest()):
        content += piece
        await sql.execute(
            "INSERT INTO chat_messages (conversation_id, seq, id, role, type, text) "
            "SELECT $1, max(seq) + 1, gen_random_uuid(), 'visitor', 'text', 'late' FROM chat_messages",
            conversation_id,
        )
        assert (
            await sql.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
            )
            == 0
        )
    (held,) = orjson.loads(content)["conversations"]
    assert [message["seq"] for message in held["messages"]] == list(range(1, MANY + 1))


async def test_it_ends_where_it_is_when_the_conversation_is_erased_meanwhile(
    database: Database, sql: asyncpg.Connection
) -> None:
    await fill(sql, messages=MANY)
    pieces = copies.of_conversation(database, sha256(b"1").digest())
    content = bytearray(await anext(pieces))
    await sql.execute("DELETE FROM chat_conversations")
    with pytest.raises(ErasedMeanwhileError):
        await take_all(pieces, content)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(content)


async def take_all(pieces: AsyncIterator[bytes], taken: bytearray) -> None:
    async for piece in pieces:
        taken += piece


async def test_every_row_of_every_kind_is_in_it_once_however_many_there_are(
    office: Office, database: Database, sql: asyncpg.Connection
) -> None:
    (conversation_id, empty) = await fill(sql, messages=0, conversations=2)
    for statement in (
        """INSERT INTO message_feedback (id, conversation_id, message_seq, rating)
           SELECT gen_random_uuid(), $1, n, 'up' FROM generate_series(1, $2::int) n""",
        """INSERT INTO consent_evidence (audit_seq, conversation_id, salt)
           SELECT -n, $1, '' FROM generate_series(1, $2::int) n""",
        """INSERT INTO outbound_alert (id, event, channel, subject_id, conversation_id, dedupe_key)
           SELECT gen_random_uuid(), 'lead.captured', 'slack', $1, $1, n::text FROM generate_series(1, $2::int) n""",
    ):
        await sql.execute(statement, conversation_id, MANY)
    await sql.execute(
        "INSERT INTO delivery_attempt (alert_id, attempt, outcome, started_at) "
        "SELECT id, 1, 'ambiguous', now() FROM outbound_alert"
    )
    _, digest = office.digest(ADDRESS)
    await sql.execute(
        "INSERT INTO privacy_request (id, type, address_hmac, key_id, due_at, created_at) "
        "SELECT gen_random_uuid(), 'access', $1, 'k', now(), now() - n / 2 * interval '1 second' "
        "FROM generate_series(1, $2::int) n",
        digest,
        MANY,
    )
    async with database.transaction() as session:
        person = await copies.look(office, session, ADDRESS)
    content = b"".join([piece async for piece in copies.of_address(office, person)])
    document = orjson.loads(content)
    assert orjson.dumps(document, option=orjson.OPT_INDENT_2) == content
    assert list(document)[-4:] == ["conversations", "address", "suppressions", "privacy_requests"]
    held = {UUID(each["conversation"]["id"]): each for each in document["conversations"]}
    for kind in ("feedback", "alerts"):
        assert len({row["id"] for row in held[conversation_id][kind]}) == len(held[conversation_id][kind]) == MANY
    assert [row["audit_seq"] for row in held[conversation_id]["evidence"]] == list(range(-MANY, 0))
    assert all(len(alert["attempts_made"]) == 1 for alert in held[conversation_id]["alerts"])
    assert not held[empty]["alerts"]
    assert len({row["id"] for row in document["privacy_requests"]}) == len(document["privacy_requests"]) == MANY
