"""The ledger of erasures: on the disk before the commit, signed, and replayed by conversation and by address."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest

from app.core import clock
from app.core.keys import KeyRing
from app.core.settings import Settings
from app.privacy import erasure, purge, replay
from app.privacy.erasure import Subject
from app.privacy.ledger import Entry, Ledger, LedgerBrokenError
from app.privacy.office import Office
from app.privacy.replay import Watch
from app.privacy.repository import retention, subjects
from tests.conversations.test_bad_input import problem
from tests.privacy.people import ADDRESS, SPOKEN, WORDS, captured, conversation_of, dump, holding, is_there


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "erasures.jsonl"


@pytest.fixture
def settings(settings: Settings, path: Path) -> Settings:
    return settings.model_copy(update={"erasure_ledger": str(path)})


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def write(path: Path, content: str) -> None:
    path.write_text(content)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def make_folder(path: Path) -> None:
    path.mkdir()


async def test_a_line_says_who_in_hashes_only_and_the_database_knows_it(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office, path: Path
) -> None:
    await captured(client)
    conversation_id = await conversation_of(sql)
    await erasure.erase(office, Subject(address=ADDRESS), surface="cli")
    (line,) = lines(path)
    assert not holding({"line": line}, *WORDS)
    key_id, digest = office.digest(ADDRESS)
    assert json.loads(line)["conversations"] == [str(conversation_id)]
    assert json.loads(line)["erased"] == {key_id: digest.hex()}
    assert mode(path) == 0o600
    assert not await Watch(office.database, office.ledger).behind()


async def test_one_conversation_erased_by_its_token_does_not_name_its_address_as_erased(
    client: httpx.AsyncClient, path: Path
) -> None:
    await client.delete("/v1/chat", headers=await captured(client))
    (line,) = lines(path)
    assert json.loads(line)["erased"] == {}
    assert len(json.loads(line)["suppressed"]) == 1


async def test_the_line_is_there_before_the_commit_and_is_replayed_after_a_crash(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office, path: Path
) -> None:
    await captured(client)

    class CrashError(Exception):
        pass

    async def crash() -> None:
        async with office.database.transaction() as session:
            await erasure.attempt(office, session, Subject(address=ADDRESS), surface="cli")
            raise CrashError

    with pytest.raises(CrashError):
        await crash()
    assert len(lines(path)) == 1
    assert await is_there(sql)
    watch = Watch(office.database, office.ledger)
    assert await watch.behind()
    assert await replay.replay(office) == 1
    assert holding(await dump(sql), *WORDS) == set()
    assert not await watch.behind()
    assert await replay.replay(office) == 0
    assert len(lines(path)) == 1


async def test_an_erasure_that_is_just_committing_is_waited_for(client: httpx.AsyncClient, office: Office) -> None:
    await captured(client)
    watch = Watch(office.database, office.ledger)
    async with office.database.transaction() as session:
        await erasure.attempt(office, session, Subject(address=ADDRESS), surface="cli")
        looking = asyncio.create_task(watch.behind())
        await asyncio.sleep(0.2)
        assert not looking.done()
    assert await looking is False


async def forget(sql: asyncpg.Connection) -> None:
    """What a restored backup does."""
    await sql.execute("DELETE FROM erasure; DELETE FROM suppression")


async def test_a_process_that_runs_through_a_restore_notices(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    watch = Watch(office.database, office.ledger)
    for _ in range(2):
        await erasure.erase(office, Subject(address=ADDRESS), surface="cli")
    assert not await watch.behind()
    await sql.execute("DELETE FROM erasure WHERE at = (SELECT max(at) FROM erasure)")
    assert await watch.behind()


@pytest.mark.parametrize(("days", "behind"), [(3 * 365 + 1, False), (2 * 365, True)])
async def test_an_erasure_whose_row_the_purge_has_taken_is_not_missed(
    client: httpx.AsyncClient, office: Office, path: Path, days: int, behind: bool
) -> None:
    assert office.ledger is not None
    at = clock.now() - timedelta(days=days)
    office.ledger.append(Entry(uuid4(), at, (uuid4(),), erased={}, suppressed=[]))
    assert await Watch(office.database, office.ledger).behind() is behind
    assert (await client.get("/health/ready")).status_code == (503 if behind else 200)
    assert await replay.replay(office) == behind


def test_the_purge_takes_no_erasure_that_would_be_missed() -> None:
    kept = dict.fromkeys(("chat", "lead", "evidence", "alert"), timedelta(days=1))
    (age,) = [age for rule, age in purge.Retention(**kept).rules if rule is retention.ERASURES]
    assert age > replay.COUNTED


@pytest.mark.parametrize("rotated", [False, True])
async def test_conversations_are_found_by_address_and_later_ones_stay(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office, rotated: bool
) -> None:
    await erasure.erase(office, Subject(address=ADDRESS), surface="cli")
    await forget(sql)
    await captured(client)
    older = await conversation_of(sql)
    await sql.execute("UPDATE chat_conversations SET created_at = now() - interval '1 day'")
    await captured(client)
    keys = KeyRing("the next secret", ["development-only-secret"]) if rotated else office.keys
    again = replace(office, keys=keys, ledger=Ledger(office.ledger._path, keys) if office.ledger else None)
    assert await replay.replay(again) == 1
    left = [row["id"] for row in await sql.fetch("SELECT id FROM chat_conversations")]
    assert len(left) == 1
    assert older not in left
    assert [row[0] for row in await sql.fetch("SELECT key_id FROM suppression")] == [office.keys.current]
    added = "SELECT count(*) FROM consent_audit_log WHERE event = 'suppression.added' AND surface = 'replay'"
    assert await sql.fetchval(added) == 1, "the list never grows without an entry in the log"


async def test_somebody_elses_conversation_survives_a_replay(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    await captured(client)
    await captured(client, SPOKEN.replace("kanarek", "inny"))
    await erasure.erase(office, Subject(address=ADDRESS), surface="cli")
    await forget(sql)
    assert await replay.replay(office) == 1
    assert await sql.fetchval("SELECT count(*) FROM chat_conversations") == 1


BREAK: dict[str, Callable[[str], str]] = {
    "another conversation": lambda line: line.replace('"conversations":["', '"conversations":["00000000'),
    "another time": lambda line: line.replace('"at":"20', '"at":"19'),
    "no signature": lambda line: json.dumps({**json.loads(line), "signature": ""}),
    "another key": lambda line: json.dumps({**json.loads(line), "key": "00000000"}),
    "not an object": lambda _line: "[]",
}


@pytest.mark.parametrize("how", BREAK)
async def test_a_line_that_was_changed_stops_the_replay(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office, path: Path, how: str
) -> None:
    await captured(client)
    await erasure.erase(office, Subject(address=ADDRESS), surface="cli")
    await forget(sql)
    line = lines(path)[0]
    changed = BREAK[how](line)
    assert changed != line
    write(path, changed + "\n")
    with pytest.raises(LedgerBrokenError, match="line 1"):
        await replay.replay(office)
    response = await client.get("/health/ready")
    found = problem(response, 503)
    assert (found["code"], found["postgresql"], found["redis"]) == ("erasures-to-replay", "ok", "ok")
    assert int(response.headers["Retry-After"]) > 0


async def test_a_torn_line_is_passed_over_and_the_next_begins_anew(
    client: httpx.AsyncClient, office: Office, path: Path
) -> None:
    write(path, '{"v":1,"id":"0197')
    await erasure.erase(office, Subject(address=ADDRESS), surface="cli")
    assert office.ledger is not None
    assert len(office.ledger.read()) == 1
    assert (await client.get("/health/ready")).status_code == 200


async def test_a_ledger_that_cannot_be_written_stops_the_erasure(
    client: httpx.AsyncClient, sql: asyncpg.Connection, path: Path
) -> None:
    token = await captured(client)
    make_folder(path)
    response = await client.delete("/v1/chat", headers=token)
    assert (response.status_code, response.json()["code"]) == (503, "erasure-ledger-unavailable")
    assert await is_there(sql)


async def test_two_erasures_of_one_person_at_once_do_no_harm(
    client: httpx.AsyncClient, sql: asyncpg.Connection, office: Office
) -> None:
    for _ in range(3):
        await captured(client)
    found = await asyncio.gather(*(erasure.erase(office, Subject(address=ADDRESS), surface="cli") for _ in range(3)))
    assert sorted(len(erased.conversation_ids) for erased in found) == [0, 0, 3]
    async with office.database.transaction() as session:
        assert await subjects.unknown_erasures(session, [erased.id for erased in found]) == set()
