"""A follow-up in the chat: a returning visitor sees it, goes on talking, and is understood when refusing."""

import asyncpg
import httpx

from app.core.db import Database
from app.followups import service
from app.followups.service import Followups
from tests.consent_api import people
from tests.followups.people import written
from tests.talk import say, spoken


async def test_a_returning_visitor_sees_it_and_ends_it_with_the_words_it_names(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    texts = (await client.get("/v1/consent/texts")).json()["items"]
    token = await people.visitor(client)
    agreed = await people.put(client, token, {(text["purpose"], text["locale"]): text for text in texts})
    assert agreed.status_code == 201
    chat = await people.conversation(sql, token)
    async with database.transaction() as session:
        done = await service.write(session, followups, conversation_id=chat, number=1, message=None, author="schedule")
    history = (await client.get("/v1/chat/messages", headers=token)).json()["items"]
    assert [item["seq"] for item in history] == list(range(1, len(history) + 1))
    assert (history[-1]["role"], history[-1]["type"]) == ("bot", "followup")
    assert history[-1]["text"] == done.row.message
    first = await say(client, token, "Ile trwa wykończenie?", client_message_id="m1")
    assert first.status_code == 201
    assert (await say(client, token, "Ile trwa wykończenie?", client_message_id="m1")).json() == first.json()
    refused = await say(client, token, "rezygnuję z maili")
    assert refused.json()["context"]["consent_marketing"] is False, spoken(refused)
    async with database.transaction() as session:
        [row] = await service.page(session, state="cancelled", before=None, limit=5)
    assert (row.id, row.reason) == (done.row.id, "consent_refused")
    assert len(await written(sql)) == 1
