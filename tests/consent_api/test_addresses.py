"""Unsubscribing by address: at once, for anybody, without telling who is known; and what does not lift it."""

import statistics
import time
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from app.consent import suppression
from app.consent.links import Link, make_token
from app.consent.service import Recipient, reasons_not_to_send
from app.conversations.consents import Reach
from app.conversations.unsubscribe import BATCH, apply_all
from app.core.db import Database
from app.core.keys import KeyRing
from tests.consent_api import people
from tests.consent_api.conftest import Texts
from tests.talk import say


async def unsubscribe(client: httpx.AsyncClient, email: str = people.JAN, **more: object) -> httpx.Response:
    return await client.post("/v1/unsubscribe", json={"email": email, **more})


async def subscriber(client: httpx.AsyncClient, texts: Texts, email: str = people.JAN) -> people.Token:
    token = await people.visitor(client, email)
    assert (await people.put(client, token, texts)).status_code == 201
    return token


async def reason(database: Database, keys: KeyRing, conversation_id: UUID, email: str) -> str | None:
    """Why the guard would hold marketing back."""
    async with database.driver() as connection:
        reasons = await reasons_not_to_send(
            connection, recipients=[Recipient(conversation_id, email)], purpose="marketing_email", keys=keys
        )
    return reasons.get(conversation_id)


async def test_the_guard_knows_before_any_worker_does(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, database: Database, keys: KeyRing
) -> None:
    conversation_id = await people.conversation(sql, await subscriber(client, texts))
    assert await reason(database, keys, conversation_id, people.JAN) is None
    assert (await unsubscribe(client)).status_code == 202
    assert await people.answer(sql, conversation_id) is True
    assert await reason(database, keys, conversation_id, people.JAN) == "suppressed"


async def test_every_conversation_with_the_address_follows(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, database: Database, reach: Reach
) -> None:
    known = [await people.conversation(sql, await subscriber(client, texts)) for _ in range(3)]
    other = await people.conversation(sql, await subscriber(client, texts, "ewa@example.com"))
    for conversation_id in (*known, other):
        await people.queue_followups(sql, conversation_id)
    for email in ("  JAN.Kowalski@EXAMPLE.com ", people.JAN):
        assert (await unsubscribe(client, email, reason="za dużo")).status_code == 202
    assert await apply_all(database, reach) == 3
    assert [await people.answer(sql, found) for found in (*known, other)] == [False, False, False, True]
    assert await people.waiting(sql) == 1
    assert await sql.fetchval("SELECT count(*) FROM unsubscribe_request") == 0
    recorded = (await people.events(sql))[4:]
    assert recorded == [
        ("suppression.added", "marketing_email", "address"),
        *[("consent.refused", "marketing_email", "address")] * 3,
    ]
    assert await people.chain_is_whole(sql)


async def test_more_conversations_than_one_transaction_takes_follow_too(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database, reach: Reach
) -> None:
    count = 2 * BATCH + 3
    await sql.execute(
        """
        INSERT INTO chat_conversations (id, token_hash, locale, language, email)
        SELECT gen_random_uuid(), sha256(n::text::bytea), 'pl', 'pl', $1 FROM generate_series(1, $2) n
        """,
        people.JAN,
        count,
    )
    link = Link(await sql.fetchval("SELECT id FROM chat_conversations LIMIT 1"), uuid4())
    assert (await client.post(f"/u/{make_token(reach.keys, link)}")).status_code == 200
    assert await sql.fetchval("SELECT count(*) FROM consent_state WHERE NOT granted") in {BATCH, BATCH + 1}
    await apply_all(database, reach)
    assert await sql.fetchval("SELECT count(*) FROM consent_state WHERE NOT granted") == count
    assert [event for event, *_ in await people.events(sql)].count("suppression.added") == 1


async def test_an_unknown_address_is_suppressed_and_recorded_without_a_subject(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database, reach: Reach
) -> None:
    await unsubscribe(client, "nobody@example.com")
    await apply_all(database, reach)
    (entry,) = await sql.fetch("SELECT event, subject_ref FROM consent_audit_log")
    assert tuple(entry) == ("suppression.added", UUID(int=0))
    assert await sql.fetchval("SELECT count(*) FROM suppression") == 1


