"""The command line of operators, as a process: what it prints, what it changes, how it ends."""

import asyncio
import json
import os
import pwd
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from app.alerts.channel_schemas import ChannelOut, ChannelsOut, StatusOut
from app.alerts.schemas import DeadLetterDetailOut, DeadLetterOut
from app.cli.output import WIDTH
from app.devstack.home import Home
from tests.alerts import rows
from tests.alerts.test_dead_letters import rung
from tests.processes import ROOT, eventually, start

ME = f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
NOWHERE = "redis://127.0.0.1:9/0"

NOBODY = "00000000-0000-4000-8000-000000000000"
"""The id of no row. Fixed: parametrised tests must be the same in every process."""


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Coroutine[None, None, Ended]]


async def novahouse(
    *arguments: str, environment: Mapping[str, str], cwd: Path = ROOT, through: Sequence[str] = ()
) -> Ended:
    """Run one command with this environment and nothing else. `through`: a module that runs it, with its arguments."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = await start(
            *(*through, "app.cli", *arguments),
            environment={"PATH": os.environ["PATH"], "NOVAHOUSE_HOME": "/nonexistent", **environment},
            log=out,
            errors=err,
            cwd=cwd,
        )
        code = await process.wait()
        return Ended(code, out.read_text(), err.read_text())


@pytest.fixture
def environment(database_url: str, redis_url: str) -> dict[str, str]:
    """What an operator has set: the servers, and Slack."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SLACK_WEBHOOK_URL": "http://127.0.0.1:9/slack/services/T0/B0/X",
    }


@pytest.fixture
def cli(environment: dict[str, str]) -> Command:
    """`novahouse …` with that environment."""

    async def run(*arguments: str) -> Ended:
        return await novahouse(*arguments, environment=environment)

    return run


async def test_dead_letters_are_a_table_of_at_most_100_columns(cli: Command, sql: asyncpg.Connection) -> None:
    letter_id, _ = await rows.dead_letter(sql, channel="monday", status="pending", minutes_ago=3.2, due_in_minutes=90)
    await rows.dead_letter(sql, minutes_ago=3000)
    await sql.execute("UPDATE dead_letter_queue SET reason = repeat('r', 200) WHERE status = 'failed'")
    listed = await cli("dlq", "list")
    assert (listed.code, listed.err) == (0, "")
    header, waiting, failed = listed.out.splitlines()
    assert header.split() == ["ID", "AGE", "CHANNEL", "STATUS", "TRIES", "NEXT", "REASON"]
    assert waiting.split() == [str(letter_id), "3", "min", "monday", "pending", "6", "in", "1", "h", "http_500"]
    assert failed.endswith("r…")
    assert len(failed) == WIDTH
    assert header.index("REASON") == waiting.index("http_500")


async def test_an_empty_list_says_so(cli: Command) -> None:
    assert (await cli("dlq", "list")).out == "No dead letters.\n"
    assert json.loads((await cli("dlq", "list", "--json")).out) == {"items": []}


async def test_the_list_is_narrowed_and_limited(cli: Command, sql: asyncpg.Connection) -> None:
    old, _ = await rows.dead_letter(sql, minutes_ago=180)
    new, _ = await rows.dead_letter(sql, minutes_ago=1)
    await rows.dead_letter(sql, channel="monday", status="discarded")

    async def ids(*options: str) -> list[str]:
        listed = await cli("dlq", "list", "--json", *options)
        assert listed.code == 0, listed.err
        return [item["id"] for item in json.loads(listed.out)["items"]]

    assert await ids("--channel", "slack") == [str(new), str(old)]
    assert await ids("--status", "failed", "--since", "2h") == [str(new)]
    assert "--limit" in (await cli("dlq", "list", "--limit", "1")).out


async def test_retry_does_what_http_does_and_names_the_user(
    cli: Command, sql: asyncpg.Connection, redis_url: str
) -> None:
    letter_id, _ = await rows.dead_letter(sql)
    retried = await cli("dlq", "retry", str(letter_id))
    assert (retried.code, retried.err) == (0, "")
    assert "now" in retried.out
    assert await sql.fetchval("SELECT state FROM outbound_alert") == "pending"
    assert rung(redis_url) == [["slack"]]
    assert await rows.actions(sql) == [(ME, "dead_letter.retry", str(letter_id), None, 1)]
    again = await cli("dlq", "retry", str(letter_id), "--json")
    assert DeadLetterOut.model_validate_json(again.out).status == "pending"


