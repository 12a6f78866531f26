"""A person takes a conversation over: the bot is silent, people are told, rights wait for nobody."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from app.alerts.repository import queue
from app.conversations import turns
from app.conversations.service import MAX_SEQ, Chat
from app.core import clock
from app.core.db import Database
from app.core.keys import KeyRing
from app.core.settings import Settings
from app.engine.engine import Engine
from app.followups import schedule
from app.followups.calendar import Hours
from app.followups.service import Followups
from tests.alerts import rows
from tests.alerts.test_cli import ME, novahouse
from tests.conftest import OPERATOR
from tests.delivery.receiver import Receiver
from tests.followups.people import NOON
from tests.followups_api.people import decide
from tests.processes import eventually, worker
from tests.talk import CONSENT, ENQUIRY, capture_lead, open_session, say, spoken
from worker.channels.base import HandoffAlert
from worker.messages import Messages

PATH = "/v1/chat/handoff"
DESK = "/v1/conversations"
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A Slack that takes everything until it is told otherwise."""
    remote = Receiver()
    async with remote.listening():
        yield remote


@pytest.fixture
def environment(database_url: str, redis_url: str, receiver: Receiver) -> dict[str, str]:
    """A worker that knows Slack and monday.com and sends one message at a time."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SLACK_WEBHOOK_URL": receiver.url("slack"),
        "ALERT_SWEEP_SECONDS": "0.2",
        "ALERT_CONCURRENCY": "1",
    }


async def hand_over(client: httpx.AsyncClient, token: dict[str, str], **body: str) -> httpx.Response:
    return await client.post(PATH, json=body, headers=token)


async def answer(client: httpx.AsyncClient, conversation_id: object, text: str, key: str = "") -> httpx.Response:
    headers = OPERATOR | ({"Idempotency-Key": key} if key else {})
    return await client.post(f"{DESK}/{conversation_id}/messages", json={"text": text}, headers=headers)


async def release(client: httpx.AsyncClient, conversation_id: object) -> httpx.Response:
    return await client.post(f"{DESK}/{conversation_id}/release", headers=OPERATOR)


async def the_conversation(sql: asyncpg.Connection) -> UUID:
    found: UUID = await sql.fetchval("SELECT id FROM chat_conversations")
    return found


async def alerts(sql: asyncpg.Connection) -> list[tuple[str, str]]:
    found = await sql.fetch(
        "SELECT channel, state FROM outbound_alert WHERE event = 'handoff.requested' ORDER BY created_at"
    )
    return [(row["channel"], row["state"]) for row in found]


async def test_a_handoff_is_made_once_and_told_once(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    first = await hand_over(client, token, reason="Chcę omówić umowę")
    again = await hand_over(client, token, reason="Halo?")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json() | {"replies": []}
    assert first.json()["state"] == "handoff"
    said = (await client.get("/v1/chat/messages", headers=token)).json()["items"]
    assert [(item["seq"], item["role"]) for item in said] == [(1, "bot"), (2, "visitor"), (3, "bot")]
    assert said[1]["text"] == "Chcę omówić umowę"
    assert first.json()["replies"] == said[2:]
    assert said[2]["text"] == first.json()["text"]
    assert await alerts(sql) == [("slack", "pending")]
    assert await sql.fetchval("SELECT subject_id FROM outbound_alert") == await sql.fetchval("SELECT id FROM handoff")


async def test_a_handoff_needs_no_body_and_takes_no_nonsense(client: httpx.AsyncClient) -> None:
    token = await open_session(client)
    for body in ({"reason": " "}, {"reason": 5}, {"reason": "a" * 2001}, {"reason": "\x00"}, {"why": "x"}):
        assert (await client.post(PATH, json=body, headers=token)).status_code == 422, body
    assert (await client.post(PATH, headers={"Authorization": "Bearer x"})).status_code == 401
    assert (await client.post(PATH, headers=token)).status_code == 201


@pytest.mark.parametrize(
    ("now", "is_open", "back_at", "said"),
    [
        ("2026-11-24T11:00+01:00", True, None, "Zespół pracuje teraz"),
        ("2026-11-24T07:00+01:00", False, "2026-11-24T09:00:00+01:00", "dziś od 9:00"),
        ("2026-11-22T12:00+01:00", False, "2026-11-23T09:00:00+01:00", "w poniedziałek od 9:00"),
        ("2026-10-24T20:00+02:00", False, "2026-10-26T09:00:00+01:00", "w poniedziałek od 9:00"),
    ],
)
def test_outside_the_hours_it_says_when_people_are_back(
    now: str, is_open: bool, back_at: str | None, said: str
) -> None:
    """The last one: over the night in which the clocks change."""
    words = Engine.load().handoff(locale="pl", now=datetime.fromisoformat(now).astimezone(UTC))
    assert words.is_open == is_open
    assert (words.back_at.isoformat() if words.back_at else None) == back_at
    assert said in words.text
    assert words.hours in words.text


async def test_the_answer_holds_the_hours_of_now(client: httpx.AsyncClient, app_chat: Chat) -> None:
    token = await open_session(client, "en")
    body = (await hand_over(client, token)).json()
    words = app_chat.engine.handoff(locale="en", now=clock.now())
    assert (body["people_are_there"], body["text"]) == (words.is_open, words.text)
    assert (datetime.fromisoformat(body["back_at"]) if body["back_at"] else None) == words.back_at


@pytest.fixture
def app_chat(settings: Settings) -> Chat:
    """What the service answers with, without its database."""
    return Chat(database=None, engine=Engine.load(), texts=None, reach=None)  # type: ignore[arg-type]


async def test_the_bot_is_silent_and_reads_along(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    await hand_over(client, token)
    response = await say(client, token, ENQUIRY, client_message_id="a")
    body = response.json()
    assert (response.status_code, body["replies"], body["state"]) == (201, [], "handoff")
    assert (body["context"]["area_m2"], body["context"]["phone"]) == (52, "+48691222333")
    assert await sql.fetchval("SELECT phone FROM leads") == "+48691222333"
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert WHERE event = 'lead.captured'") == 0
    assert (await say(client, token, ENQUIRY, client_message_id="a")).json() == body


@pytest.mark.parametrize(
    ("text", "granted"),
    [
        (CONSENT, True),
        ("Nie wyrażam zgody na kontakt", False),
        ("Cofam zgodę na kontakt", False),
    ],
)
async def test_a_decision_is_taken_and_confirmed_all_the_same(
    client: httpx.AsyncClient, sql: asyncpg.Connection, text: str, granted: bool
) -> None:
    token = await open_session(client)
    await say(client, token, ENQUIRY)
    await hand_over(client, token)
    body = (await say(client, token, text)).json()
    assert len(body["replies"]) == 1
    assert body["context"]["consent_contact"] is granted
    assert await sql.fetchval("SELECT granted FROM consent_state WHERE purpose = 'rodo'") is granted


@pytest.mark.parametrize("text", ["Proszę usunąć wszystkie moje dane", "Jakie dane o mnie macie?"])
async def test_a_right_does_not_wait_for_a_person(client: httpx.AsyncClient, text: str) -> None:
    token = await open_session(client)
    before = spoken(await say(client, token, text))
    await hand_over(client, token)
    assert spoken(await say(client, token, text)) == before


async def test_a_yes_to_a_person_is_no_consent(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    """The bot had asked for consent; then a person asked something else."""
    token = await open_session(client)
    await say(client, token, ENQUIRY)
    await hand_over(client, token)
    conversation_id = await the_conversation(sql)
    await answer(client, conversation_id, "Pasuje Panu wtorek?")
    assert (await say(client, token, "tak")).json()["context"]["consent_contact"] is None
    await answer(client, conversation_id, "To do wtorku?")
    await release(client, conversation_id)
    assert (await say(client, token, "tak")).json()["context"]["consent_contact"] is None
    assert await sql.fetchval("SELECT count(*) FROM consent_state") == 0


async def test_a_number_said_to_a_person_is_no_other_area(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    await say(client, token, "Ile kosztuje 52 m2 w pakiecie Premium?")
    await hand_over(client, token)
    await answer(client, await the_conversation(sql), "Ile ma Pan lat?")
    assert (await say(client, token, "45")).json()["context"]["area_m2"] == 52


async def test_people_answer_and_give_the_conversation_back(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    await say(client, token, "Mam 52 m2 w Warszawie")
    conversation_id = await the_conversation(sql)
    assert (await answer(client, conversation_id, "Dzień dobry")).json()["code"] == "not-handed-off"
    await hand_over(client, token)
    listed = await client.get(DESK, params={"state": "handoff"}, headers=OPERATOR)
    assert [item["id"] for item in listed.json()["items"]] == [str(conversation_id)]
    assert (await client.get(DESK, params={"state": "open"}, headers=OPERATOR)).json()["items"] == []

    key = str(uuid4())
    said = await answer(client, conversation_id, "Dzień dobry, tu Anna", key)
    again = await answer(client, conversation_id, "Dzień dobry, tu Anna", key)
    assert (said.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert said.json() == again.json()
    assert "Anna" not in said.text
    history = (await client.get("/v1/chat/messages", headers=token)).json()["items"]
    last = {name: history[-1][name] for name in ("id", "seq", "role", "text")}
    assert last == {"id": said.json()["id"], "seq": len(history), "role": "human", "text": "Dzień dobry, tu Anna"}
    taken = await sql.fetchrow("SELECT taken_by, taken_at IS NOT NULL AS taken, released_at FROM handoff")
    assert tuple(taken or ()) == ("key:admin", True, None)

    first, second = await release(client, conversation_id), await release(client, conversation_id)
    assert first.json() == second.json() == {"conversation_id": str(conversation_id), "state": "open"}
    assert (await answer(client, conversation_id, "Jeszcze coś")).status_code == 409
    response = await say(client, token, "A ile to kosztuje w Premium?")
    assert "103 948" in spoken(response)
    assert response.json()["state"] == "open"
    actions = [(action, target) for _, action, target, *_ in await rows.actions(sql)]
    handoff_id = str(await sql.fetchval("SELECT id FROM handoff"))
    assert actions == [("conversation.reply", said.json()["id"]), ("conversation.release", handoff_id)]


async def test_what_is_not_there_is_404(client: httpx.AsyncClient) -> None:
    for response in (await answer(client, NOBODY, "x"), await release(client, NOBODY)):
        assert (response.status_code, response.json()["code"]) == (404, "conversation-unknown")


async def test_a_full_conversation_takes_nothing_more(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    await hand_over(client, token)
    await sql.execute("UPDATE chat_conversations SET last_seq = $1", MAX_SEQ)
    conversation_id = await the_conversation(sql)
    assert (await answer(client, conversation_id, "x")).json()["code"] == "conversation-full"
    await release(client, conversation_id)
    assert (await hand_over(client, token)).json()["code"] == "conversation-full"


async def test_asked_again_after_the_release_people_are_told_again(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await open_session(client)
    for _ in range(2):
        assert (await hand_over(client, token)).status_code == 201
        await release(client, await the_conversation(sql))
    assert await alerts(sql) == [("slack", "pending")] * 2
    assert await sql.fetchval("SELECT count(*) FROM handoff WHERE released_at IS NOT NULL") == 2


async def test_words_offer_a_handoff_and_make_none(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    body = (await say(client, token, "Chcę rozmawiać z człowiekiem")).json()
    assert body["state"] == "open"
    assert body["replies"][0]["data"]["handoff"] is True
    assert await sql.fetchval("SELECT count(*) FROM handoff") == 0


async def test_many_at_once_are_one_handoff(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    answers = await asyncio.gather(*(hand_over(client, token) for _ in range(6)))
    assert sorted(response.status_code for response in answers) == [200] * 5 + [201]
    assert await alerts(sql) == [("slack", "pending")]


async def test_a_message_that_races_a_handoff_is_before_it_or_silent(
    client: httpx.AsyncClient, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The turn was computed with the bot in charge; the handoff commits before it is written.

    With contact data, because what has effects waits for a lock for longer than a second.
    """
    token = await open_session(client)
    computed = asyncio.Event()
    take = turns.take

    def take_and_race(*arguments: object, **named: object) -> turns.Turn:
        turn = take(*arguments, **named)  # type: ignore[arg-type]
        computed.set()
        return turn

    monkeypatch.setattr(turns, "take", take_and_race)
    async with sql.transaction():
        await sql.execute("SELECT FROM chat_conversations FOR UPDATE")
        saying = asyncio.create_task(say(client, token, ENQUIRY))
        await computed.wait()
        await sql.execute("UPDATE chat_conversations SET state = 'handoff'")
        await sql.execute(
            "INSERT INTO handoff (id, conversation_id) SELECT gen_random_uuid(), id FROM chat_conversations"
        )
    body = (await saying).json()
    assert (body["state"], body["replies"]) == ("handoff", [])