async def test_the_answer_is_the_same_for_every_address(client: httpx.AsyncClient, texts: Texts) -> None:
    await subscriber(client, texts)
    answers = [await unsubscribe(client, email) for email in (people.JAN, "nobody@example.com", people.JAN)]
    own = {"x-request-id", "traceparent", "ratelimit"}
    headers = [{name: value for name, value in answer.headers.items() if name not in own} for answer in answers]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert headers[0] == headers[1] == headers[2]


async def test_the_time_does_not_tell_who_is_known(client: httpx.AsyncClient, texts: Texts) -> None:
    """Known addresses have conversations, consents and waiting marketing; their order with unknown ones is mixed."""
    rounds = 40
    for number in range(rounds):
        await subscriber(client, texts, f"known{number}@example.com")
    taken: dict[str, list[float]] = {"known": [], "nobody": []}
    for number in range(rounds):
        for who in sorted(taken, reverse=bool(number % 2)):
            began = time.perf_counter()
            await unsubscribe(client, f"{who}{number}@example.com")
            taken[who].append(time.perf_counter() - began)
    known, unknown = (statistics.median(taken[who]) for who in ("known", "nobody"))
    assert 0.75 < known / unknown < 1.33, (known, unknown)


@pytest.mark.parametrize(
    "body", [{}, {"email": ""}, {"email": "jan"}, {"email": "a@b"}, {"email": 7}, {"email": "x" * 600 + "@example.com"}]
)
async def test_what_is_no_address_is_422(
    client: httpx.AsyncClient, sql: asyncpg.Connection, body: dict[str, object]
) -> None:
    assert (await client.post("/v1/unsubscribe", json=body)).status_code == 422
    assert await sql.fetchval("SELECT count(*) FROM unsubscribe_request") == 0


