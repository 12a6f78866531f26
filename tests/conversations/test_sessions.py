"""A chat in which nobody speaks: one sentence after a while, then it is closed, and the next message opens it again."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL

import asyncpg
import httpx
import pytest

from app.conversations import sessions, sessions_repository
from app.conversations.service import MAX_SEQ
from app.conversations.sessions import Patience
from app.core import clock
from app.core.db import Database
from app.core.settings import Settings, SettingsError, read_settings
from app.devstack.postgres import EmbeddedPostgres
from tests.consent_api.people import conversation
from tests.conversations.quiet import QUESTION, USUAL, after, asked, messages, nudges, quiet_for, run, states
from tests.plans import assert_reads_by_index, filled_database, in_session, opened, plans
from tests.processes import eventually, worker
from tests.talk import CONSENT, ENQUIRY, open_session, say, spoken
from worker import jobs

WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
AT_REST = (
    "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND backend_type = 'client backend' AND state <> 'idle')"
)
NO_TIMEOUT = Patience(timedelta(minutes=15), None)
NO_NUDGE = Patience(None, timedelta(minutes=30))


async def test_a_quiet_visitor_is_nudged_once_and_nothing_else_changes(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    token = await asked(client, QUESTION)
    since = await quiet_for(sql, 16)
    (before,) = await sql.fetch("SELECT * FROM chat_conversations")
    for expected in (1, 0):
        assert await run(database) == expected
    (bubble,) = await after(client, token, before["last_seq"])
    assert (bubble["role"], bubble["type"], bubble["seq"]) == ("bot", "text", before["last_seq"] + 1)
    (now,) = await sql.fetch("SELECT * FROM chat_conversations")
    changed = {name for name in before.keys() if before[name] != now[name]}  # noqa: SIM118  asyncpg's own
    assert changed == {"last_seq", "nudged_after"}
    assert now["last_message_at"] == since
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert") == 0
    assert await sql.fetchval("SELECT count(*) FROM followup_event") == 0


async def test_who_writes_again_and_falls_quiet_again_is_nudged_again(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    token = await asked(client, QUESTION)
    for number in range(1, 4):
        await quiet_for(sql, 16)
        assert await run(database) == 1
        assert await run(database) == 0
        said = await say(client, token, QUESTION)
        assert said.status_code == 201
        assert [role for _, role in await messages(sql)].count("visitor") == number + 1
    seqs = [seq for seq, _ in await messages(sql)]
    assert seqs == list(range(1, len(seqs) + 1))


@pytest.mark.parametrize(
    ("minutes", "nudged", "closed"), [(14.9, 0, 0), (15.1, 1, 0), (29.9, 1, 0), (30.1, 0, 1), (300, 0, 1)]
)
async def test_each_comes_in_its_time(
    minutes: float, nudged: int, closed: int, client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    await asked(client, QUESTION)
    await quiet_for(sql, minutes)
    assert await run(database) == nudged + closed
    assert await nudges(sql) == nudged
    assert await states(sql) == ["closed" if closed else "open"]


@pytest.mark.parametrize(
    ("patience", "minutes", "nudged", "state"),
    [
        (NO_TIMEOUT, 40, 1, "open"),
        (NO_TIMEOUT, 76, 0, "open"),
        (NO_NUDGE, 20, 0, "open"),
        (NO_NUDGE, 31, 0, "closed"),
        (sessions.NEVER, 31, 0, "open"),
        (Patience(timedelta(minutes=15), timedelta(hours=8)), 76, 0, "open"),
    ],
)
async def test_each_may_be_off_and_a_nudge_is_never_late(
    patience: Patience,
    minutes: float,
    nudged: int,
    state: str,
    client: httpx.AsyncClient,
    sql: asyncpg.Connection,
    database: Database,
) -> None:
    await asked(client, QUESTION)
    await quiet_for(sql, minutes)
    await run(database, patience)
    assert (await nudges(sql), await states(sql)) == (nudged, [state])


@pytest.mark.parametrize(
    "but",
    [
        "UPDATE chat_conversations SET state = 'handoff'",
        "UPDATE chat_conversations SET state = 'closed'",
        "UPDATE chat_conversations SET rodo_consent = false",
        f"UPDATE chat_conversations SET last_seq = {MAX_SEQ}",
        "DELETE FROM chat_conversations",
    ],
)
async def test_who_must_not_be_nudged_is_not(
    but: str, client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    await asked(client, QUESTION)
    await quiet_for(sql, 16)
    before = len(await messages(sql))
    await sql.execute(but)
    assert await run(database) == 0
    assert len(await messages(sql)) in {0, before}


async def test_who_never_wrote_is_not_nudged_and_is_closed(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    await open_session(client)
    await quiet_for(sql, 16)
    assert await run(database) == 0
    await quiet_for(sql, 31)
    assert await run(database) == 1
    assert await states(sql) == ["closed"]


@pytest.mark.parametrize(
    "last", ["nie jestem zainteresowany", "do widzenia", "usuń moje dane", "chcę rozmawiać z człowiekiem"]
)
async def test_who_is_not_waiting_for_us_is_left_alone(
    last: str, client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    await asked(client, QUESTION, last)
    await quiet_for(sql, 16)
    assert await run(database) == 0


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ((QUESTION,), "Wystarczy metraż"),
        (("mam 52 m2", QUESTION), "Który pakiet policzyć dla 52 m²: Express"),
        (("mam 52 m2, pakiet Comfort", QUESTION), "można zostawić tu numer telefonu"),
        ((ENQUIRY, CONSENT), "Gdyby coś było niejasne"),
        ((ENQUIRY,), "Gdyby coś było niejasne"),
        (("691 222 333",), "Gdyby coś było niejasne"),
        (("oddzwońcie do mnie",), "można zostawić tu numer telefonu"),
        (("what warranty do you give?",), "The floor area is enough"),
    ],
)
async def test_it_asks_for_what_is_missing_and_for_nothing_that_is_known(
    said: tuple[str, ...], words: str, client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    token = await asked(client, *said)
    await quiet_for(sql, 16)
    last = (await messages(sql))[-1][0]
    assert await run(database) == 1
    (bubble,) = await after(client, token, last)
    assert bubble["text"].startswith(words) or words in bubble["text"]


async def test_a_question_that_was_asked_stays_asked(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    token = await asked(client, "chcę wycenę")
    await quiet_for(sql, 16)
    assert await run(database) == 1
    said = await say(client, token, "52")
    assert said.json()["context"]["area_m2"] == 52


async def test_the_consent_question_stays_asked(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    token = await asked(client, ENQUIRY)
    await quiet_for(sql, 16)
    assert await run(database) == 1
    assert (await say(client, token, "tak")).json()["context"]["consent_contact"] is True
    texts = "SELECT text_sha256 IS NOT NULL FROM consent_audit_log WHERE event = 'consent.granted'"
    assert await sql.fetchval(texts), "the text that was shown before the nudge is what the yes is to"


async def test_the_next_message_opens_a_closed_chat_with_all_its_facts(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    token = await open_session(client)
    first = await say(client, token, "mam 52 m2, pakiet Comfort", client_message_id="m1")
    await quiet_for(sql, 31)
    assert await run(database) == 1
    assert await states(sql) == ["closed"]
    history = await after(client, token, 0)
    assert [item["text"] for item in history][1:2] == ["mam 52 m2, pakiet Comfort"]
    replayed = await say(client, token, "mam 52 m2, pakiet Comfort", client_message_id="m1")
    assert (replayed.status_code, replayed.json()) == (200, first.json())
    assert await states(sql) == ["closed"], "a repetition says nothing new"
    said = await say(client, token, "ile to kosztuje?")
    assert said.json()["state"] == "open"
    assert (said.json()["context"]["area_m2"], said.json()["context"]["package"]) == (52, "comfort")
    assert "77 948" in spoken(said)
    assert await states(sql) == ["open"]
    seqs = [seq for seq, _ in await messages(sql)]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_a_closed_chat_is_opened_by_a_message_that_changes_more_than_the_chat_too(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    token = await asked(client, QUESTION)
    await quiet_for(sql, 31)
    await run(database)
    assert (await say(client, token, ENQUIRY)).json()["state"] == "open"
    assert await states(sql) == ["open"]


async def test_a_handed_over_chat_is_neither_closed_nor_opened(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    token = await asked(client, QUESTION)
    await sql.execute("UPDATE chat_conversations SET state = 'handoff'")
    await quiet_for(sql, 500)
    assert await run(database) == 0
    assert (await say(client, token, QUESTION)).json()["state"] == "handoff"


async def test_many_runs_at_once_nudge_and_close_each_once(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "BATCH", 3)
    for number in range(10):
        token = await asked(client, QUESTION)
        await quiet_for(sql, 16 if number % 2 else 31, token)
    assert sum(await asyncio.gather(*(run(database) for _ in range(4)))) + await run(database) == 10
    assert await nudges(sql) == 5
    assert sorted(await states(sql)) == ["closed"] * 5 + ["open"] * 5
    assert await run(database) == 0


async def test_a_visitor_who_writes_at_that_moment_wins_and_nothing_is_out_of_order(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    token = await asked(client, QUESTION)
    for _ in range(12):
        await quiet_for(sql, 16)
        said, nudged = await asyncio.gather(say(client, token, QUESTION), run(database))
        assert said.status_code == 201
        assert nudged in {0, 1}
    found = await messages(sql)
    assert [seq for seq, _ in found] == list(range(1, len(found) + 1))
    assert await sql.fetchval("SELECT last_seq FROM chat_conversations") == len(found)


async def test_what_was_said_since_the_look_is_not_talked_over(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    token = await asked(client, QUESTION)
    chat = await conversation(sql, token)
    message = {"type": "text", "text": "?", "quick_replies": []}
    seq = await sql.fetchval("SELECT last_seq FROM chat_conversations")
    await say(client, token, QUESTION)
    async with database.transaction() as session:
        assert not await sessions_repository.nudge(session, chat, read_seq=seq, message=message, at=clock.now())


async def test_a_chat_that_somebody_holds_is_not_waited_for(
    client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database
) -> None:
    held = await asked(client, QUESTION)
    await asked(client, QUESTION)
    for minutes, wanted in ((16, 1), (31, 1)):
        await quiet_for(sql, minutes)
        holding = sql.transaction()
        await holding.start()
        await sql.execute("SELECT FROM chat_conversations WHERE id = $1 FOR UPDATE", await conversation(sql, held))
        async with asyncio.timeout(8):
            assert await run(database) == wanted
        await holding.rollback()
        assert await run(database) == 1
    assert await states(sql) == ["closed", "closed"]


@pytest.fixture
def environment(database_url: str, redis_url: str) -> dict[str, str]:
    """A worker without channels."""
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "ALERT_SWEEP_SECONDS": "0.2"}


async def test_a_worker_that_is_killed_in_the_middle_nudges_once(
    client: httpx.AsyncClient,
    sql: asyncpg.Connection,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    chats = [await asked(client, QUESTION) for _ in range(3)]
    await quiet_for(sql, 16)
    held = sql.transaction()
    await held.start()
    await sql.execute("LOCK TABLE chat_messages IN SHARE MODE")  # which storing a message waits for
    async with worker(environment, tmp_path / "killed.log") as first:
        await eventually(lambda: sql.fetchval(WAITS))
        first.send(SIGKILL)
        await first.exit_code(seconds=60)
    await held.rollback()
    await eventually(lambda: sql.fetchval(AT_REST))
    await sql.execute("DELETE FROM scheduled_job")
    async with (
        worker(environment, tmp_path / "second.log"),
        worker(environment, tmp_path / "third.log"),
    ):

        async def all_nudged() -> bool:
            return await nudges(sql) == len(chats)

        await eventually(all_nudged)
    assert [role for _, role in await messages(sql)].count("bot") == len(chats) * 3


async def test_workers_without_a_schedule_leave_chats_alone() -> None:
    assert jobs.SESSIONS not in jobs.intervals(Settings(scheduler_enabled=False))
    assert jobs.SESSIONS not in jobs.intervals(Settings(nudge_minutes=0, session_timeout_minutes=0))
    assert jobs.intervals(Settings(nudge_minutes=0))[jobs.SESSIONS] == timedelta(minutes=1)
    assert jobs.intervals(Settings())[jobs.SESSIONS] == timedelta(minutes=1)
    assert Patience.of(Settings()) == USUAL


def test_a_nudge_after_the_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUDGE_MINUTES", "30")
    with pytest.raises(SettingsError, match="NUDGE_MINUTES must be less than SESSION_TIMEOUT_MINUTES"):
        read_settings()
    monkeypatch.setenv("SESSION_TIMEOUT_MINUTES", "0")
    assert Patience.of(read_settings()).timeout is None


_FILL = """
INSERT INTO chat_conversations (id, token_hash, locale, language, state, visitor_messages, last_seq, last_message_at)
SELECT md5(n::text)::uuid, sha256(n::text::bytea), 'pl', 'pl',
    CASE WHEN n % 400 = 0 THEN 'open' ELSE 'closed' END, 1, 1, now() - n * interval '2 min'
