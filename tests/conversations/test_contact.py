"""The contact form: all or nothing, each consent by itself, and the chat knows what it gave."""

import asyncio
from collections.abc import Mapping
from typing import Any

import asyncpg
import httpx
import pytest

from app.conversations import turns
from app.privacy.repository import holdings
from tests.talk import CONSENT, open_session, say, spoken

PATH = "/v1/chat/contact"
ANNA = {"name": "Anna Nowak", "phone": "691 222 333", "email": "ANNA@Example.com"}

Texts = Mapping[str, Mapping[str, Any]]


@pytest.fixture
async def texts(client: httpx.AsyncClient) -> Texts:
    """The published Polish texts by purpose."""
    items = (await client.get("/v1/consent/texts")).json()["items"]
    return {item["purpose"]: item for item in items if item["locale"] == "pl"}


def consent(texts: Texts, purpose: str = "rodo", decision: str = "granted", **more: Any) -> dict[str, Any]:
    text = texts[purpose]
    given = {"purpose": purpose, "decision": decision, "text_version": text["version"], "sha256": text["sha256"]}
    return given | more


async def submit(client: httpx.AsyncClient, token: dict[str, str], **body: Any) -> httpx.Response:
    return await client.post(PATH, json=body, headers=token)


async def test_the_form_makes_the_lead_and_the_consent_in_one_step(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts
) -> None:
    token = await open_session(client)
    await say(client, token, "Mam 52 m2 w Warszawie, pakiet Premium")
    response = await submit(client, token, **ANNA, consents=[consent(texts)])
    assert response.status_code == 201, response.text
    body = response.json()
    assert body["state"] == "open"
    context = body["context"]
    assert (context["name"], context["phone"], context["email"]) == ("Anna Nowak", "+48691222333", "anna@example.com")
    assert (context["area_m2"], context["consent_contact"], context["consent_marketing"]) == (52, True, None)
    lead = await sql.fetchrow("SELECT name, phone, email, package, rodo_consent, marketing_consent FROM leads")
    assert tuple(lead or ()) == ("Anna Nowak", "+48691222333", "anna@example.com", "premium", True, None)
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert WHERE event = 'lead.captured'") == 2
    audit = await sql.fetch("SELECT event, purpose, surface, text_sha256 FROM consent_audit_log")
    assert [tuple(row) for row in audit] == [("consent.granted", "rodo", "api", texts["rodo"]["sha256"])]
    assert await sql.fetchval("SELECT count(*) FROM consent_evidence") == 1


async def test_the_same_again_changes_nothing(client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts) -> None:
    token = await open_session(client)
    form = ANNA | {"consents": [consent(texts), consent(texts, "marketing_email", "refused")]}
    first = await submit(client, token, **form)
    rows = "SELECT (SELECT count(*) FROM consent_audit_log), (SELECT max(updated_at) FROM leads)"
    before = tuple(await sql.fetchrow(rows) or ())
    again = await submit(client, token, **form)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    assert tuple(await sql.fetchrow(rows) or ()) == before
    answers = [form["consents"][0], consent(texts, "marketing_email")]
    changed = await submit(client, token, **(form | {"consents": answers}))
    assert (changed.status_code, changed.json()["context"]["consent_marketing"]) == (201, True)


async def test_what_was_not_asked_is_not_answered(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts
) -> None:
    token = await open_session(client)
    context = (await submit(client, token, phone="691222333")).json()["context"]
    assert (context["consent_contact"], context["consent_marketing"]) == (None, None)
    assert await sql.fetchval("SELECT count(*) FROM consent_state") == 0
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert") == 0
    context = (await submit(client, token, phone="691222333", consents=[consent(texts, "marketing_phone")])).json()
    granted = await sql.fetch("SELECT purpose FROM consent_state WHERE granted")
    assert [row["purpose"] for row in granted] == ["marketing_phone"]
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert") == 0


