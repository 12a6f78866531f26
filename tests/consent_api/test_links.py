"""Unsubscribe links: looking never writes, one click ends marketing, and nobody can make one up."""

import base64
from hashlib import sha256
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from app.consent.links import Link, LinkUnknownError, list_unsubscribe_headers, make_token, read_token, unsubscribe_url
from app.core.keys import KeyRing
from app.core.settings import Settings
from tests.conftest import application
from tests.consent_api import people
from tests.consent_api.conftest import Texts

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
ONE_CLICK = b"List-Unsubscribe=One-Click"
NOTHING = {"rodo": None, "marketing_email": None, "marketing_phone": None}


async def subscriber(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, keys: KeyRing, email: str | None = people.JAN
) -> tuple[UUID, str]:
    """Somebody who agreed to marketing by e-mail; the conversation and the path of a link to it."""
    token = await people.visitor(client, email)
    assert (await people.put(client, token, texts)).status_code == 201
    conversation_id = await people.conversation(sql, token)
    return conversation_id, f"/u/{make_token(keys, Link(conversation_id, uuid4()))}"


async def test_looking_fifty_times_changes_nothing(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, keys: KeyRing
) -> None:
    conversation_id, path = await subscriber(client, sql, texts, keys)
    await people.queue_followups(sql, conversation_id)
    before = await people.everything(sql)
    for number in range(50):
        headers = BROWSER if number % 3 else {"Accept": "application/json"}
        response = await client.request("HEAD" if number % 2 else "GET", path, headers=headers)
        assert response.status_code == 200
    assert await people.everything(sql) == before
    assert await people.answer(sql, conversation_id) is True


async def test_the_page_works_without_a_script_and_is_kept_from_caches_and_robots(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, keys: KeyRing
) -> None:
    _, path = await subscriber(client, sql, texts, keys)
    polish, english = await client.get(path, headers=BROWSER), await client.get(f"{path}?lang=en", headers=BROWSER)
    assert '<form method="post"><button>Wypisz mnie</button></form>' in polish.text
    assert "Unsubscribe me" in english.text
    assert ('lang="pl"' in polish.text, "?lang=en" in polish.text, "?lang=pl" in english.text) == (True, True, True)
    assert "<script" not in polish.text
    headers = polish.headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-robots-tag"] == "noindex, nofollow"
    assert "set-cookie" not in headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'; style-src 'sha256-" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy


async def test_the_style_is_the_one_that_the_policy_allows(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, keys: KeyRing
) -> None:
    _, path = await subscriber(client, sql, texts, keys)
    page = await client.get(path)
    style = page.text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in page.headers["content-security-policy"]


async def test_the_status_says_what_was_decided_last(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, keys: KeyRing
) -> None:
    conversation_id, path = await subscriber(client, sql, texts, keys)
    status = (await client.get(path, headers={"Accept": "application/json"})).json()
    at = await sql.fetchval("SELECT decided_at FROM consent_state WHERE conversation_id = $1", conversation_id)
    assert status["consents"] == NOTHING | {"marketing_email": True}
    assert status["last_action"] == "consent.granted"
    assert status["last_action_at"][:16] == at.isoformat()[:16]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (ONE_CLICK, "application/x-www-form-urlencoded"),
        (
            b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
        (b"\x00\xff{{{", "application/json"),
        (b"--broken", "multipart/form-data"),
        (b"", "text/plain"),
    ],
    ids=["urlencoded", "multipart", "garbage", "broken multipart", "empty"],
)
async def test_one_click_ends_marketing_whatever_the_body(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, keys: KeyRing, content: bytes, kind: str
) -> None:
    conversation_id, path = await subscriber(client, sql, texts, keys)
    await people.queue_followups(sql, conversation_id, 2)
    for _ in range(3):
        response = await client.post(path, content=content, headers={"Content-Type": kind})
        assert response.status_code == 200
        assert "set-cookie" not in response.headers
        assert response.json()["consents"]["marketing_email"] is False
    assert await people.waiting(sql) == 0
    assert [event[0] for event in await people.events(sql)] == [
        "consent.granted",
        "suppression.added",
        "consent.refused",
    ]
    assert await people.chain_is_whole(sql)


async def test_a_body_without_end_is_413(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, keys: KeyRing
) -> None:
    conversation_id, path = await subscriber(client, sql, texts, keys)
    assert (await client.post(path, content=b"x" * 40_000)).status_code == 413
    assert await people.answer(sql, conversation_id) is True


async def test_browsers_get_a_page_that_says_how_to_undo(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, keys: KeyRing
) -> None:
    _, path = await subscriber(client, sql, texts, keys)
    done = await client.post(path, content=ONE_CLICK, headers=BROWSER)
    assert done.status_code == 200
    assert "Gotowe" in done.text
    assert "mailto:kontakt@novahouse.pl" in done.text
    assert "już wyłączone" in (await client.get(path, headers=BROWSER)).text


