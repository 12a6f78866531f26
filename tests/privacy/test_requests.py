"""Requests by address: the same for everybody until the proof, which works once, for half an hour, five times tried."""

import statistics
import time
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from app.core.db import Database
from app.privacy import deadlines, proof
from app.privacy.office import Office
from app.privacy.proof import Proof
from tests.conftest import OPERATOR
from tests.privacy.people import ADDRESS, WORDS, captured, dump, holding, is_there, one

PATH = "/v1/privacy/requests"


async def ask(client: httpx.AsyncClient, kind: str = "access", address: str = ADDRESS) -> UUID:
    response = await client.post(PATH, json={"type": kind, "email": address})
    assert response.status_code == 202, response.text
    return UUID(response.json()["id"])


async def mail(database: Database, office: Office, request_id: UUID) -> str:
    """Write the mail as the worker does; gives the token in it, or why there is none."""
    async with database.transaction() as session:
        written = await proof.write(session, office.keys, request_id)
    return written.token if isinstance(written, Proof) else written


async def verify(client: httpx.AsyncClient, request_id: UUID, token: str) -> httpx.Response:
    return await client.post(f"{PATH}/{request_id}/verify", json={"token": token})


def without_id(response: httpx.Response) -> Any:
    return {**response.json(), "id": None, "request_id": None}


