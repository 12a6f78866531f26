"""What the assistant could not answer: noted with its turn, shown without personal data, closed by people only."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import yaml

from app.conversations import questions
from app.conversations import repository as conversations
from app.core.db import Database
from app.engine import knowledge_files
from app.engine.engine import Engine
from app.privacy.purge import purge
from tests.alerts import rows
from tests.alerts.test_cli import ME, novahouse
from tests.conftest import OPERATOR, ROOT
from tests.followups_api.test_idempotency import keyed
from tests.privacy.test_purge import KEPT
from tests.talk import ENQUIRY, open_session, say

ODD = "czy macie stojaki na rowery"
ODD_EN = "do you sell hammocks"
NOBODY = "00000000-0000-4000-8000-000000000000"
KNOWLEDGE = ROOT / "app/engine/knowledge"
Item = dict[str, Any]


@pytest.fixture
def environment(database_url: str, redis_url: str) -> dict[str, str]:
    """The database of the test."""
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url}


async def listed(client: httpx.AsyncClient, **filters: str | int) -> list[Item]:
    """The items of the list."""
    response = await client.get("/v1/questions", params=filters, headers=OPERATOR)
    assert response.status_code == 200, response.text
    items: list[Item] = response.json()["items"]
    return items


async def decide(client: httpx.AsyncClient, question: str, how: str) -> httpx.Response:
    """An operator's decision."""
    return await client.post(f"/v1/questions/{question}/{how}", headers=OPERATOR)


async def noted(sql: asyncpg.Connection) -> int:
    """How many are noted."""
    found: int = await sql.fetchval("SELECT count(*) FROM unanswered_question")
    return found