FROM generate_series(1, 40000) n;
INSERT INTO chat_messages (conversation_id, seq, id, role, type, text)
SELECT md5(n::text)::uuid, 1, gen_random_uuid(), 'visitor', 'text', 'x' FROM generate_series(1, 40000) n;
"""


@pytest.fixture(scope="module")
def old_url(postgres: EmbeddedPostgres) -> str:
    """A database with many chats, most of them closed long ago."""
    return filled_database(postgres, "sessions", _FILL)


@pytest.fixture
async def old(old_url: str) -> AsyncIterator[Database]:
    """The service's way into that database."""
    async with opened(old_url) as own:
        yield own


@pytest.mark.parametrize("what", ["close", "quiet", "nudge"])
async def test_what_it_costs_depends_on_the_open_chats_only(old: Database, what: str, old_url: str) -> None:
    now = clock.now()
    connection = await asyncpg.connect(old_url)
    chat = await connection.fetchval("SELECT id FROM chat_conversations WHERE state = 'open' LIMIT 1")
    await connection.close()
    message = {"type": "text", "text": "x", "quick_replies": []}
    query = {
        "close": lambda s: sessions_repository.close_quiet(s, quiet_since=now, limit=50),
        "quiet": lambda s: sessions_repository.quiet(
            s, quiet_since=now, after=(now - timedelta(days=1), chat), max_seq=MAX_SEQ, limit=50
        ),
        "nudge": lambda s: sessions_repository.nudge(s, chat, read_seq=1, message=message, at=now),
    }[what]
    statements = await in_session(old, query)
    await assert_reads_by_index(old, statements)
    if what != "nudge":
        (plan,) = await plans(old, statements, how="(FORMAT JSON)")
        assert "ix_chat_conversations_open" in json.dumps(json.loads(plan))
