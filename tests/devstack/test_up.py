"""`novahouse up` from outside: what starts, what it says, what it leaves."""

import shutil
import socket
from pathlib import Path
from signal import Signals

import asyncpg
import httpx
import pytest

from app.devstack.ports import Ports, choose_ports
from app.devstack.process import free_port, port_is_free, wait_until
from app.devstack.resp import RedisClient
from app.devstack.settings import StackSettings
from tests.devstack.stack import Run, Stack


async def remember(run: Run, word: str) -> None:
    connection = await asyncpg.connect(run.fact("PostgreSQL"))
    await connection.execute("CREATE TABLE remembered (word text)")
    await connection.execute("INSERT INTO remembered VALUES ($1)", word)
    await connection.close()


async def recalled(run: Run) -> str:
    connection = await asyncpg.connect(run.fact("PostgreSQL"))
    word: str = await connection.fetchval("SELECT word FROM remembered")
    await connection.close()
    return word


async def test_second_start_finds_the_data_the_keys_and_the_addresses_of_the_first(stack: Stack) -> None:
    first = stack.start()
    await remember(first, "żółw")
    assert first.end(Signals.SIGTERM) == 0
    assert "Stopped. The data is kept." in first.output

    second = stack.start()
    assert await recalled(second) == "żółw"
    for fact in ("Admin", "PostgreSQL", "Redis"):
        assert second.fact(fact) == first.fact(fact)
    assert second.end(Signals.SIGINT) == 0


async def test_a_killed_supervisor_leaves_nobody_and_the_next_start_recovers(stack: Stack) -> None:
    killed = stack.start()
    await remember(killed, "still here")
    assert killed.end(Signals.SIGKILL) == -Signals.SIGKILL

    recovered = stack.start()
    assert await recalled(recovered) == "still here"
    assert recovered.end() == 0


def test_second_up_in_the_same_home_says_who_runs_and_disturbs_nothing(stack: Stack, given: dict[str, str]) -> None:
    first = stack.start(given)
    family = set(first.family())
    second = stack.launch()
    assert second.exit_code() == 1
    assert second.output == (
        f"novahouse up: already running (pid {first.pid} at {stack.url}). Stop it first; its Ctrl-C will do.\n"
    )
    assert set(first.family()) == family
    assert httpx.get(stack.url).status_code == 200
    assert first.end() == 0


def test_of_two_at_once_in_a_fresh_home_exactly_one_starts(stack: Stack, given: dict[str, str]) -> None:
    runs = [stack.launch(given), stack.launch(given)]
    assert wait_until(lambda: any(run.process.poll() is not None for run in runs), seconds=30)
    loser, winner = sorted(runs, key=lambda run: run.process.poll() is None)
    assert loser.exit_code() == 1
    assert "already running" in loser.output
    winner.wait_for("Ctrl-C stops everything")
    assert winner.end() == 0


def test_every_child_that_is_killed_comes_back(stack: Stack) -> None:
    run = stack.start()
    for name, word in (("worker", "arq"), ("api", "uvicorn"), ("sink", "app.devstack.sink"), ("PostgreSQL", "-D")):
        run.child(word).kill()
        run.wait_for(f"{name:<11} ended (SIGKILL), starts again in 0.2 s; its last line: ")
        run.wait_for(f"{name:<11} is back after ")
    assert run.end() == 0