async def test_what_is_understood_is_not_noted_and_costs_nothing_more(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await open_session(client)
    for text in ("ile kosztuje Comfort za 60 m2?", "dzień dobry", "dzięki", ENQUIRY, "nie", "usuń moje dane", "🙂"):
        assert (await say(client, token, text)).status_code == 201
    assert await noted(sql) == 0
    assert "unanswered_question" not in conversations.WRITE_TURN_SQL


async def test_what_is_not_understood_is_noted_once_with_its_place_and_language(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await open_session(client)
    said = await say(client, token, ODD, client_message_id="m1")
    await say(client, token, ODD, client_message_id="m1")
    await say(client, token, ODD_EN)
    polish, english = (await listed(client))[::-1]
    assert polish == {
        "id": polish["id"],
        "conversation_id": polish["conversation_id"],
        "seq": said.json()["message"]["seq"],
        "language": "pl",
        "status": "open",
        "words": ODD,
        "asked_at": polish["asked_at"],
        "decided_at": None,
        "decided_by": None,
    }
    assert (english["language"], english["words"]) == ("en", ODD_EN)
    assert await listed(client, language="en") == [english]
    assert await listed(client, status="answered") == []
    assert await noted(sql) == 2


async def test_no_word_of_it_is_stored_twice(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    await say(client, token, ODD)
    columns = await sql.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'unanswered_question'"
    )
    assert {row[0] for row in columns}.isdisjoint({"text", "words", "message"})
    row = await sql.fetchval("SELECT q::text FROM unanswered_question q")
    assert "stojaki" not in row


async def test_of_several_at_once_each_is_noted_once(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    """One that loses the race is answered anew."""
    token = await open_session(client)
    said = await asyncio.gather(*(say(client, token, f"{ODD} {number}") for number in range(4)))
    assert {response.status_code for response in said} == {201}
    seqs = sorted(response.json()["message"]["seq"] for response in said)
    assert [row[0] for row in await sql.fetch("SELECT seq FROM unanswered_question ORDER BY seq")] == seqs


@pytest.mark.parametrize(
    ("words", "name", "shown"),
    [
        ("mój znajomy a.b@wp.pl ma stojak", None, "mój znajomy [redacted] ma stojak"),
        ("zadzwońcie 691 222 333\nw sprawie stojaka", None, "zadzwońcie [redacted] w sprawie stojaka"),
        ("u Kowalskiego, od jana KOWALSKICH", "Jan Kowalski", "u [redacted], od [redacted] [redacted]"),
        ("Anną Nowakową i u Marka", "Anna Nowak Marek", "[redacted] [redacted] i u [redacted]"),
    ],
)
def test_personal_data_is_masked(words: str, name: str | None, shown: str) -> None:
    assert questions.masked(words, name) == shown


async def test_the_list_masks_the_name_that_the_conversation_knows(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await open_session(client)
    await say(client, token, "Nazywam się Zdzisław Kanarek")
    await say(client, token, "czy stojaki na rowery Zdzisława Kanarka też zmieścicie")
    (item,) = await listed(client)
    assert item["words"] == "czy stojaki na rowery [redacted] [redacted] też zmieścicie"


async def test_the_list_is_paged_without_gaps(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    for _ in range(7):
        await say(client, await open_session(client), ODD)
    await sql.execute("UPDATE unanswered_question SET asked_at = '2026-11-26T12:00:00Z'")
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/v1/questions", params=params, headers=OPERATOR)).json()
        seen += [item["id"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert len(seen) == len(set(seen)) == 7


async def test_a_decision_is_journaled_once_and_may_be_changed(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    await say(client, await open_session(client), ODD)
    (item,) = await listed(client)
    for _ in range(2):
        response = await decide(client, item["id"], "dismiss")
        assert (response.status_code, response.json()["status"]) == (200, "dismissed")
        assert response.json()["decided_by"] == "key:admin"
    assert (await decide(client, item["id"], "answered")).json()["status"] == "answered"
    assert await listed(client) == []
    assert [entry[:3] for entry in await rows.actions(sql)] == [
        ("key:admin", "question.dismissed", item["id"]),
        ("key:admin", "question.answered", item["id"]),
    ]


async def test_a_decision_under_a_key_is_replayed(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    await say(client, await open_session(client), ODD)
    (item,) = await listed(client)
    first = await client.post(f"/v1/questions/{item['id']}/dismiss", headers=keyed())
    await decide(client, item["id"], "answered")
    again = await client.post(f"/v1/questions/{item['id']}/dismiss", headers=keyed())
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await sql.fetchval("SELECT status FROM unanswered_question") == "answered"


@pytest.mark.parametrize("how", ["dismiss", "answered"])
async def test_a_decision_on_nothing_is_404(client: httpx.AsyncClient, sql: asyncpg.Connection, how: str) -> None:
    response = await decide(client, NOBODY, how)
    assert (response.status_code, response.json()["code"]) == (404, "question-unknown")
    assert await rows.actions(sql) == []


async def test_one_chat_leaves_a_bounded_number(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    for number in range(questions.MOST_OF_ONE_CHAT + 3):
        assert (await say(client, token, f"{ODD} {number}")).status_code == 201
    assert await noted(sql) == questions.MOST_OF_ONE_CHAT


async def test_an_erasure_takes_it_along(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    await say(client, token, ODD)
    export = (await client.get("/v1/chat/export", headers=token)).json()
    assert len(export["conversations"][0]["unanswered_questions"]) == 1
    assert (await client.delete("/v1/chat", headers=token)).status_code == 204
    assert await noted(sql) == 0


async def test_decided_ones_are_purged_by_their_age_and_open_ones_with_their_chat(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    kept = KEPT
    lead = await open_session(client)
    await say(client, lead, ENQUIRY)
    for number in range(3):
        await say(client, lead, f"{ODD} {number}")
    await say(client, await open_session(client), ODD)
    await sql.execute(
        "UPDATE unanswered_question q SET status = 'dismissed', decided_at = now() - $1::interval "
        "FROM chat_messages m WHERE m.conversation_id = q.conversation_id AND m.seq = q.seq AND m.text LIKE '% 0'",
        kept.chat * 1.1,
    )
    await sql.execute(
        "UPDATE unanswered_question q SET status = 'answered', decided_at = now() - $1::interval "
        "FROM chat_messages m WHERE m.conversation_id = q.conversation_id AND m.seq = q.seq AND m.text LIKE '% 1'",
        kept.chat * 0.9,
    )
    assert (await purge(database, kept))["questions"] == 1
    assert await noted(sql) == 3
    await sql.execute(
        "UPDATE chat_conversations SET created_at = now() - $1::interval, last_message_at = now() - $1::interval",
        kept.chat * 1.1,
    )
    await purge(database, kept)
    assert {row["status"] for row in await sql.fetch("SELECT status FROM unanswered_question")} == {"answered", "open"}
    assert await noted(sql) == 2


async def test_open_ones_are_counted_for_prometheus(client: httpx.AsyncClient) -> None:
    token = await open_session(client)
    await say(client, token, ODD)
    await say(client, token, ODD_EN)
    await decide(client, (await listed(client, language="en"))[0]["id"], "dismiss")
    text = (await client.get("/metrics")).text
    assert 'questions_open{language="pl"} 1.0' in text
    assert 'questions_open{language="en"} 0.0' in text


async def test_the_command_line_lists_and_decides(
    client: httpx.AsyncClient, sql: asyncpg.Connection, environment: dict[str, str]
) -> None:
    assert (await novahouse("questions", "list", environment=environment)).out == "No questions.\n"
    await say(client, await open_session(client), ODD)
    (item,) = await listed(client)
    shown = await novahouse("questions", "list", environment=environment)
    assert (item["id"] in shown.out, ODD in shown.out) == (True, True)
    as_json = await novahouse("questions", "list", "--json", environment=environment)
    assert json.loads(as_json.out)["items"] == [item]
    done = await novahouse("questions", "dismiss", item["id"], environment=environment)
    assert "dismissed" in done.out
    changed = await novahouse("questions", "answered", item["id"], "--json", environment=environment)
    assert json.loads(changed.out)["status"] == "answered"
    assert [entry[:2] for entry in await rows.actions(sql)] == [(ME, "question.dismissed"), (ME, "question.answered")]
    unknown = await novahouse("questions", "draft", NOBODY, environment=environment)
    assert (unknown.code, "no such question" in unknown.err) == (1, True)


async def test_a_draft_is_refused_until_a_person_filled_it_and_then_a_retry_closes_the_question(
    client: httpx.AsyncClient, sql: asyncpg.Connection, environment: dict[str, str], tmp_path: Path
) -> None:
    await say(client, await open_session(client), ODD)
    await say(client, await open_session(client), "blargh florb")
    (item,) = [item for item in await listed(client) if item["words"] == ODD]
    draft = (await novahouse("questions", "draft", item["id"], environment=environment)).out
    (entry,) = yaml.safe_load(draft)
    assert (entry["phrasings"], entry["answer"]) == ({"pl": [ODD]}, {"pl": "", "en": ""})
    folder = tmp_path / "knowledge"
    shutil.copytree(KNOWLEDGE, folder)
    faq = folder / "faq.yaml"
    before = faq.read_text()
    own = environment | {"KNOWLEDGE_DIR": str(folder)}
    filled = draft.replace('pl: ""', 'pl: "Tak, mamy."').replace('en: ""', 'en: "Yes."')
    for unfinished in (draft, filled, draft.replace("TODO", "bike_racks")):
        faq.write_text(before + unfinished)
        refused = await novahouse("knowledge", "check", environment=own)
        assert refused.code == 1, unfinished
        assert "faq.yaml" in refused.err
    nothing = await novahouse("questions", "retry", "--yes", environment=environment)
    assert nothing.out == "No open question has an answer now.\n"
    faq.write_text(before + filled.replace("TODO", "bike_racks"))
    knowledge_files.load(folder)
    shown = await novahouse("questions", "retry", environment=own)
    assert (ODD in shown.out, "Tak, mamy." in shown.out, "blargh" in shown.out) == (True, True, False)
    assert "1 would be marked" in shown.out
    assert len(await listed(client)) == 2
    messages = await sql.fetchval("SELECT count(*) FROM chat_messages")
    applied = await novahouse("questions", "retry", "--yes", environment=own)
    assert "1 marked as answered." in applied.out
    assert [item["words"] for item in await listed(client)] == ["blargh florb"]
    assert await sql.fetchval("SELECT count(*) FROM chat_messages") == messages
    assert [entry[:2] for entry in await rows.actions(sql)] == [(ME, "questions.retry")]


async def test_hostile_words_make_a_draft_that_is_still_one_phrasing() -> None:
    words = 'a"]\n    answer: {pl: "zło", en: "evil"} # {firm} \\ 🙂'
    (entry,) = yaml.safe_load(questions.draft(words, "pl"))
    assert entry["phrasings"] == {"pl": [words]}
    assert entry["answer"] == {"pl": "", "en": ""}


async def test_retry_asks_all_of_them_batch_by_batch(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch, sql: asyncpg.Connection
) -> None:
    monkeypatch.setattr(questions, "RETRY_BATCH", 2)
    for _ in range(5):
        await say(client, await open_session(client), ODD)
    await sql.execute("UPDATE chat_messages SET text = 'ile kosztuje Comfort' WHERE role = 'visitor'")
    async with database.transaction() as session:
        found = await questions.answered_now(session, Engine.load())
    assert len({item.id for item in found}) == 5
