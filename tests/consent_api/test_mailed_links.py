"""A link acts on the address it was mailed to, whatever address the conversation has by then."""

from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from app.consent.links import Link, make_token
from app.consent.repository import note_mailed
from app.consent.suppression import ADDRESS_USE
from app.conversations.consents import Reach
from app.conversations.unsubscribe import apply_all
from app.core.db import Database
from app.core.keys import KeyRing
from app.core.settings import Settings
from app.privacy import erasure
from app.privacy.erasure import Subject
from app.privacy.office import Office
from tests.conftest import application
from tests.consent_api import people
from tests.consent_api.conftest import Texts
from tests.consent_api.test_addresses import reason, subscriber
from tests.talk import say

EWA = "ewa.nowa@example.com"


async def mailed(database: Database, keys: KeyRing, conversation_id: UUID, *addresses: str) -> str:
    """The path of the link in a mail that went to these addresses."""
    message_id = uuid4()
    mails = [(message_id, conversation_id, keys.digest(ADDRESS_USE, address.encode())) for address in addresses]
    async with database.driver() as connection:
        assert await note_mailed(connection, mails, key_id=keys.current) == {message_id}
    return f"/u/{make_token(keys, Link(conversation_id, message_id))}"


async def moved(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, database: Database, keys: KeyRing
) -> tuple[UUID, str]:
    """Somebody was mailed as Jan and gave Ewa's address afterwards; the conversation and the path in Jan's mail."""
    token = await subscriber(client, texts)
    conversation_id = await people.conversation(sql, token)
    path = await mailed(database, keys, conversation_id, people.JAN)
    said = await say(client, token, f"mój mail to {EWA}")
    assert said.json()["context"]["email"] == EWA
    return conversation_id, path


async def test_the_address_that_was_mailed_is_suppressed_and_not_the_present_one(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, database: Database, reach: Reach
) -> None:
    conversation_id, path = await moved(client, sql, texts, database, reach.keys)
    jan, ewa, other = [
        await people.conversation(sql, await subscriber(client, texts, email))
        for email in (people.JAN, EWA, "ola@example.com")
    ]
    for _ in range(2):
        assert (await client.post(path)).status_code == 200
    assert await people.answer(sql, conversation_id) is False
    assert await people.answer(sql, ewa) is False
    assert await people.answer(sql, other) is True
    assert await reason(database, reach.keys, jan, people.JAN) == "suppressed"
    (row,) = await sql.fetch("SELECT address_hmac, key_id FROM suppression")
    assert tuple(row) == (reach.keys.digest(ADDRESS_USE, people.JAN.encode()), reach.keys.current)
    assert await apply_all(database, reach) == 1
    assert await people.answer(sql, jan) is False
    assert await sql.fetchval("SELECT count(*) FROM unsubscribe_request") == 0
    recorded = (await people.events(sql))[4:]
    assert recorded == [
        ("suppression.added", "marketing_email", "link"),
        ("consent.refused", "marketing_email", "link"),
        ("consent.refused", "marketing_email", "link"),
        ("consent.refused", "marketing_email", "address"),
    ]
    assert await people.chain_is_whole(sql)


async def test_a_repetition_changes_no_more_and_finds_who_agreed_meanwhile(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, database: Database, reach: Reach
) -> None:
    _, path = await moved(client, sql, texts, database, reach.keys)
    await client.post(path)
    await client.post(path)
    assert await sql.fetchval("SELECT count(*) FROM unsubscribe_request") == 1
    await apply_all(database, reach)
    before = await people.events(sql)
    await client.post(path)
    assert await apply_all(database, reach) == 0
    assert await people.events(sql) == before
    late = await people.conversation(sql, await subscriber(client, texts))
    await client.post(path)
    assert await apply_all(database, reach) == 1
    assert await people.answer(sql, late) is False