@pytest.mark.parametrize("wrong", [{"sha256": "0" * 64}, {"text_version": 99}])
async def test_a_text_that_is_not_the_current_one_stores_nothing_at_all(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, wrong: dict[str, Any]
) -> None:
    token = await open_session(client)
    stale = [consent(texts), consent(texts, "marketing_email", **wrong)]
    response = await submit(client, token, **ANNA, consents=stale)
    assert (response.status_code, response.json()["code"]) == (409, "consent-text-stale")
    assert await sql.fetchval("SELECT phone FROM chat_conversations") is None
    for table in ("leads", "consent_state", "consent_audit_log", "outbound_alert"):
        assert await sql.fetchval(f"SELECT count(*) FROM {table}") == 0, table


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"name": "Anna"}, ""),
        ({"phone": None, "email": None}, ""),
        ({"phone": "691 222 33"}, "/phone"),
        ({"phone": "telefon 691 222 333"}, "/phone"),
        ({"phone": 691222333}, "/phone"),
        ({"phone": ""}, "/phone"),
        ({"phone": "1" * 41}, "/phone"),
        ({"email": "anna"}, "/email"),
        ({"email": "anna@"}, "/email"),
        ({"email": "a\x00@x.pl"}, "/email"),
        ({"email": "a" * 300 + "@x.pl"}, "/email"),
        ({"phone": "691222333", "name": "123"}, "/name"),
        ({"phone": "691222333", "name": "Anna\nNowak"}, "/name"),
        ({"phone": "691222333", "name": "A" * 81}, "/name"),
        ({"phone": "691222333", "score": 100}, ""),
        ({"phone": "691222333", "consents": {}}, "/consents"),
        ({"phone": "691222333", "consents": [{"purpose": "rodo"}]}, "/consents/0/decision"),
        ({"phone": "691222333", "consents": [{"purpose": "all"}]}, "/consents/0/purpose"),
    ],
)
async def test_what_is_wrong_is_pointed_at_and_not_repeated(
    client: httpx.AsyncClient, sql: asyncpg.Connection, body: dict[str, Any], pointer: str
) -> None:
    token = await open_session(client)
    response = await submit(client, token, **body)
    assert (response.status_code, response.json()["code"]) == (422, "validation-failed")
    assert pointer in [error["pointer"] for error in response.json()["errors"]]
    assert await sql.fetchval("SELECT count(*) FROM leads") == 0


async def test_a_purpose_is_answered_once(client: httpx.AsyncClient, texts: Texts) -> None:
    token = await open_session(client)
    twice = [consent(texts), consent(texts, "rodo", "refused")]
    response = await submit(client, token, phone="691222333", consents=twice)
    assert [error["pointer"] for error in response.json()["errors"]] == ["/consents"]


async def test_strangers_leave_nothing(client: httpx.AsyncClient) -> None:
    assert (await submit(client, {}, phone="691222333")).status_code == 401
    assert (await submit(client, {"Authorization": "Bearer x"}, phone="691222333")).status_code == 401


async def test_the_last_value_wins_and_what_is_absent_stays(client: httpx.AsyncClient) -> None:
    token = await open_session(client)
    await say(client, token, "Nazywam się Jan, mój numer to 600 700 800")
    context = (await submit(client, token, email="jan@example.com", phone="+48 691 222 333")).json()["context"]
    assert (context["name"], context["phone"], context["email"]) == ("Jan", "+48691222333", "jan@example.com")
    context = (await say(client, token, "Jednak proszę dzwonić na 600 700 800")).json()["context"]
    assert (context["phone"], context["email"]) == ("+48600700800", "jan@example.com")


