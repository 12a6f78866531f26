"""Marketing to an address on the suppression list: nobody lifts it but its owner, by a mail that they confirm."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import event

from app.alerts.repository import queue
from app.consent.service import Recipient, reasons_not_to_send
from app.conversations import answers
from app.conversations import repository as conversations
from app.conversations.consents import Reach
from app.conversations.unsubscribe import apply_all
from app.core.db import Database
from app.core.keys import KeyRing
from app.engine.engine import Engine
from app.followups.timing import Timing
from app.privacy import deadlines, opt_in, proof, purge, service
from app.privacy.office import Office
from app.privacy.proof import Proof
from app.privacy.purge import Retention
from tests.conftest import OPERATOR
from tests.privacy.people import ADDRESS, conversation_of, dump, holding, one
from tests.privacy.test_erasure import waits_for_a_lock
from tests.processes import eventually
from tests.talk import open_session, say
from worker.channels.base import PersonalMail
from worker.messages import Messages

PATH = "/v1/privacy/requests"
ELSE = "ktos.inny@przyklad-testowy.pl"
PURPOSE: Final = "marketing_email"
Token = dict[str, str]


async def put(client: httpx.AsyncClient, token: Token, purpose: str = PURPOSE) -> httpx.Response:
    """Agree to the published text."""
    texts = (await client.get("/v1/consent/texts")).json()["items"]
    text = next(item for item in texts if (item["purpose"], item["locale"]) == (purpose, "pl"))
    body = {"decision": "granted", "text_version": text["version"], "sha256": text["sha256"]}
    return await client.put(f"/v1/consent/{purpose}", json=body, headers=token)


async def visitor(client: httpx.AsyncClient, address: str = ADDRESS) -> Token:
    token = await open_session(client)
    assert (await say(client, token, f"mój mail to {address}")).json()["context"]["email"] == address
    return token


async def agreed(client: httpx.AsyncClient, address: str = ADDRESS) -> Token:
    """Somebody who typed an address and agreed to marketing."""
    token = await visitor(client, address)
    assert (await put(client, token)).status_code == 201
    return token


async def unsubscribed(client: httpx.AsyncClient, office: Office, address: str = ADDRESS) -> None:
    """The address is on the suppression list, and its conversations have followed."""
    assert (await client.post("/v1/unsubscribe", json={"email": address})).status_code == 202
    await apply_all(office.database, office.reach)


async def look(office: Office) -> int:
    return await opt_in.look_at_all(office.database, office.keys)


async def mail(office: Office, request_id: UUID) -> str:
    """Write the mail as the worker does; gives its token, or why there is none."""
    async with office.database.transaction() as session:
        written = await proof.write(session, office.keys, request_id)
    return written.token if isinstance(written, Proof) else written


async def asked(sql: asyncpg.Connection) -> list[UUID]:
    """The confirmations that wait, oldest first."""
    rows = await sql.fetch(
        "SELECT id FROM privacy_request WHERE type = 'opt_in' AND state = 'received' ORDER BY due_at"
    )
    return [row["id"] for row in rows]


async def waiting(client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office) -> tuple[Token, UUID, str]:
    """Somebody agreed with a suppressed address and was mailed: the session, the request, the token in the mail."""
    await unsubscribed(client, office)
    token = await agreed(client)
    assert await look(office) == 1
    (request_id,) = await asked(sql)
    secret = await mail(office, request_id)
    assert len(secret) > 40
    return token, request_id, secret


async def confirm(client: httpx.AsyncClient, request_id: UUID, token: str) -> httpx.Response:
    return await client.post(f"{PATH}/{request_id}/verify", json={"token": token})


async def reason(office: Office, conversation_id: UUID, address: str = ADDRESS) -> str | None:
    """Why the guard would hold marketing back."""
    async with office.database.driver() as connection:
        reasons = await reasons_not_to_send(
            connection, recipients=[Recipient(conversation_id, address)], purpose=PURPOSE, keys=office.keys
        )
    return reasons.get(conversation_id)


async def listed(sql: asyncpg.Connection) -> int:
    found: int = await sql.fetchval("SELECT count(*) FROM suppression")
    return found


async def lifted(sql: asyncpg.Connection) -> int:
    found: int = await sql.fetchval("SELECT count(*) FROM consent_audit_log WHERE event = 'suppression.lifted'")
    return found


async def test_the_owner_s_confirmation_lifts_it_and_nothing_before(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    _, request_id, token = await waiting(client, sql, office)
    conversation_id = await conversation_of(sql)
    assert await reason(office, conversation_id) == "suppressed"
    assert (await confirm(client, request_id, "wrong")).status_code == 404
    assert await listed(sql) == 1
    proved = await confirm(client, request_id, token)
    assert proved.status_code == 200, proved.text
    assert proved.json() == {"type": "opt_in", "result": {"suppressions_lifted": 1}, "access_token": None}
    assert await listed(sql) == 0
    assert await reason(office, conversation_id) is None
    last = await one(
        sql,
        "SELECT event, purpose, surface, subject_ref FROM consent_audit_log "
        "WHERE seq = (SELECT seq FROM consent_audit_head)",
    )
    assert last == {
        "event": "suppression.lifted",
        "purpose": PURPOSE,
        "surface": "confirmation_mail",
        "subject_ref": conversation_id,
    }
    row = await one(sql, "SELECT state, address, token_hash FROM privacy_request")
    assert row == {"state": "done", "address": None, "token_hash": None}
    assert (await confirm(client, request_id, token)).status_code == 404


async def test_the_request_is_as_old_as_the_consent_that_caused_it(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    """A no that was said before the worker looked, and commits after it, is newer."""
    await unsubscribed(client, office)
    await agreed(client)
    asked_at = await sql.fetchval("SELECT asked_at FROM opt_in_check")
    assert await look(office) == 1
    assert await sql.fetchval("SELECT created_at FROM privacy_request") == asked_at


async def test_an_address_that_is_not_on_the_list_is_not_asked(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    await agreed(client)
    assert await reason(office, await conversation_of(sql)) is None
    assert await look(office) == 0
    assert await sql.fetchval("SELECT count(*) FROM opt_in_check") == 0
    assert await sql.fetchval("SELECT count(*) FROM privacy_request") == 0
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert WHERE event = 'privacy.proof'") == 0


async def first_address_then_consent(client: httpx.AsyncClient, address: str) -> list[httpx.Response]:
    token = await visitor(client, address)
    return [await put(client, token)]


async def consent_in_words(client: httpx.AsyncClient, address: str) -> list[httpx.Response]:
    token = await visitor(client, address)
    return [await say(client, token, "zgadzam się na marketing mailowy")]


async def first_consent_then_address(client: httpx.AsyncClient, address: str) -> list[httpx.Response]:
    token = await open_session(client)
    return [await put(client, token), await say(client, token, f"mój mail to {address}")]


async def another_address(client: httpx.AsyncClient, address: str) -> list[httpx.Response]:
    token = await visitor(client, "stary@przyklad-testowy.pl")
    return [await put(client, token), await say(client, token, f"mój nowy mail to {address}")]


WAYS = {
    "api": first_address_then_consent,
    "words": consent_in_words,
    "consent first": first_consent_then_address,
    "another address": another_address,
}
Way = Callable[[httpx.AsyncClient, str], Awaitable[list[httpx.Response]]]


def plain(response: httpx.Response, address: str) -> Any:
    """What an answer says, without what differs between any two answers."""
    body = response.json()
    for reply in (body.get("message"), *body.get("replies", ())):
        if reply:
            reply |= {"id": None, "created_at": None, "text": reply["text"].replace(address, "ADDRESS")}
    if "context" in body:
        body["context"] |= {"email": body["context"]["email"] and "ADDRESS"}
    return body | {"decided_at": None}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_whoever_agrees_is_not_told_that_the_address_is_on_the_list(
    app: FastAPI, client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office, way: Way
) -> None:
    """The same answers, made by the same statements: there is nothing that could take another time."""
    await unsubscribed(client, office)
    traces: list[list[str]] = []
    answers = []
    engine = office.database.engine.sync_engine

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        traces[-1].append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        for address in (ELSE, ADDRESS):
            traces.append([])
            responses = await way(client, address)
            answers.append([(found.status_code, plain(found, address), {*found.headers}) for found in responses])
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert answers[0] == answers[1]
    assert traces[0] == traces[1]
    assert traces[0]
    assert await look(office) == 1
    row = await one(sql, "SELECT type, address, locale FROM privacy_request")
    assert row == {"type": "opt_in", "address": ADDRESS, "locale": "pl"}
    assert await sql.fetchval("SELECT count(*) FROM opt_in_check") == 0


@pytest.mark.parametrize("before", [None, ELSE], ids=["first", "another"])
async def test_an_address_that_comes_after_the_consent_is_looked_at(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office, before: str | None
) -> None:
    await unsubscribed(client, office)
    token = await open_session(client) if before is None else await visitor(client, before)
    assert (await put(client, token)).status_code == 201
    assert await look(office) == 0
    assert await sql.fetchval("SELECT count(*) FROM opt_in_check") == 0
    assert (await say(client, token, f"mój mail to {ADDRESS}")).json()["context"]["email"] == ADDRESS
    assert await look(office) == 1
    assert len(await asked(sql)) == 1


async def test_an_address_gets_one_mail_a_day_however_many_ask(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    await unsubscribed(client, office)
    for _ in range(4):
        await agreed(client)
    assert sum(await asyncio.gather(*(look(office) for _ in range(4)))) == 1
    (first,) = await asked(sql)
    token = await mail(office, first)
    await agreed(client)
    assert await look(office) == 0
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert WHERE event = 'privacy.proof'") == 1
    await sql.execute("UPDATE privacy_request SET mailed_at = mailed_at - interval '25 hours'")
    await agreed(client)
    assert await look(office) == 1
    (second,) = await asked(sql)
    again = await mail(office, second)
    assert (await confirm(client, first, token)).status_code == 404
    assert (await confirm(client, second, again)).status_code == 200


async def test_looking_at_the_page_changes_nothing_and_its_form_needs_no_script(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    _, request_id, token = await waiting(client, sql, office)
    path = f"/privacy/requests/{request_id}"
    before = await dump(sql)
    for number in range(20):
        parameters = {"lang": "en" if number % 2 else "pl", "about": "opt_in"}
        page = await client.get(path, params=parameters)
        assert (await client.head(path, params=parameters)).status_code == page.status_code == 200
    assert await dump(sql) == before
    assert "Would you like our messages again?" in page.text
    assert '<form method="post">' in page.text
    form = {"content-type": "application/x-www-form-urlencoded"}
    wrong = await client.post(path, params={"about": "opt_in"}, content="token=wrong", headers=form)
    assert (wrong.status_code, "7 dni" in wrong.text) == (404, True)
    done = await client.post(path, params={"about": "opt_in"}, content=f"token={token}", headers=form)
    assert (done.status_code, "Gotowe" in done.text) == (200, True), done.text
    assert await listed(sql) == 0


async def by_address(client: httpx.AsyncClient, _token: Token, office: Office) -> None:
    await unsubscribed(client, office)


async def by_api(client: httpx.AsyncClient, token: Token, _office: Office) -> None:
    assert (await client.delete(f"/v1/consent/{PURPOSE}", headers=token)).status_code == 204


async def by_rodo(client: httpx.AsyncClient, token: Token, _office: Office) -> None:
    assert (await client.delete("/v1/consent/rodo", headers=token)).status_code == 204


async def by_words(client: httpx.AsyncClient, token: Token, _office: Office) -> None:
    assert (await say(client, token, "reklam nie chcę")).status_code == 201


async def by_words_and_back(client: httpx.AsyncClient, token: Token, office: Office) -> None:
    """The new consent asks anew: the old mail is no answer to it."""
    await by_words(client, token, office)
    assert (await put(client, token)).status_code == 201


async def by_erasing_the_chat(client: httpx.AsyncClient, token: Token, _office: Office) -> None:
    assert (await client.delete("/v1/chat", headers=token)).status_code == 204


async def by_erasing_and_coming_back(client: httpx.AsyncClient, token: Token, office: Office) -> None:
    await by_erasing_the_chat(client, token, office)
    await agreed(client)


async def by_revoking(client: httpx.AsyncClient, _token: Token, office: Office) -> None:
    async with office.database.transaction() as session:
        await service._revoke(office, session, ADDRESS)


async def by_another_address(client: httpx.AsyncClient, token: Token, _office: Office) -> None:
    """Nobody agrees with this address any more."""
    assert (await say(client, token, f"mój nowy mail to {ELSE}")).json()["context"]["email"] == ELSE


async def elsewhere(client: httpx.AsyncClient, _token: Token, office: Office) -> None:
    other = await agreed(client)
    await by_words(client, other, office)


NOES = {
    "address": by_address,
    "api": by_api,
    "no contact": by_rodo,
    "words": by_words,
    "words and back": by_words_and_back,
    "erasure": by_erasing_the_chat,
    "erasure and back": by_erasing_and_coming_back,
    "revoke": by_revoking,
    "another address": by_another_address,
    "another conversation": elsewhere,
}
No = Callable[[httpx.AsyncClient, Token, Office], Awaitable[None]]


@pytest.mark.parametrize("no", NOES.values(), ids=NOES)
async def test_a_no_after_the_mail_kills_its_link(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office, no: No
) -> None:
    session, request_id, token = await waiting(client, sql, office)
    await no(client, session, office)
    refused = await confirm(client, request_id, token)
    assert (refused.status_code, refused.json()["code"]) == (404, "proof-refused")
    assert await lifted(sql) == 0
    assert await listed(sql) == 1
    row = await one(sql, "SELECT state, address FROM privacy_request WHERE id = $1", request_id)
    assert row == {"state": "expired", "address": None}


@pytest.mark.parametrize("no", NOES.values(), ids=NOES)
async def test_a_no_before_the_mail_means_no_mail(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office, no: No
) -> None:
    await unsubscribed(client, office)
    token = await agreed(client)
    await look(office)
    (request_id,) = await asked(sql)
    await no(client, token, office)
    assert await mail(office, request_id) in {"refused_since", "consent_missing", "request_closed"}
    assert await asked(sql) == []
    assert await listed(sql) == 1


@pytest.mark.parametrize("no", NOES.values(), ids=NOES)
async def test_a_no_while_the_mail_waits_its_turn_keeps_it_from_leaving(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office, no: No
) -> None:
    await unsubscribed(client, office)
    session = await agreed(client)
    await look(office)
    messages = Messages(
        database=office.database,
        engine=Engine.load(),
        keys=office.keys,
        public_base_url="https://chat.novahouse.example",
        hours=Timing().hours,
    )
    async with office.database.driver() as connection:
        (claimed,) = await queue.claim(
            connection, "email", token=uuid4(), lease=timedelta(minutes=1), limit=9, pace=None
        )
    mail = (await messages.write([claimed]))[claimed.id]
    assert isinstance(mail, PersonalMail)
    assert await messages.refusal(claimed, mail) is None
    await no(client, session, office)
    refusal = await messages.refusal(claimed, mail)
    assert refusal is not None
    assert refusal.reason in {"refused_since", "consent_missing", "request_closed"}


async def test_a_no_that_is_just_committing_is_waited_for(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    _, request_id, token = await waiting(client, sql, office)
    conversation_id = await conversation_of(sql)
    async with office.database.transaction() as session:
        await conversations.lock(session, [conversation_id])
        await answers.withdraw(
            session, office.reach, conversation_id=conversation_id, purpose=PURPOSE, surface="api", origin=None
        )
        confirming = asyncio.create_task(confirm(client, request_id, token))
        await eventually(lambda: waits_for_a_lock(sql))
    assert (await confirming).status_code == 404
    assert await listed(sql) == 1


async def test_a_no_before_anybody_looked_is_newer_than_the_consent(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    await agreed(client)
    assert (await client.post("/v1/unsubscribe", json={"email": ADDRESS})).status_code == 202
    assert await look(office) == 0, "the consent came first"
    await apply_all(office.database, office.reach)
    assert await asked(sql) == []


async def test_a_no_whose_conversations_follow_late_does_not_count_twice(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    """Unsubscribed, agreed anew elsewhere, and only then the worker lets the first conversation follow."""
    await agreed(client)
    assert (await client.post("/v1/unsubscribe", json={"email": ADDRESS})).status_code == 202
    await agreed(client)
    assert await apply_all(office.database, office.reach) == 1
    assert await look(office) == 1
    (request_id,) = await asked(sql)
    assert (await confirm(client, request_id, await mail(office, request_id))).status_code == 200
    assert await listed(sql) == 0


async def test_a_second_consent_after_a_no_is_asked_about_when_a_day_is_over(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    session, first, _ = await waiting(client, sql, office)
    await by_words_and_back(client, session, office)
    assert await look(office) == 1
    (second,) = await asked(sql)
    assert second != first
    for hours in (0, 23):
        await sql.execute(f"UPDATE privacy_request SET mailed_at = mailed_at - interval '{hours} hours'")
        assert await mail(office, second) == "too_many_mails"
    await sql.execute("UPDATE privacy_request SET mailed_at = mailed_at - interval '2 hours'")
    assert (await confirm(client, second, await mail(office, second))).status_code == 200


async def test_what_nobody_confirms_lapses_and_stays_suppressed(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    _, request_id, token = await waiting(client, sql, office)
    days = await sql.fetchval("SELECT token_until - now() FROM privacy_request")
    assert 6.9 < days.total_seconds() / 86_400 <= 7
    await sql.execute("UPDATE privacy_request SET created_at = created_at - interval '6 days'")
    assert await deadlines.keep(office.database, pagers=()) == 0
    await sql.execute("UPDATE privacy_request SET token_until = now() - interval '1 second'")
    assert await deadlines.keep(office.database, pagers=()) == 1
    assert (await confirm(client, request_id, token)).status_code == 404
    row = await one(sql, "SELECT state, address FROM privacy_request")
    assert row == {"state": "expired", "address": None}
    assert await reason(office, await conversation_of(sql)) == "suppressed"
    await sql.execute("UPDATE privacy_request SET closed_at = now() - interval '31 days'")
    kept = Retention(*(purge.PROOF_KEPT,) * 4)
    assert (await purge.purge(office.database, kept))["expired_requests"] == 1


async def test_what_could_not_be_mailed_lapses_too(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    await unsubscribed(client, office)
    await agreed(client)
    await look(office)
    await sql.execute("UPDATE privacy_request SET created_at = created_at - interval '71 hours'")
    assert await deadlines.keep(office.database, pagers=()) == 0
    await sql.execute("UPDATE privacy_request SET created_at = created_at - interval '2 hours'")
    assert await deadlines.keep(office.database, pagers=()) == 1


async def test_erasing_the_chat_takes_the_address_that_waits_with_it(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    session, _, token = await waiting(client, sql, office)
    await put(client, session, "marketing_phone")
    assert {"privacy_request", "chat_conversations"} <= holding(await dump(sql), ADDRESS)
    assert (await client.delete("/v1/chat", headers=session)).status_code == 204
    assert holding(await dump(sql), ADDRESS, token) == set()


async def test_it_is_lifted_under_the_key_that_came_after(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    await unsubscribed(client, office)
    await agreed(client)
    keys = KeyRing("the next secret", ["development-only-secret"])
    assert await opt_in.look_at_all(office.database, keys) == 1
    (request_id,) = await asked(sql)
    async with office.database.transaction() as session:
        written = await proof.write(session, keys, request_id)
    assert isinstance(written, Proof)
    reach = Reach(keys, (), hot_score=80)
    rotated = Office(office.database, keys, None, office.forget_receipts, (), reach)
    assert (await service.verify(rotated, request_id, token=written.token)).type == "opt_in"
    assert await listed(sql) == 0


async def test_nobody_asks_for_it_by_request_and_operators_see_it(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    assert (await client.post(PATH, json={"type": "opt_in", "email": ADDRESS})).status_code == 422
    await waiting(client, sql, office)
    (item,) = (await client.get(PATH, headers=OPERATOR)).json()["items"]
    assert (item["type"], item["state"]) == ("opt_in", "received")
    assert ADDRESS not in str(item)


async def test_confirmations_and_noes_at_once_leave_one_truth(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database, office: Office
) -> None:
    """Whatever comes first: after a no that came last the address is on the list, and the log says so."""
    for number in range(10):
        address = f"kanarek{number}@przyklad-testowy.pl"
        await unsubscribed(client, office, address)
        session = await agreed(client, address)
        assert await look(office) == 1
        (request_id,) = await asked(sql)
        token = await mail(office, request_id)
        no = client.post("/v1/unsubscribe", json={"email": address}) if number % 2 else by_api(client, session, office)
        confirmed, _ = await asyncio.gather(confirm(client, request_id, token), no)
        assert confirmed.status_code in {200, 404}
        await apply_all(database, office.reach)
        conversation_id = await conversation_of(sql, address)
        assert await reason(office, conversation_id, address) in {"suppressed", "consent_refused"}
        kept = await sql.fetchval("SELECT count(*) FROM suppression WHERE address_hmac = $1", office.digest(address)[1])
        assert kept or (number % 2 == 0 and confirmed.status_code == 200)
        assert await asked(sql) == []