async def test_nobody_with_the_address_is_no_mistake(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, database: Database, reach: Reach
) -> None:
    await moved(client, sql, texts, database, reach.keys)
    path = (await moved(client, sql, texts, database, reach.keys))[1]
    await client.post(path)
    assert await apply_all(database, reach) == 0
    assert await sql.fetchval("SELECT count(*) FROM unsubscribe_request") == 0


async def test_a_mail_that_may_have_reached_two_addresses_ends_both(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, database: Database, reach: Reach
) -> None:
    conversation_id = await people.conversation(sql, await subscriber(client, texts, EWA))
    path = await mailed(database, reach.keys, conversation_id, people.JAN, EWA)
    await client.post(path)
    for address in (people.JAN, EWA):
        someone = await people.conversation(sql, await subscriber(client, texts, address))
        assert await reason(database, reach.keys, someone, address) == "suppressed"


@pytest.mark.parametrize("present", [people.JAN, EWA], ids=["same", "moved"])
async def test_it_outlives_the_key_that_hashed_the_address(
    client: httpx.AsyncClient,
    sql: asyncpg.Connection,
    texts: Texts,
    database: Database,
    reach: Reach,
    settings: Settings,
    present: str,
) -> None:
    if present == EWA:
        _, path = await moved(client, sql, texts, database, reach.keys)
    else:
        first = await people.conversation(sql, await subscriber(client, texts))
        path = await mailed(database, reach.keys, first, people.JAN)
    jan = await people.conversation(sql, await subscriber(client, texts))
    rotated = settings.model_copy(
        update={"secret_key": SecretStr("new"), "secret_keys_retired": (SecretStr("development-only-secret"),)}
    )
    app = application(rotated)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as http,
    ):
        assert (await http.post(path)).status_code == 200
    keys = KeyRing.of(rotated)
    late = await people.conversation(sql, await subscriber(client, texts))
    assert await reason(database, keys, late, people.JAN) == "suppressed"
    await apply_all(database, Reach.of(rotated))
    assert await people.answer(sql, jan) is False
    assert await sql.fetchval("SELECT count(*) FROM suppression") == 1


async def test_an_erased_person_s_link_takes_nobody_else_for_them(
    client: httpx.AsyncClient,
    sql: asyncpg.Connection,
    texts: Texts,
    database: Database,
    reach: Reach,
    settings: Settings,
    office: Office,
) -> None:
    conversation_id, path = await moved(client, sql, texts, database, reach.keys)
    await subscriber(client, texts)
    digest = reach.keys.digest(ADDRESS_USE, people.JAN.encode())
    await client.post(path)
    erased = await erasure.erase(office, Subject(address=people.JAN), surface="cli")
    assert erased.counts["mailed_address"] == 1
    assert await sql.fetchval("SELECT count(*) FROM mailed_address WHERE address_hmac = $1", digest) == 0
    assert await sql.fetchval("SELECT count(*) FROM unsubscribe_request") == 0
    holding = [
        table for table, rows in (await people.rows(sql)).items() if digest.hex() in rows and table != "suppression"
    ]
    assert holding == ["erasure"]
    ewa = await people.conversation(sql, await subscriber(client, texts, EWA))
    assert (await client.post(path)).status_code == 200
    assert await people.answer(sql, conversation_id) is False
    assert await sql.fetchval("SELECT count(*) FROM suppression") == 1
    late = await people.conversation(sql, await subscriber(client, texts, EWA))
    assert await reason(database, reach.keys, late, EWA) is None
    assert await people.answer(sql, ewa) is False


async def test_an_erased_conversation_is_written_to_no_more(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, database: Database, keys: KeyRing
) -> None:
    token = await subscriber(client, texts)
    conversation_id = await people.conversation(sql, token)
    await mailed(database, keys, conversation_id, people.JAN)
    assert (await client.delete("/v1/chat", headers=token)).status_code == 204
    assert await sql.fetchval("SELECT count(*) FROM mailed_address") == 0
    async with database.driver() as connection:
        assert await note_mailed(connection, [(uuid4(), conversation_id, b"x")], key_id="k") == set()