async def test_every_conversation_with_the_address_follows_and_no_other(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, keys: KeyRing
) -> None:
    first, path = await subscriber(client, sql, texts, keys)
    second, _ = await subscriber(client, sql, texts, keys)
    other, _ = await subscriber(client, sql, texts, keys, "ewa@example.com")
    for conversation_id in (first, second, other):
        await people.queue_followups(sql, conversation_id)
    await client.post(path, content=ONE_CLICK)
    assert [await people.answer(sql, who) for who in (first, second, other)] == [False, False, True]
    assert await people.waiting(sql) == 1
    assert await sql.fetchval("SELECT count(*) FROM suppression") == 1


async def test_without_an_address_the_conversation_itself_is_withdrawn(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, keys: KeyRing
) -> None:
    conversation_id, path = await subscriber(client, sql, texts, keys, None)
    assert (await client.post(path)).status_code == 200
    assert await people.answer(sql, conversation_id) is False
    assert await sql.fetchval("SELECT count(*) FROM suppression") == 0


async def test_after_an_erasure_the_link_still_answers_and_tells_nothing(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, keys: KeyRing
) -> None:
    conversation_id, path = await subscriber(client, sql, texts, keys)
    await sql.execute("DELETE FROM chat_conversations WHERE id = $1", conversation_id)
    before = await people.everything(sql)
    page = await client.get(path, headers=BROWSER)
    assert "Nie mamy już Twoich danych" in page.text
    assert "<form" not in page.text
    assert (await client.post(path, content=ONE_CLICK)).status_code == 200
    status = (await client.get(path, headers={"Accept": "application/json"})).json()
    assert status == {"consents": NOTHING, "last_action": None, "last_action_at": None}
    assert await people.everything(sql) == before


def forgeries(token: str) -> list[str]:
    """What is nearly a token."""
    version, kid, payload, mac = token.split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = last[last.index(mac[-1]) ^ 1]
    stranger = base64.urlsafe_b64encode(uuid4().bytes + b"\1" + uuid4().bytes).decode()
    return [
        "x",
        token[:-1],
        token[1:],
        token + "A",
        token + "." + mac,
        token * 50,
        f"v2.{kid}.{payload}.{mac}",
        f"{version}.00000000.{payload}.{mac}",
        f"{version}.{kid}.{stranger}.{mac}",
        f"{version}.{kid}.{payload}.{'A' * 43}",
        f"{version}.{kid}.{payload}.{mac[:-1]}{twin}",
        f"{version}.{kid}.{payload}.",
        f"{version}.{kid.upper()}x.{payload}.{mac}",
        token.replace(".", "%2E%00", 1),
        "ż" * 20,
    ]


async def test_what_we_did_not_sign_is_404_and_changes_nothing(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, keys: KeyRing
) -> None:
    _, path = await subscriber(client, sql, texts, keys)
    before = await people.everything(sql)
    foreign = KeyRing("another secret")
    signed_by_others = make_token(foreign, Link(uuid4(), uuid4()))
    for token in [*forgeries(path.removeprefix("/u/")), signed_by_others]:
        for method in ("GET", "HEAD", "POST"):
            response = await client.request(method, f"/u/{token}", headers={"Accept": "application/json"})
            assert response.status_code == 404, (method, token)
        page = await client.get(f"/u/{token}", headers=BROWSER)
        assert (page.status_code, "niepełny" in page.text) == (404, True)
    assert await people.everything(sql) == before


def test_a_token_says_what_was_signed_and_nothing_personal() -> None:
    keys, link = KeyRing("secret"), Link(uuid4(), uuid4())
    token = make_token(keys, link)
    assert read_token(keys, token) == link
    assert make_token(keys, link) == token
    assert len(token) == 100
    for forged in forgeries(token):
        with pytest.raises(LinkUnknownError):
            read_token(keys, forged)


def test_mails_carry_the_link_as_the_standards_ask() -> None:
    keys, conversation_id = KeyRing("secret"), uuid4()
    url = unsubscribe_url("https://chat.example", keys, conversation_id=conversation_id, message_id=uuid4())
    assert url.startswith("https://chat.example/u/v1.")
    assert list_unsubscribe_headers(url) == {
        "List-Unsubscribe": f"<{url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


async def test_a_link_outlives_the_secret_that_signed_it(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, keys: KeyRing, settings: Settings
) -> None:
    conversation_id, path = await subscriber(client, sql, texts, keys)
    rotated = settings.model_copy(
        update={"secret_key": SecretStr("new"), "secret_keys_retired": (SecretStr("development-only-secret"),)}
    )
    lost = settings.model_copy(update={"secret_key": SecretStr("new")})
    for used, status in ((lost, 404), (rotated, 200)):
        app = application(used)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as http,
        ):
            assert (await http.post(path)).status_code == status
    assert await people.answer(sql, conversation_id) is False