async def test_known_and_unknown_addresses_get_the_same_answer(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    await captured(client)
    await sql.execute("DELETE FROM outbound_alert")
    known = await client.post(PATH, json={"type": "erasure", "email": ADDRESS})
    unknown = await client.post(PATH, json={"type": "erasure", "email": "nikt@przyklad-testowy.pl"})
    assert (known.status_code, unknown.status_code) == (202, 202)
    assert without_id(known) == without_id(unknown)
    assert {*known.headers} == {*unknown.headers}
    rows = await sql.fetch("SELECT event, channel, state, conversation_id FROM outbound_alert")
    assert {tuple(row) for row in rows} == {("privacy.proof", "email", "pending", None)}
    assert len(rows) == 2


async def test_known_and_unknown_addresses_take_the_same_time(client: httpx.AsyncClient) -> None:
    await captured(client)
    addresses = {"known": ADDRESS, "unknown": "nikt@przyklad-testowy.pl"}
    times: dict[str, list[float]] = {name: [] for name in addresses}
    for _ in range(60):
        for name, address in addresses.items():
            began = time.perf_counter()
            await client.post(PATH, json={"type": "access", "email": address})
            times[name].append(time.perf_counter() - began)
    medians = [statistics.median(found) for found in times.values()]
    assert max(medians) < 1.35 * min(medians), medians


@pytest.mark.parametrize("address", ["", "kanarek", "a@b", "x" * 400 + "@x.pl", "a b@x.pl", "a@x.pl, b@x.pl"])
async def test_no_address_is_422_and_nothing_is_repeated(client: httpx.AsyncClient, address: str) -> None:
    response = await client.post(PATH, json={"type": "access", "email": address})
    assert response.status_code == 422
    assert not address or address not in response.text


async def test_the_export_is_fetched_with_the_bearer_of_the_proof(
    client: httpx.AsyncClient, database: Database, office: Office, sql: asyncpg.Connection
) -> None:
    await captured(client)
    request_id = await ask(client, address=f"  {ADDRESS.upper()} ")
    proved = await verify(client, request_id, await mail(database, office, request_id))
    assert proved.status_code == 200, proved.text
    bearer = {"Authorization": f"Bearer {proved.json()['access_token']}"}
    for headers in ({}, {"Authorization": "Bearer wrong"}, OPERATOR):
        assert (await client.get(f"{PATH}/{request_id}/export", headers=headers)).status_code == 401
    assert (await client.get(f"{PATH}/{uuid4()}/export", headers=bearer)).status_code == 401
    for _ in range(2):
        fetched = await client.get(f"{PATH}/{request_id}/export", headers=bearer)
        assert fetched.status_code == 200, fetched.text
        assert fetched.json()["address"] == ADDRESS
        assert len(fetched.json()["conversations"]) == 1
    await sql.execute("UPDATE privacy_request SET access_until = now() - interval '1 second'")
    assert (await client.get(f"{PATH}/{request_id}/export", headers=bearer)).status_code == 410
    assert await deadlines.keep(database, pagers=()) == 1
    row = await one(sql, "SELECT state, address FROM privacy_request")
    assert row == {"state": "done", "address": None}
    assert (await client.get(f"{PATH}/{request_id}/export", headers=bearer)).status_code == 410


async def test_an_erasure_by_address_is_carried_out_with_the_proof(
    client: httpx.AsyncClient, database: Database, office: Office, sql: asyncpg.Connection
) -> None:
    token = await captured(client)
    other = await ask(client, "access")
    request_id = await ask(client, "erasure")
    assert await is_there(sql)
    proved = await verify(client, request_id, await mail(database, office, request_id))
    assert proved.json() == {"type": "erasure", "result": {"conversations": 1, "deletions": 0}, "access_token": None}
    assert holding(await dump(sql), *WORDS) == set()
    states = {row["id"]: row["state"] for row in await sql.fetch("SELECT id, state FROM privacy_request")}
    assert states == {request_id: "done", other: "expired"}
    assert (await client.get("/v1/chat/messages", headers=token)).status_code == 401


async def test_a_withdrawal_by_address_ends_every_consent(
    client: httpx.AsyncClient, database: Database, office: Office, sql: asyncpg.Connection
) -> None:
    await captured(client)
    request_id = await ask(client, "revoke")
    proved = await verify(client, request_id, await mail(database, office, request_id))
    assert proved.json()["result"] == {"conversations": 1, "consents": 1}
    assert await sql.fetchval("SELECT bool_or(granted) FROM consent_state") is False
    states = {row["state"] for row in await sql.fetch("SELECT state FROM outbound_alert WHERE event = 'lead.captured'")}
    assert states == {"cancelled"}
    assert await sql.fetchval("SELECT count(*) FROM suppression") == 1


@pytest.mark.parametrize("kind", ["access", "erasure", "revoke"])
async def test_that_nothing_is_held_is_said_after_the_proof(
    client: httpx.AsyncClient, database: Database, office: Office, kind: str
) -> None:
    request_id = await ask(client, kind)
    proved = await verify(client, request_id, await mail(database, office, request_id))
    assert proved.status_code == 200
    if kind != "access":
        assert proved.json()["result"]["conversations"] == 0
        return
    bearer = {"Authorization": f"Bearer {proved.json()['access_token']}"}
    exported = (await client.get(f"{PATH}/{request_id}/export", headers=bearer)).json()
    assert exported["conversations"] == []


async def test_every_refusal_of_a_token_looks_the_same(
    client: httpx.AsyncClient, database: Database, office: Office, sql: asyncpg.Connection
) -> None:
    used = await ask(client)
    token = await mail(database, office, used)
    assert (await verify(client, used, token)).status_code == 200
    late = await ask(client, address="late@przyklad-testowy.pl")
    late_token = await mail(database, office, late)
    await sql.execute("UPDATE privacy_request SET token_until = now() - interval '1 second' WHERE id = $1", late)
    unmailed = await ask(client, address="unmailed@przyklad-testowy.pl")
    refusals = [
        await verify(client, used, token),
        await verify(client, late, late_token),
        await verify(client, late, "wrong"),
        await verify(client, unmailed, "anything"),
        await verify(client, unmailed, "\N{LATIN SMALL LETTER O WITH ACUTE}"),
        await verify(client, uuid4(), token),
    ]
    assert {response.status_code for response in refusals} == {404}
    bodies = [without_id(response) for response in refusals]
    assert all(body == bodies[0] for body in bodies)


async def test_five_wrong_tries_and_the_request_is_dead(
    client: httpx.AsyncClient, database: Database, office: Office
) -> None:
    request_id = await ask(client)
    token = await mail(database, office, request_id)
    for _ in range(5):
        assert (await verify(client, request_id, "wrong")).status_code == 404
    assert (await verify(client, request_id, token)).status_code == 404
    assert await mail(database, office, request_id) == "request_closed"


async def test_the_fifth_try_still_counts(client: httpx.AsyncClient, database: Database, office: Office) -> None:
    request_id = await ask(client)
    token = await mail(database, office, request_id)
    for _ in range(4):
        await verify(client, request_id, "wrong")
    assert (await verify(client, request_id, token)).status_code == 200


async def test_a_mail_that_is_sent_again_replaces_the_token(
    client: httpx.AsyncClient, database: Database, office: Office, sql: asyncpg.Connection
) -> None:
    request_id = await ask(client)
    first = await mail(database, office, request_id)
    await sql.execute("UPDATE privacy_request SET token_until = now() + interval '1 minute'")
    second = await mail(database, office, request_id)
    renewed: bool = await sql.fetchval("SELECT token_until - now() > interval '29 minutes' FROM privacy_request")
    assert renewed
    assert (await verify(client, request_id, first)).status_code == 404
    assert (await verify(client, request_id, second)).status_code == 200
    assert second not in str(await dump(sql))


async def test_nobodys_mailbox_is_filled(
    client: httpx.AsyncClient, database: Database, office: Office, sql: asyncpg.Connection
) -> None:
    async def attempt() -> str:
        return await mail(database, office, await ask(client))

    assert len(await attempt()) > 40
    assert await attempt() == "too_many_mails"
    for _ in range(4):
        await sql.execute("UPDATE privacy_request SET mailed_at = mailed_at - interval '11 minutes'")
        assert len(await attempt()) > 40
    await sql.execute("UPDATE privacy_request SET mailed_at = mailed_at - interval '11 minutes'")
    assert await attempt() == "too_many_mails"
    await sql.execute("UPDATE privacy_request SET mailed_at = mailed_at - interval '1 day'")
    assert len(await attempt()) > 40
    request_id = await ask(client, address="other@przyklad-testowy.pl")
    assert len(await mail(database, office, request_id)) > 40


async def test_an_unproved_request_lapses_after_a_day(
    client: httpx.AsyncClient, database: Database, office: Office, sql: asyncpg.Connection
) -> None:
    request_id = await ask(client)
    token = await mail(database, office, request_id)
    await sql.execute("UPDATE privacy_request SET created_at = now() - interval '23 hours'")
    assert await deadlines.keep(database, pagers=()) == 0
    await sql.execute("UPDATE privacy_request SET created_at = now() - interval '25 hours'")
    assert await deadlines.keep(database, pagers=()) == 1
    assert (await verify(client, request_id, token)).status_code == 404
    assert holding(await dump(sql), ADDRESS) == set()


async def test_operators_see_requests_and_are_told_once_before_the_month_is_over(
    client: httpx.AsyncClient, database: Database, sql: asyncpg.Connection
) -> None:
    request_id = await ask(client)
    assert (await client.get(PATH)).status_code == 401
    (item,) = (await client.get(PATH, headers=OPERATOR)).json()["items"]
    assert (item["id"], item["state"], item["mailed_at"]) == (str(request_id), "received", None)
    assert 27 <= item["days_left"] <= 31
    assert ADDRESS not in str(item)
    assert (await client.get(PATH, params={"state": "done"}, headers=OPERATOR)).json()["items"] == []
    await sql.execute("UPDATE privacy_request SET state = 'verified', due_at = now() + interval '8 days'")
    assert await deadlines.keep(database, pagers=("slack",)) == 0
    await sql.execute("UPDATE privacy_request SET due_at = now() + interval '6 days'")
    assert await deadlines.keep(database, pagers=("slack",)) == 1
    assert await deadlines.keep(database, pagers=("slack",)) == 0
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert WHERE event = 'notice.privacy_due'") == 1


async def test_what_cannot_be_erased_at_once_waits_for_people(
    client: httpx.AsyncClient, database: Database, office: Office, sql: asyncpg.Connection
) -> None:
    await captured(client)
    await sql.execute(
        "INSERT INTO operator_action (id, actor, action, target, request_id) "
        "VALUES (gen_random_uuid(), 'key:admin', 'x', 'y', $1)",
        ADDRESS,
    )
    request_id = await ask(client, "erasure")
    proved = await verify(client, request_id, await mail(database, office, request_id))
    assert proved.json() == {"type": "erasure", "result": None, "access_token": None}
    row = await one(sql, "SELECT state, address FROM privacy_request")
    assert row == {"state": "verified", "address": ADDRESS}
    assert await sql.fetchval("SELECT count(*) FROM operator_notice WHERE kind = 'notice.erasure_failed'") == 1


async def test_the_page_works_without_its_script(
    client: httpx.AsyncClient, app: FastAPI, database: Database, office: Office, sql: asyncpg.Connection
) -> None:
    await captured(client)
    request_id = await ask(client)
    token = await mail(database, office, request_id)
    before = await dump(sql)
    for _ in range(2):
        page = await client.get(f"/privacy/requests/{request_id}", params={"lang": "en"})
        assert page.status_code == 200
        assert 'form method="post"' in page.text
        assert (await client.head(f"/privacy/requests/{request_id}")).status_code == 200
    assert await dump(sql) == before
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]
    form = {"content-type": "application/x-www-form-urlencoded"}
    wrong = await client.post(f"/privacy/requests/{request_id}", content="token=wrong", headers=form)
    assert (wrong.status_code, wrong.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert (await client.post(f"/privacy/requests/{request_id}", content="&".join("abcdefgh"))).status_code == 404
    proved = await client.post(f"/privacy/requests/{request_id}", content=f"token={token}", headers=form)
    assert proved.status_code == 200, proved.text
    access = proved.text.partition('name="token" value="')[2].partition('"')[0]
    fetched = await client.post(f"/privacy/requests/{request_id}/export", content=f"token={access}", headers=form)
    assert fetched.json()["address"] == ADDRESS
    assert "attachment" in fetched.headers["Content-Disposition"]
    wrong = await client.post(f"/privacy/requests/{request_id}/export", content="token=x", headers=form)
    assert wrong.status_code == 404