async def test_the_reason_is_not_kept(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    assert (await unsubscribe(client, reason="mój numer to 691 222 333")).status_code == 202
    for (table,) in await sql.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        assert await sql.fetchval(f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%691 222 333%'") == 0


async def imported(sql: asyncpg.Connection, email: str) -> UUID:
    """A conversation written straight into the tables, with its consent, as an import would."""
    conversation_id = uuid4()
    await sql.execute(
        """
        WITH c AS (
            INSERT INTO chat_conversations (id, token_hash, locale, language, email, marketing_consent)
            VALUES ($1, sha256($1::uuid::text::bytea), 'pl', 'pl', $2, true) RETURNING id),
        l AS (
            INSERT INTO leads (id, conversation_id, score, language, email, marketing_consent)
            SELECT gen_random_uuid(), id, 50, 'pl', $2, true FROM c)
        INSERT INTO consent_state (conversation_id, purpose, granted, audit_seq, decided_at)
        SELECT id, 'marketing_email', true, 1, now() FROM c
        """,
        conversation_id,
        email,
    )
    return conversation_id


@pytest.mark.parametrize("written", [people.JAN, people.JAN.upper(), f" {people.JAN.title()} "])
async def test_an_import_lifts_nothing_however_the_address_is_written(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database, keys: KeyRing, written: str
) -> None:
    await unsubscribe(client)
    conversation_id = await imported(sql, written)
    assert await reason(database, keys, conversation_id, written) == "suppressed"
    allowed = await imported(sql, "ewa@example.com")
    assert await reason(database, keys, allowed, "EWA@example.com") is None


async def test_what_is_no_address_gets_no_marketing(sql: asyncpg.Connection, database: Database, keys: KeyRing) -> None:
    conversation_id = await imported(sql, "jan at example")
    assert await reason(database, keys, conversation_id, "jan at example") == "suppressed"


async def test_typing_the_address_again_lifts_nothing(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database, reach: Reach
) -> None:
    await unsubscribe(client)
    await apply_all(database, reach)
    token = await people.visitor(client)
    await say(client, token, f"powtarzam: {people.JAN.upper()}, proszę o kontakt")
    await say(client, token, "tak, zgadzam się na kontakt")
    assert await sql.fetchval("SELECT count(*) FROM suppression") == 1
    assert "suppression.lifted" not in [event for event, *_ in await people.events(sql)]


@pytest.mark.parametrize("way", ["api", "chat"])
async def test_agreeing_anew_is_recorded_and_lifts_nothing(
    client: httpx.AsyncClient,
    sql: asyncpg.Connection,
    texts: Texts,
    database: Database,
    reach: Reach,
    way: str,
) -> None:
    """Whoever types an address has not proved it: its owner is asked by mail, see tests/privacy/test_opt_in.py."""
    token = await subscriber(client, texts)
    conversation_id = await people.conversation(sql, token)
    await unsubscribe(client)
    await apply_all(database, reach)
    if way == "api":
        assert (await people.put(client, token, texts)).status_code == 201
    else:
        await say(client, token, "jednak zgadzam się na marketing mailowy")
    assert await people.answer(sql, conversation_id) is True
    assert await sql.fetchval("SELECT count(*) FROM suppression") == 1
    assert await reason(database, reach.keys, conversation_id, people.JAN) == "suppressed"
    assert (await people.events(sql))[-1] == ("consent.granted", "marketing_email", way)


async def test_withdrawing_and_agreeing_again_works_at_once_where_nobody_unsubscribed(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, database: Database, keys: KeyRing
) -> None:
    token = await subscriber(client, texts)
    conversation_id = await people.conversation(sql, token)
    assert (await client.delete("/v1/consent/marketing_email", headers=token)).status_code == 204
    assert await reason(database, keys, conversation_id, people.JAN) == "consent_refused"
    assert (await people.put(client, token, texts)).status_code == 201
    assert await reason(database, keys, conversation_id, people.JAN) is None
    assert await sql.fetchval("SELECT count(*) FROM suppression") == 0


async def test_a_consent_after_the_request_stays_though_the_worker_comes_late(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, database: Database, reach: Reach
) -> None:
    """It waits for its confirmation: the address is on the list."""
    first, second = [await subscriber(client, texts) for _ in range(2)]
    await unsubscribe(client)
    await client.delete("/v1/consent/marketing_email", headers=second)
    assert (await people.put(client, second, texts)).status_code == 201
    await apply_all(database, reach)
    assert await people.answer(sql, await people.conversation(sql, first)) is False
    conversation_id = await people.conversation(sql, second)
    assert await people.answer(sql, conversation_id) is True
    assert await reason(database, reach.keys, conversation_id, people.JAN) == "suppressed"


async def test_a_suppression_outlives_its_key_and_is_lifted_under_the_next(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    await unsubscribe(client)
    conversation_id = await imported(sql, people.JAN)
    rotated = KeyRing("new secret", ["development-only-secret"])
    assert await reason(database, rotated, conversation_id, people.JAN) == "suppressed"
    assert await reason(database, KeyRing("new secret"), conversation_id, people.JAN) is None
    said = await sql.fetchval("SELECT renewed_at FROM suppression")
    for asked_at, lifted in ((said - timedelta(seconds=1), False), (said, True), (said, False)):
        async with database.transaction() as session:
            found = await suppression.lift(
                session,
                address=people.JAN,
                keys=rotated,
                asked_at=asked_at,
                surface="confirmation_mail",
                subject_ref=conversation_id,
            )
        assert found is lifted


async def test_every_further_no_is_newer_than_what_was_asked_before_it(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database, keys: KeyRing
) -> None:
    async def said() -> datetime:
        at: datetime = await sql.fetchval("SELECT renewed_at FROM suppression")
        return at

    await unsubscribe(client)
    times = [await said()]
    await unsubscribe(client)
    times.append(await said())
    for known in (True, False):
        async with database.transaction() as session:
            note: dict[str, Any] = {"reason": "x", "surface": "link", "subject_ref": uuid4()}
            if known:
                added = await suppression.suppress(session, address=people.JAN, keys=keys, **note)
            else:
                digest = keys.digest("address", people.JAN.encode())
                added = await suppression.suppress_digest(session, digest=digest, key_id=keys.current, **note)
            assert not added
        times.append(await said())
    assert times == sorted(set(times))
