"""`novahouse followups`, as a process."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import httpx
import pytest

from app.core import clock
from tests.alerts import rows
from tests.alerts.test_cli import ME, novahouse
from tests.followups.people import NOON
from tests.followups_api.people import visitor, write

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def environment(database_url: str, redis_url: str) -> dict[str, str]:
    """The database of the test, and a mail server that is not there."""
    mail = {"SMTP_URL": "smtp://127.0.0.1:9", "MAIL_FROM": "x@novahouse.pl"}
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url, **mail}


async def test_a_follow_up_is_previewed_sent_listed_and_taken_back(
    client: httpx.AsyncClient, sql: asyncpg.Connection, environment: dict[str, str]
) -> None:
    conversation_id, _ = await visitor(client, email="jan@example.com")
    assert (await novahouse("followups", "list", environment=environment)).out == "No follow-ups.\n"
    assert (await novahouse("followups", "due", environment=environment)).out == "Nothing is due.\n"
    preview = await novahouse("followups", "preview", conversation_id, "1", environment=environment)
    sent = await novahouse("followups", "send", conversation_id, "1", environment=environment)
    again = await novahouse("followups", "send", conversation_id, "1", "--json", environment=environment)
    assert "pending" in sent.out, sent.err
    assert await sql.fetchval("SELECT message FROM followup_event") == preview.out.removesuffix("\n")
    followup_id = json.loads(again.out)["id"]
    listed = await novahouse("followups", "list", "--state", "pending", "--json", environment=environment)
    assert [item["id"] for item in json.loads(listed.out)["items"]] == [followup_id]
    gone = await novahouse("followups", "cancel", followup_id, "--reason", "Zadzwonione", environment=environment)
    assert "cancelled" in gone.out, gone.err
    assert [entry[:4] for entry in await rows.actions(sql)] == [
        (ME, "followup.write", followup_id, None),
        (ME, "followup.cancel", followup_id, "Zadzwonione"),
    ]


async def test_the_list_and_a_follow_up_show_what_an_operator_needs(
    client: httpx.AsyncClient, sql: asyncpg.Connection, environment: dict[str, str]
) -> None:
    conversation_id, _ = await visitor(client, email="jan@example.com")
    sent = await novahouse("followups", "send", conversation_id, "2", "--message", "Termin?", environment=environment)
    followup_id = str(await sql.fetchval("SELECT id FROM followup_event"))
    shown = dict(line.split(None, 1) for line in sent.out.splitlines())
    assert re.fullmatch(r"\d+ s ago", shown.pop("written"))
    assert shown == {
        "follow-up": followup_id,
        "conversation": conversation_id,
        "number": "2",
        "state": "pending",
        "reason": "-",
        "author": ME,
    }
    again = await novahouse("followups", "send", conversation_id, "2", environment=environment)
    assert again.out.endswith("\nIt was there already: nothing was changed.\n")
    gone = await novahouse(
        "followups", "cancel", followup_id, "--reason", "Zadzwonione", "--json", environment=environment
    )
    assert (json.loads(gone.out)["state"], json.loads(gone.out)["reason"]) == ("cancelled", "Zadzwonione")
    await novahouse("followups", "send", conversation_id, "3", environment=environment)
    await sql.execute("UPDATE followup_event SET created_at = created_at - followup_number * interval '1 hour'")
    listed = (await novahouse("followups", "list", environment=environment)).out.splitlines()
    assert listed[0].split() == ["ID", "AGE", "NO", "STATE", "REASON"]
    assert [line.split()[1:] for line in listed[1:]] == [
        ["2", "h", "2", "cancelled", "Zadzwonione"],
        ["3", "h", "3", "pending", "-"],
    ]
    assert listed[1].startswith(followup_id)
    few = (await novahouse("followups", "list", "--limit", "1", environment=environment)).out.splitlines()
    assert (len(few), few[-1]) == (3, "... and more: --limit 10")


async def test_what_is_due_is_listed_with_its_time(
    client: httpx.AsyncClient, sql: asyncpg.Connection, environment: dict[str, str], tmp_path: Path
) -> None:
    conversation_id, _ = await visitor(client, email="jan@example.com")
    await sql.execute("UPDATE chat_conversations SET last_message_at = $1", NOON - timedelta(hours=26))
    ahead = tmp_path / "ahead"
    ahead.write_text(str((NOON - clock.now()) // timedelta(microseconds=1)))
    through = ("tests.simulation.clocked", str(ahead))
    shown = await novahouse("followups", "due", environment=environment, through=through)
    assert [line.split() for line in shown.out.splitlines()] == [
        ["CONVERSATION", "NO", "DUE", "FOR"],
        [conversation_id, "1", "2", "h"],
    ]
    told = await novahouse("followups", "due", "--json", environment=environment, through=through)
    [item] = json.loads(told.out)["items"]
    assert (item["conversation_id"], item["followup_number"]) == (conversation_id, 1)
    assert datetime.fromisoformat(item["due_at"]) == NOON - timedelta(hours=2)
    preview = await novahouse("followups", "preview", conversation_id, "1", "--json", environment=environment)
    assert "52" in json.loads(preview.out)["text"]


async def test_what_cannot_be_done_is_one_line(client: httpx.AsyncClient, environment: dict[str, str]) -> None:
    silent, _ = await visitor(client, agrees=False)
    agreeing, _ = await visitor(client)
    await write(client, agreeing, message="raz")
    for arguments, said in (
        (("send", NOBODY, "1"), "There is no such conversation"),
        (("send", silent, "1"), "has not agreed"),
        (("send", agreeing, "1", "--message", "dwa"), "another message"),
        (("preview", NOBODY, "1"), "There is no such conversation"),
        (("cancel", NOBODY, "--reason", "a"), "There is no such follow-up"),
    ):
        ended = await novahouse("followups", *arguments, environment=environment)
        assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1), ended
        assert said in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("send", "x", "1"),
        ("send", NOBODY, "0"),
        ("send", NOBODY, "101"),
        ("send", NOBODY, "1", "--message", " "),
        ("cancel", NOBODY),
        ("list", "--state", "gone"),
    ],
)
async def test_what_makes_no_sense_is_a_usage_error(environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    assert (await novahouse("followups", *arguments, environment=environment)).code == 2