async def test_retry_all_and_discard(cli: Command, sql: asyncpg.Connection) -> None:
    for _ in range(3):
        await rows.dead_letter(sql, minutes_ago=1)
    discarded, _ = await rows.dead_letter(sql, channel="monday")
    closed = await cli("dlq", "discard", str(discarded), "--reason", "Zadzwoniłem.", "--json")
    assert DeadLetterOut.model_validate_json(closed.out).status == "discarded"
    retried = await cli("dlq", "retry-all", "--since", "1h", "--channel", "slack")
    assert retried.out.startswith("3 on slack: first now, last ")
    assert (await cli("dlq", "retry-all")).out == "Nothing to retry.\n"
    reopened = json.loads((await cli("dlq", "retry-all", "--status", "discarded", "--json")).out)
    assert (reopened["retried"], reopened["channels"]) == (1, ["monday"])
    assert [action[:4] for action in await rows.actions(sql)] == [
        (ME, "dead_letter.discard", str(discarded), "Zadzwoniłem."),
        (ME, "dead_letter.retry_many", "slack", None),
        (ME, "dead_letter.retry_many", "all", None),
    ]


async def test_show_tells_attempts_and_actions(cli: Command, sql: asyncpg.Connection) -> None:
    letter_id, alert_id = await rows.dead_letter(sql)
    await rows.attempt(sql, alert_id, 1)
    await cli("dlq", "discard", str(letter_id), "--reason", "Called.")
    shown = await cli("dlq", "show", str(letter_id))
    assert shown.code == 0
    for word in (str(alert_id), "discarded", "http_500", "12 ms", ME, "Called.", "may have arrived"):
        assert word in shown.out
    found = DeadLetterDetailOut.model_validate_json((await cli("dlq", "show", str(letter_id), "--json")).out)
    assert len(found.attempts_made) == len(found.actions) == 1