async def test_the_bot_does_not_ask_for_what_the_form_gave(client: httpx.AsyncClient, texts: Texts) -> None:
    plain = await open_session(client)
    asked = await say(client, plain, "Proszę o kontakt")
    assert asked.json()["replies"][-1]["data"] == {"fields": ["phone", "email"]}
    token = await open_session(client)
    await submit(client, token, **ANNA, consents=[consent(texts)])
    for text in ("Proszę o kontakt", "Chcę rozmawiać z człowiekiem", "Ile kosztuje 52 m2 w pakiecie Premium?"):
        response = await say(client, token, text)
        assert [reply["type"] for reply in response.json()["replies"] if reply["type"] == "form"] == [], text
        assert "numer" not in spoken(response)


async def test_in_the_hands_of_a_person_the_form_works_too(client: httpx.AsyncClient) -> None:
    token = await open_session(client)
    await client.post("/v1/chat/handoff", headers=token)
    response = await submit(client, token, **ANNA)
    assert (response.status_code, response.json()["state"]) == (201, "handoff")


async def test_a_turn_that_was_computed_before_the_form_overwrites_nothing(
    client: httpx.AsyncClient, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await open_session(client)
    await say(client, token, "Mój mail to jan@example.com")
    computed = asyncio.Event()
    take = turns.take

    def take_and_tell(*arguments: Any, **named: Any) -> turns.Turn:
        turn = take(*arguments, **named)
        computed.set()
        return turn

    monkeypatch.setattr(turns, "take", take_and_tell)
    async with sql.transaction():
        await sql.execute("UPDATE chat_conversations SET phone = '+48691222333', name = 'Anna', email = 'a@b.pl'")
        saying = asyncio.create_task(say(client, token, "Mam 52 m2 w Warszawie"))
        await computed.wait()
    context = (await saying).json()["context"]
    assert (context["name"], context["phone"], context["email"]) == ("Anna", "+48691222333", "a@b.pl")
    assert await sql.fetchval("SELECT phone FROM chat_conversations") == "+48691222333"


async def test_forms_and_messages_at_once_end_with_what_the_tables_agree_on(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts
) -> None:
    token = await open_session(client)
    await say(client, token, "600 700 800")
    phones = [f"69122233{number}" for number in range(4)]

    async def act(number: int) -> int:
        if number % 2:
            return (await say(client, token, CONSENT)).status_code
        answers = [consent(texts, "rodo", "granted" if number % 4 else "refused")]
        return (await submit(client, token, phone=phones[number // 2], consents=answers)).status_code

    assert set(await asyncio.gather(*(act(number) for number in range(8)))) <= {200, 201}
    same = await sql.fetchval(
        "SELECT count(*) FROM chat_conversations c JOIN leads l ON l.conversation_id = c.id "
        "JOIN consent_state s ON s.conversation_id = c.id AND purpose = 'rodo' "
        "WHERE c.phone = l.phone AND c.rodo_consent = l.rodo_consent AND s.granted = c.rodo_consent"
    )
    assert same == 1


async def test_marketing_to_a_new_address_is_looked_at(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts
) -> None:
    """The address may be on the suppression list: a worker looks, whoever agreed before."""
    token = await open_session(client)
    await submit(client, token, phone="691222333", consents=[consent(texts, "marketing_email")])
    looked = await sql.fetchval("SELECT count(*) FROM opt_in_check")
    await submit(client, token, email="inna@example.com")
    assert await sql.fetchval("SELECT count(*) FROM opt_in_check") == looked + 1


async def test_what_the_form_left_is_exported_and_erased(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts
) -> None:
    token = await open_session(client)
    await submit(client, token, **ANNA, consents=[consent(texts)])
    [held] = (await client.get("/v1/chat/export", headers=token)).json()["conversations"]
    assert (held["conversation"]["email"], held["leads"][0]["phone"]) == ("anna@example.com", "+48691222333")
    assert {holdings.NAMES["handoff"], holdings.NAMES["message_feedback"]} <= held.keys()
    assert (await client.delete("/v1/chat", headers=token)).status_code == 204
    assert await sql.fetchval("SELECT count(*) FROM leads") == 0
