"""`novahouse privacy`: what it prints, what it changes, how it ends."""

import json
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.alerts.test_cli import Ended, novahouse
from tests.privacy.people import ADDRESS, WORDS, captured, conversation_of, dump, holding, is_there, one
from tests.privacy.test_purge import chats
from tests.privacy.test_requests import ask


@pytest.fixture
def environment(database_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "ERASURE_LEDGER": str(tmp_path / "ledger")}


async def privacy(environment: dict[str, str], *arguments: str) -> Ended:
    return await novahouse("privacy", *arguments, environment=environment)


async def test_erase_by_address_and_by_conversation(
    client: httpx.AsyncClient, sql: asyncpg.Connection, environment: dict[str, str]
) -> None:
    await captured(client)
    ended = await privacy(environment, "erase", "--email", ADDRESS.upper(), "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["chat_conversations"] == 1
    assert holding(await dump(sql), *WORDS) == set()
    action = await one(sql, "SELECT action, target, count FROM operator_action")
    assert action == {
        "action": "privacy.erase",
        "target": str(await sql.fetchval("SELECT id FROM erasure")),
        "count": 1,
    }
    await captured(client)
    conversation_id = str(await conversation_of(sql))
    ended = await privacy(environment, "erase", "--conversation", conversation_id)
    assert ended.code == 0, ended.err
    assert "chat_messages" in ended.out
    assert holding(await dump(sql), conversation_id) == {"consent_audit_log", "erasure"}


@pytest.mark.parametrize(
    "arguments", [(), ("--email", ADDRESS, "--conversation", "8f14e45f-ceea-167a-5a36-dedd4bea2543")]
)
async def test_erase_wants_one_of_two(environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    ended = await privacy(environment, "erase", *arguments)
    assert (ended.code, ended.err) == (1, "novahouse privacy erase: give either --email or --conversation\n")


async def test_an_erasure_that_leaves_something_ends_with_one_line(
    client: httpx.AsyncClient, sql: asyncpg.Connection, environment: dict[str, str]
) -> None:
    await captured(client)
    await sql.execute(
        "INSERT INTO operator_action (id, actor, action, target) VALUES (gen_random_uuid(), $1, 'b', 'c')", ADDRESS
    )
    ended = await privacy(environment, "erase", "--email", ADDRESS)
    assert ended.code == 1
    assert "could not be completed" in ended.err.splitlines()[-1]
    assert ADDRESS not in ended.err
    assert await is_there(sql)


async def test_list_shows_clocks_and_no_address(client: httpx.AsyncClient, environment: dict[str, str]) -> None:
    assert (await privacy(environment, "list")).out == "No requests.\n"
    request_id = await ask(client)
    ended = await privacy(environment, "list")
    assert str(request_id) in ended.out
    assert "DAYS LEFT" in ended.out
    ended = await privacy(environment, "list", "--json", "--state", "received")
    (item,) = json.loads(ended.out)["items"]
    assert (item["id"], item["type"]) == (str(request_id), "access")
    assert ADDRESS not in ended.out


async def test_purge_counts_first_and_deletes_then(sql: asyncpg.Connection, environment: dict[str, str]) -> None:
    await chats(sql, 3, quiet_days=91)
    ended = await privacy(environment, "purge", "--dry-run")
    assert ended.code == 0, ended.err
    assert "Nothing was changed" in ended.out
    assert await sql.fetchval("SELECT count(*) FROM chat_conversations") == 3
    ended = await privacy(environment, "purge", "--json")
    assert json.loads(ended.out)["chats"] == 9
    assert await sql.fetchval("SELECT count(*) FROM chat_conversations") == 0


async def test_replay_says_when_there_is_nothing_and_when_nothing_can_be_known(environment: dict[str, str]) -> None:
    ended = await privacy(environment, "replay-erasures")
    assert (ended.code, ended.out) == (0, "Nothing to replay.\n")
    ended = await privacy(environment | {"ERASURE_LEDGER": ""}, "replay-erasures")
    assert ended.code == 1
    assert "ERASURE_LEDGER" in ended.err
    Path(environment["ERASURE_LEDGER"]).write_text("{}\n")  # noqa: ASYNC240  a file of one line
    ended = await privacy(environment, "replay-erasures")
    assert (ended.code, "line 1" in ended.err, "Traceback" in ended.err) == (1, True, False)