async def test_messages_and_handoffs_at_once_leave_no_gap(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    conversation_id = await the_conversation(sql)

    async def act(number: int) -> int:
        match number % 4:
            case 0:
                return (await hand_over(client, token)).status_code
            case 1:
                return (await release(client, conversation_id)).status_code
            case 2:
                return (await answer(client, conversation_id, f"Odpowiedź {number}")).status_code
        return (await say(client, token, f"Wiadomość {number}")).status_code

    for first in range(0, 24, 8):
        assert set(await asyncio.gather(*(act(first + number) for number in range(8)))) <= {200, 201, 409}
    seqs = [row["seq"] for row in await sql.fetch("SELECT seq FROM chat_messages ORDER BY seq")]
    assert seqs == list(range(1, len(seqs) + 1))
    assert await sql.fetchval("SELECT last_seq FROM chat_conversations") == len(seqs)
    unreleased = await sql.fetchval("SELECT count(*) FROM handoff WHERE released_at IS NULL")
    in_handoff = await sql.fetchval("SELECT state = 'handoff' FROM chat_conversations")
    assert unreleased == (1 if in_handoff else 0)


async def test_an_erasure_during_a_handoff_leaves_nothing(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await capture_lead(client)
    await hand_over(client, token, reason="Kanarek 77")
    conversation_id = await the_conversation(sql)
    key = str(uuid4())
    await answer(client, conversation_id, "Panie Kanarku 78", key)
    export = (await client.get("/v1/chat/export", headers=token)).json()["conversations"][0]
    assert "Panie Kanarku 78" in [message["text"] for message in export["messages"]]
    assert export["handoffs"][0]["taken_by"] == "key:admin"
    assert (await client.delete("/v1/chat", headers=token)).status_code == 204
    assert await sql.fetchval("SELECT count(*) FROM handoff") == 0
    assert await sql.fetchval("SELECT count(*) FROM idempotency_key") == 0
    assert [state for _, state in await alerts(sql)] == ["cancelled"]
    assert (await answer(client, conversation_id, "Panie Kanarku 78", key)).status_code == 404
    assert (await hand_over(client, token)).status_code == 401


async def test_while_a_person_answers_nothing_is_followed_up(
    client: httpx.AsyncClient, sql: asyncpg.Connection, settings: Settings, database: Database
) -> None:
    token = await open_session(client)
    await say(client, token, "Mam mieszkanie 52 m2 w Warszawie, jan@example.com")
    await decide(client, token)
    await hand_over(client, token)
    await sql.execute("UPDATE chat_conversations SET last_message_at = $1", NOON - timedelta(hours=26))
    followups = Followups.of(settings, Engine.load())
    assert await schedule.run(database, followups, now=NOON) == 0
    await release(client, await the_conversation(sql))
    await sql.execute("UPDATE chat_conversations SET last_message_at = $1", NOON - timedelta(hours=26))
    assert await schedule.run(database, followups, now=NOON) == 1


async def test_slack_hears_who_waits_only_with_consent(
    client: httpx.AsyncClient,
    sql: asyncpg.Connection,
    environment: dict[str, str],
    receiver: Receiver,
    tmp_path: Path,
) -> None:
    silent = await open_session(client, "en")
    await say(client, silent, "I am Kanarek, 600 700 800, how much is 52 m2 of Premium?")
    await hand_over(client, silent, reason="Kanarkowa sprawa")
    unnamed = await the_conversation(sql)
    async with worker(environment | {"SCHEDULER_ENABLED": "false"}, tmp_path / "worker.log"):
        await eventually(lambda: receiver.came(1))
        text = json.dumps(receiver.slack[0].body, ensure_ascii=False)
        assert str(unnamed) in text
        assert "Ktoś czeka na człowieka · en" in text
        assert "Zespół" in text
        assert not any(word in text for word in ("Kanar", "600 700", "600700", "52 m", "Premium"))
        agreeing = await open_session(client)
        await say(client, agreeing, "Nazywam się Jan, 691 222 333")
        await say(client, agreeing, CONSENT)
        await hand_over(client, agreeing, reason="Chodzi o umowę")
        await eventually(lambda: receiver.came(3))
    named = next(
        text for request in receiver.slack if "umowę" in (text := json.dumps(request.body, ensure_ascii=False))
    )
    assert "Jan" in named
    assert "+48691222333" in named


async def test_who_refuses_contact_still_gets_a_person_and_stays_unnamed(
    client: httpx.AsyncClient, sql: asyncpg.Connection, settings: Settings, database: Database
) -> None:
    """The message was written with a name and waited for its turn; the refusal came in between."""
    token = await open_session(client)
    await say(client, token, "Nazywam się Zdzisław Kanarek, 600 700 800")
    await say(client, token, CONSENT)
    await hand_over(client, token)
    messages = Messages(
        database=database, engine=Engine.load(), keys=KeyRing.of(settings), public_base_url="x", hours=Hours()
    )
    await sql.execute("DELETE FROM outbound_alert WHERE event <> 'handoff.requested'")
    async with database.driver() as connection:
        [alert] = await queue.claim(connection, "slack", token=uuid4(), lease=timedelta(minutes=1), limit=1, pace=None)
    named = (await messages.write([alert]))[alert.id]
    assert isinstance(named, HandoffAlert)
    assert named.who is not None
    assert await messages.refusal(alert, named) is None
    await say(client, token, "Cofam zgodę na kontakt")
    refusal = await messages.refusal(alert, named)
    assert refusal is not None
    assert (refusal.reason, refusal.until is not None, refusal.failed) == ("consent_changed", True, False)
    unnamed = (await messages.write([alert]))[alert.id]
    assert isinstance(unnamed, HandoffAlert)
    assert unnamed.who is None
    assert await messages.refusal(alert, unnamed) is None
    await answer(client, alert.conversation_id, "Dzień dobry")
    over = await messages.refusal(alert, unnamed)
    assert over is not None
    assert (over.reason, over.until) == ("handoff_over", None)


async def test_a_refusal_ends_no_wish_for_a_person(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await capture_lead(client)
    await hand_over(client, token)
    await say(client, token, "Cofam zgodę na kontakt")
    assert await alerts(sql) == [("slack", "pending")]
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert WHERE state = 'cancelled'") == 2


async def test_once_somebody_answered_nobody_is_told_that_somebody_waits(
    client: httpx.AsyncClient,
    sql: asyncpg.Connection,
    environment: dict[str, str],
    receiver: Receiver,
    tmp_path: Path,
) -> None:
    token = await open_session(client)
    await hand_over(client, token)
    await answer(client, await the_conversation(sql), "Dzień dobry")
    async with worker(environment | {"SCHEDULER_ENABLED": "false"}, tmp_path / "worker.log"):

        async def over() -> bool:
            return await alerts(sql) == [("slack", "cancelled")]

        await eventually(over)
    assert receiver.requests == []
    assert await sql.fetchval("SELECT last_error FROM outbound_alert") == "handoff_over"


async def test_the_command_line_does_what_the_api_does(
    client: httpx.AsyncClient, sql: asyncpg.Connection, environment: dict[str, str]
) -> None:
    assert (await novahouse("conversations", "list", environment=environment)).out == "No conversations.\n"
    token = await open_session(client)
    conversation_id = str(await the_conversation(sql))
    refused = await novahouse("conversations", "reply", conversation_id, "Dzień dobry", environment=environment)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    await hand_over(client, token)
    listed = await novahouse("conversations", "list", "--state", "handoff", environment=environment)
    assert conversation_id in listed.out
    said = await novahouse("conversations", "reply", conversation_id, "Tu Anna", environment=environment)
    assert said.out == "Said, as message 3.\n", said.err
    shown = await novahouse("conversations", "show", conversation_id, environment=environment)
    assert "Tu Anna" in shown.out
    told = await novahouse("conversations", "show", conversation_id, "--json", environment=environment)
    assert json.loads(told.out)["messages"][-1]["role"] == "human"
    gone = await novahouse("conversations", "release", conversation_id, environment=environment)
    assert gone.out == "The conversation is open.\n"
    for arguments in (("reply", conversation_id, " "), ("show", "x"), ("list", "--state", "gone")):
        assert (await novahouse("conversations", *arguments, environment=environment)).code == 2
    assert (await novahouse("conversations", "release", NOBODY, environment=environment)).code == 1
    assert [actor for actor, *_ in await rows.actions(sql)] == [ME, ME]


async def test_a_streamed_message_of_a_handed_over_conversation_is_acknowledged_and_done(
    client: httpx.AsyncClient,
) -> None:
    token = await open_session(client)
    await hand_over(client, token)
    headers = {**token, "Accept": "text/event-stream"}
    response = await client.post("/v1/chat/messages", json={"text": "Halo"}, headers=headers)
    names = [line.removeprefix("event: ") for line in response.text.splitlines() if line.startswith("event: ")]
    assert names == ["ack", "done"]