def test_a_taken_port_is_named_and_leaves_no_trace(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", stack.port)):
        run = stack.launch()
        assert run.exit_code() == 1
    assert run.output.startswith(f"novahouse up: port {stack.port} is taken. Choose another, for example: PORT=")
    assert not stack.home.exists()


def test_a_taken_sink_port_is_avoided_unless_it_was_asked_for(stack: Stack, given: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        asked = stack.launch({"SINK_PORT": str(taken.getsockname()[1])})
        assert asked.exit_code() == 1
        assert "(SINK_PORT) is taken" in asked.output
    with socket.create_server(("127.0.0.1", stack.port + 1000)):
        run = stack.start(given)
        sink = run.fact("Sink").split()[0]
        assert sink != f"http://127.0.0.1:{stack.port + 1000}"
        assert httpx.get(f"{sink}/health").status_code == 200
        assert run.end() == 0


def test_the_ports_beside_the_sinks_are_avoided_when_taken_unless_they_were_asked_for(
    stack: Stack, given: dict[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        for name in ("SINK_SMTP_PORT", "WORKER_METRICS_PORT"):
            asked = stack.launch({name: str(taken.getsockname()[1])})
            assert asked.exit_code() == 1
            assert f"({name}) is taken" in asked.output
    twice = stack.launch({"SINK_PORT": "40123", "SINK_SMTP_PORT": "40123"})
    assert twice.exit_code() == 1
    assert "port 40123 (SINK_SMTP_PORT) is taken" in twice.output
    usual = stack.port + 1000
    with socket.create_server(("127.0.0.1", usual + 1)), socket.create_server(("127.0.0.1", usual + 2)):
        run = stack.start(given)
        environment = run.child("arq").environ()
        ports = {name: environment[name] for name in ("SINK_PORT", "SINK_SMTP_PORT", "WORKER_METRICS_PORT")}
        assert len(set(ports.values())) == 3
        assert not {str(usual + 1), str(usual + 2)} & set(ports.values())
        assert run.end() == 0


def test_the_sinks_ports_are_neighbours() -> None:
    port = next(port for port in iter(free_port, 0) if all(port_is_free(port + 1000 + step) for step in range(3)))
    assert choose_ports(StackSettings(port=port)) == Ports(port, port + 1000, port + 1001, port + 1002)
    asked = choose_ports(StackSettings(port=port, sink_smtp_port=port + 1000))
    assert (asked.smtp, len({asked.api, asked.sink, asked.smtp, asked.metrics})) == (port + 1000, 4)


def test_mail_and_metrics_are_wired_and_told_of(stack: Stack, given: dict[str, str]) -> None:
    run = stack.start(given)
    for word in ("uvicorn", "arq"):
        environment = run.child(word).environ()
        assert environment["SMTP_URL"] == f"smtp://127.0.0.1:{environment['SINK_SMTP_PORT']}"
        assert environment["MAIL_FROM"] == "NovaHouse <czat@novahouse.example>"
        assert environment["ESCALATION_EMAIL"] == "ops@novahouse.example"
    assert run.fact("Mail").split()[0] == environment["SMTP_URL"]
    assert run.fact("Metrics").split()[0] == f"http://127.0.0.1:{environment['WORKER_METRICS_PORT']}/metrics"
    assert run.child("app.devstack.sink").environ()["SINK_SMTP_PORT"] == environment["SINK_SMTP_PORT"]
    assert run.end() == 0


def test_a_mail_server_of_ones_own_is_used_and_not_told(stack: Stack, given: dict[str, str]) -> None:
    own = {"SMTP_URL": "smtps://bot:secret@mail.example", "WORKER_METRICS_PORT": "0"}
    run = stack.start(given | own)
    assert run.child("arq").environ()["SMTP_URL"] == own["SMTP_URL"]
    assert run.fact("Mail") == "as in SMTP_URL"
    assert run.fact("Metrics") == "off"
    assert "secret" not in run.output
    assert run.end() == 0


def test_a_half_initialised_data_directory_is_named_and_not_touched(stack: Stack) -> None:
    data = stack.home / "postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("18\n")
    run = stack.launch()
    assert run.exit_code() == 1
    assert f"{data} is not a complete PostgreSQL data directory (global/pg_control is missing)" in run.output
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_an_interrupted_initdb_leaves_no_half_cluster_and_the_next_start_cleans_up(stack: Stack) -> None:
    run = stack.launch()
    assert wait_until(lambda: any(stack.home.glob(".postgres.init-*/PG_VERSION")), seconds=20), run.output
    assert run.end(Signals.SIGKILL) == -Signals.SIGKILL
    assert not (stack.home / "postgres").exists()

    again = stack.start()
    assert not list(stack.home.glob(".postgres.init-*"))
    assert again.end() == 0


def test_stopping_while_it_starts_is_no_error_and_leaves_nobody(stack: Stack) -> None:
    run = stack.launch()
    run.wait_for("makes a new database")
    assert run.end(Signals.SIGTERM) == 0
    assert "Traceback" not in run.output


def test_a_program_that_cannot_start_ends_everything_with_its_last_words(
    stack: Stack, given: dict[str, str], tmp_path: Path
) -> None:
    stack.root = Path(shutil.copytree(stack.root, tmp_path / "broken"))
    (stack.root / "worker/settings.py").write_text("raise SystemExit('no worker today')")
    run = stack.launch(given)
    run.wait_for("worker did not start")
    assert run.exit_code() == 1
    assert "no worker today" in run.output
    assert f"Its log: {stack.home / 'logs' / 'worker.log'}" in run.output
    assert stack.nobody()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "80x", "novahouse up: PORT: "),
        ("PORT", "70000", "novahouse up: PORT: "),
        (
            "DATABASE_URL",
            "postgresql://a:b@127.0.0.1:1/c",
            "novahouse up: PostgreSQL cannot be reached at DATABASE_URL: ",
        ),
        ("REDIS_URL", "redis://127.0.0.1:1/0", "novahouse up: Redis does not answer at REDIS_URL: "),
    ],
)
def test_an_unusable_variable_is_named_in_one_line(stack: Stack, name: str, value: str, message: str) -> None:
    run = stack.launch({name: value})
    assert run.exit_code() == 1
    assert run.output.splitlines()[-1].startswith(message)
    assert "Traceback" not in run.output


def test_servers_that_are_given_are_used_and_left_running(stack: Stack, given: dict[str, str]) -> None:
    run = stack.start(given)
    assert not [child for child in run.family() if child.name() in {"postgres", "redis-server"}]
    environment = run.child("uvicorn").environ()
    assert {name: environment[name] for name in given} == given
    assert not [url for url in given.values() if url in run.output]
    assert run.end() == 0
    assert RedisClient(given["REDIS_URL"]).milliseconds_left("anything") < 0


def test_keys_are_readable_by_their_owner_only(stack: Stack, given: dict[str, str]) -> None:
    run = stack.start(given)
    assert (stack.home / "memory.json").stat().st_mode & 0o777 == 0o600
    environment = run.child("uvicorn").environ()
    assert environment["ADMIN_API_KEY"] == run.fact("Admin").removeprefix("key").strip()
    assert environment["MONDAY_API_URL"] == f"{run.fact('Sink').split()[0]}/monday/v2"
    assert run.end() == 0


def test_it_ends_with_its_parent_where_make_asks_for_that(stack: Stack, given: dict[str, str]) -> None:
    run = stack.launch(given, under_a_parent=True)
    run.wait_for("Ctrl-C stops everything")
    assert run.end(Signals.SIGKILL) == -Signals.SIGKILL
    assert "Stopped. The data is kept." in run.output
