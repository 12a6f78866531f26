"""Consent in the chat's own words gives the same record as the API, and ends the same that waits."""

import asyncpg
import httpx
import pytest

from tests.consent_api import people
from tests.consent_api.conftest import Texts
from tests.talk import ENQUIRY, open_session, say

MAIL, PHONE = ("consent.refused", "marketing_email", "chat"), ("consent.refused", "marketing_phone", "chat")


@pytest.mark.parametrize(
    ("locale", "words", "expected"),
    [
        ("pl", "reklam nie chcę", [MAIL, PHONE]),
        ("pl", "cofam zgodę na marketing", [MAIL, PHONE]),
        ("pl", "proszę mnie wypisać z newslettera", [MAIL]),
        ("pl", "proszę nie przysyłać mi ofert handlowych", [MAIL, PHONE]),
        ("en", "I withdraw my consent to marketing", [MAIL, PHONE]),
        ("en", "please unsubscribe me from the newsletter", [MAIL]),
        ("en", "stop sending me emails", [MAIL]),
    ],
)
async def test_no_in_words_is_recorded_and_ends_what_waits(
    client: httpx.AsyncClient,
    sql: asyncpg.Connection,
    texts: Texts,
    locale: str,
    words: str,
    expected: list[tuple[str, str, str]],
) -> None:
    token = await people.visitor(client, locale=locale)
    await people.put(client, token, texts, locale=locale)
    conversation_id = await people.conversation(sql, token)
    await people.queue_followups(sql, conversation_id, 3)
    said = await say(client, token, words)
    assert said.json()["context"]["consent_marketing"] is False
    assert (await people.events(sql))[1:] == expected
    assert await people.answer(sql, conversation_id) is False
    assert await people.waiting(sql) == 0
    (item,) = [
        item
        for item in (await client.get("/v1/consent", headers=token)).json()["items"]
        if item["purpose"] == "marketing_email"
    ]
    assert (item["decision"], item["text_version"]) == ("refused", None)


@pytest.mark.parametrize(
    ("locale", "words"), [("pl", "tak, zgadzam się na kontakt"), ("en", "yes, I agree to be contacted")]
)
async def test_yes_in_words_is_the_answer_that_the_api_replays(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, locale: str, words: str
) -> None:
    token = await open_session(client, locale)
    await say(client, token, ENQUIRY if locale == "pl" else "52 m2, Premium, please call me at 691 222 333")
    said = await say(client, token, words)
    assert said.json()["context"]["consent_contact"] is True
    assert await people.waiting(sql, "lead.captured") == 2
    assert (await people.put(client, token, texts, "rodo", locale=locale)).status_code == 200
    assert await people.events(sql) == [("consent.granted", "rodo", "chat")]