async def test_what_is_not_possible_is_one_line_and_exit_code_1(cli: Command, sql: asyncpg.Connection) -> None:
    sent, _ = await rows.dead_letter(sql, status="delivered")
    for arguments, word in (
        (("dlq", "retry", NOBODY), "no such dead letter"),
        (("dlq", "retry", str(sent)), "delivered"),
        (("dlq", "discard", str(sent), "--reason", "x"), "delivered"),
        (("dlq", "show", NOBODY), "no such dead letter"),
        (("channels", "test", "email"), "not configured"),
    ):
        ended = await cli(*arguments)
        assert (ended.code, ended.out) == (1, ""), arguments
        assert ended.err.startswith("novahouse: ")
        assert ended.err.count("\n") == 1
        assert word in ended.err
    assert await rows.actions(sql) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("dlq", "retry", "7"),
        ("dlq", "retry"),
        ("dlq", "discard", NOBODY),
        ("dlq", "discard", NOBODY, "--reason", " "),
        ("dlq", "discard", NOBODY, "--reason", "a\x1b[31m"),
        ("dlq", "list", "--status", "x"),
        ("dlq", "list", "--since", "9" * 30 + "d"),
        ("dlq", "list", "--since", "999999d"),
        ("dlq", "list", "--since", "0001-01-01T00:00:00+14:00"),
        ("dlq", "list", "--limit", "0"),
        ("channels", "pause", "fax"),
        ("nothing",),
    ],
    ids=lambda arguments: ascii(" ".join(arguments))[:50],
)
async def test_what_makes_no_sense_is_exit_code_2(cli: Command, arguments: tuple[str, ...]) -> None:
    ended = await cli(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Traceback" not in ended.err


async def test_channels_are_paused_resumed_reset_and_listed(cli: Command, sql: asyncpg.Connection) -> None:
    paused = await cli("channels", "pause", "slack", "--reason", "Moving house.")
    assert paused.code == 0
    assert f"by {ME}: Moving house." in paused.out
    channels = ChannelsOut.model_validate_json((await cli("channels", "list", "--json")).out).items
    assert [(item.name, item.configured, item.paused) for item in channels] == [
        ("slack", True, True),
        ("monday", False, False),
        ("email", False, False),
    ]
    resumed = await cli("channels", "resume", "slack", "--json")
    assert ChannelOut.model_validate_json(resumed.out).paused is False
    await sql.execute(
        "UPDATE channel_gate SET open_until = now() + interval '40 s', open_reason = 'http_500', "
        "blocked_until = now() + interval '90 s', blocked_reason = 'http_429'"
    )
    listed = (await cli("channels", "list")).out
    assert "breaker open (http_500), tries in" in listed
    assert max(map(len, listed.splitlines())) <= WIDTH
    assert (await cli("channels", "reset", "slack")).out.splitlines()[1].split()[-1] == "ok"
    assert [action[1] for action in await rows.actions(sql)] == ["channel.pause", "channel.resume", "channel.reset"]


@pytest.mark.parametrize(("state", "code", "word"), [("delivered", 0, "Delivered"), ("failed", 1, "http_404")])
async def test_a_test_waits_for_its_result(
    cli: Command, sql: asyncpg.Connection, state: str, code: int, word: str
) -> None:
    running = asyncio.create_task(cli("channels", "test", "slack", "--wait"))
    await eventually(lambda: sql.fetchval("SELECT true FROM outbound_alert"))
    await sql.execute(
        "UPDATE outbound_alert SET state = $1::text, last_error = 'http_404', "
        "delivered_at = CASE WHEN $1 = 'delivered' THEN now() END",
        state,
    )
    ended = await running
    assert (ended.code, ended.err) == (code, "")
    assert word in ended.out


async def test_a_test_without_wait_gives_the_alert(cli: Command, sql: asyncpg.Connection) -> None:
    sent = json.loads((await cli("channels", "test", "slack", "--json")).out)
    assert sent["alert_id"] == str(await sql.fetchval("SELECT id FROM outbound_alert"))


async def test_status_is_one_screen(cli: Command, sql: asyncpg.Connection) -> None:
    assert "is a worker running?" in (await cli("status")).out
    await rows.dead_letter(sql)
    await sql.execute(
        "INSERT INTO scheduled_job (name, every, started_at, failed_at, last_error) "
        "VALUES ('retry_dead_letters', '5 min', now(), now(), 'TimeoutError')"
    )
    status = await cli("status")
    assert (status.code, status.err) == (0, "")
    assert "0 tried again, 1 given up" in status.out
    assert "overdue, failed: TimeoutError" in status.out
    assert StatusOut.model_validate_json((await cli("status", "--json")).out).dead_letters.failed == 1


async def test_redis_away_costs_a_remark_and_nothing_else(environment: dict[str, str], sql: asyncpg.Connection) -> None:
    letter_id, _ = await rows.dead_letter(sql)
    retried = await novahouse("dlq", "retry", str(letter_id), environment={**environment, "REDIS_URL": NOWHERE})
    assert retried.code == 0
    assert retried.err == ("novahouse: done, but Redis does not answer at REDIS_URL: workers find it within 30 s\n")
    assert await sql.fetchval("SELECT state FROM outbound_alert") == "pending"


async def test_a_database_that_is_away_or_empty_is_one_line(
    environment: dict[str, str], postgres_url_without_tables: str
) -> None:
    for url, word in (
        ("postgresql://nobody@127.0.0.1:9/x", "ConnectionRefusedError"),
        (postgres_url_without_tables, "novahouse migrate"),
        ("mysql://x", "DATABASE_URL: must start with postgresql://"),
    ):
        ended = await novahouse("status", environment={**environment, "DATABASE_URL": url})
        assert (ended.code, ended.out) == (1, "")
        assert word in ended.err
        assert ended.err.count("\n") == 1


@pytest.fixture
async def postgres_url_without_tables(migrated_url: str) -> str:
    """The server's own database, which has none of our tables."""
    return migrated_url.replace("/migrated", "/postgres")


async def test_without_an_address_the_stack_of_this_folder_is_used(
    environment: dict[str, str], sql: asyncpg.Connection, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    home.hold("http://127.0.0.1:1")
    home.publish({**environment, "HOME": "/elsewhere"})
    assert home.published() == environment
    given = {"NOVAHOUSE_HOME": str(home.path), "DATABASE_URL": " "}

    paused = await novahouse("channels", "pause", "slack", environment=given)
    assert paused.code == 0, paused.err
    assert await sql.fetchval("SELECT paused_by FROM channel_gate WHERE channel = 'slack'") == ME
    assert (await novahouse("channels", "test", "slack", environment=given)).code == 0

    home.release()
    stopped = await novahouse("status", environment={**given, "DATABASE_URL": ""})
    assert (stopped.code, home.published()) == (1, {})


async def test_it_works_where_there_is_no_devstack_and_no_checkout(
    environment: dict[str, str], sql: asyncpg.Connection, tmp_path: Path
) -> None:
    (tmp_path / "psutil.py").write_text("raise ModuleNotFoundError(name='psutil')")
    image = {**environment, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    assert (await novahouse("dlq", "list", environment=image, cwd=tmp_path)).code == 0
    refused = await novahouse("up", environment=image, cwd=tmp_path)
    assert (refused.code, refused.err) == (1, "novahouse up: psutil is not installed: uv sync --extra embedded\n")
