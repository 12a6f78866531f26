"""Processes alone: they start from the environment, say in one line why they cannot, and leave politely."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from app.devstack.postgres import EmbeddedPostgres
from app.devstack.redis import EmbeddedRedis
from app.devstack.sink.app import RunningSink, running_sink
from app.devstack.sink.settings import SinkSettings
from tests.conftest import new_database
from tests.conversations.test_bad_input import problem
from tests.listening import listening
from tests.processes import api, eventually, free_port, running, worker
from tests.talk import capture_lead, open_session, say

PATH = "/slack/services/T0/B0/X"
FROZEN_SECONDS = 4
"""Two are meant; a busy machine may take longer, and without a bound of ours it would be thirty."""


@pytest.fixture
async def sink() -> AsyncIterator[RunningSink]:
    """A Slack and a monday.com that answer."""
    settings = SinkSettings(
        slack_webhook_url=SecretStr(f"http://127.0.0.1{PATH}"),
        monday_api_key=SecretStr("monday-test-key"),
        monday_board_id="1234567890",
    )
    async with running_sink(settings) as running_one:
        yield running_one


@pytest.fixture
def environment(database_url: str, redis_url: str, sink: RunningSink) -> dict[str, str]:
    """What an operator sets, with the sink as the outside world."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SLACK_WEBHOOK_URL": sink.base_url + PATH,
        "MONDAY_API_URL": f"{sink.base_url}/monday/v2",
        "MONDAY_API_KEY": "monday-test-key",
        "MONDAY_BOARD_ID": "1234567890",
        "ALERT_SWEEP_SECONDS": "0.5",
        "ALERT_LEASE_SECONDS": "3",
        "ALERT_SEND_SECONDS": "2",
        "DRAIN_SECONDS": "0.5",
    }


async def delivered(sql: asyncpg.Connection) -> int:
    count: int = await sql.fetchval("SELECT count(*) FROM outbound_alert WHERE delivered_at IS NOT NULL")
    return count


async def test_a_conversation_ends_as_one_message_in_each_channel(
    environment: dict[str, str], sink: RunningSink, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    async with (
        api(environment, tmp_path / "api.log") as (_, client),
        worker(environment | {"ALERT_SWEEP_SECONDS": "3600"}, tmp_path / "worker.log"),
    ):
        await capture_lead(client)
        await eventually(lambda: _is(sql, 2))
    async with httpx.AsyncClient(base_url=sink.base_url) as outside:
        items = (await outside.get("/messages")).json()["items"]
        assert (await outside.get("/rejections")).json()["items"] == []
    assert sorted(item["channel"] for item in items) == ["monday", "slack"]
    assert all("691222333" in str(item).replace(" ", "") for item in items)


async def _is(sql: asyncpg.Connection, wanted: int) -> bool:
    return await delivered(sql) == wanted


async def test_a_worker_killed_before_the_ring_loses_nothing(
    environment: dict[str, str], sink: RunningSink, sql: asyncpg.Connection, redis: EmbeddedRedis, tmp_path: Path
) -> None:
    async with api(environment, tmp_path / "api.log") as (_, client):
        await capture_lead(client)
    redis.kill()
    redis.start()
    async with worker(environment, tmp_path / "worker.log"):
        await eventually(lambda: _is(sql, 2))
    assert len(list(sink.state.of(None))) == 2


async def test_a_worker_killed_while_sending_is_replaced_and_says_so(
    environment: dict[str, str], sink: RunningSink, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    async with httpx.AsyncClient(base_url=sink.base_url) as outside:
        await outside.put("/control/slack", json={"mode": "hang"})
        async with api(environment, tmp_path / "api.log") as (_, client):
            async with worker(environment, tmp_path / "first.log") as first:
                await capture_lead(client)
                await eventually(lambda: _requests(outside, 1))
                first.send(signal.SIGKILL)
                await first.exit_code()
            await outside.put("/control/slack", json={"mode": "ok"})
            async with worker(environment, tmp_path / "second.log"):
                await eventually(lambda: _is(sql, 2))
        assert await _requests(outside, 2)
    (slack,) = sink.state.of("slack")  # type: ignore[arg-type]
    assert "możliwe powtórzenie" in str(slack).lower()
    row = await sql.fetchrow("SELECT attempts, ambiguous_since IS NOT NULL FROM outbound_alert WHERE channel = 'slack'")
    assert row is not None
    assert tuple(row) == (2, True)


async def _requests(outside: httpx.AsyncClient, wanted: int) -> bool:
    return bool((await outside.get("/control/slack")).json()["requests"] == wanted)


async def test_two_workers_send_each_alert_once(
    environment: dict[str, str], sink: RunningSink, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    async with (
        api(environment, tmp_path / "api.log") as (_, client),
        worker(environment, tmp_path / "a.log"),
        worker(environment, tmp_path / "b.log"),
    ):
        for _ in range(10):
            await asyncio.gather(*(capture_lead(client) for _ in range(3)))
        await eventually(lambda: _is(sql, 60))
    assert len(list(sink.state.of(None))) == 60


async def test_a_worker_outlives_a_redis_restart(
    environment: dict[str, str], sink: RunningSink, sql: asyncpg.Connection, redis: EmbeddedRedis, tmp_path: Path
) -> None:
    async with (
        api(environment, tmp_path / "api.log") as (_, client),
        worker(environment | {"ALERT_SWEEP_SECONDS": "3600"}, tmp_path / "worker.log") as process,
    ):
        await capture_lead(client)
        await eventually(lambda: _is(sql, 2))
        redis.kill()
        degraded = await client.get("/health/ready")
        assert (degraded.status_code, degraded.json()["redis"]) == (200, "down")

        async def noticed() -> bool:
            return "redis_unavailable" in process.output

        await eventually(noticed)
        redis.start()
        await capture_lead(client)
        await eventually(lambda: _is(sql, 4))
        assert process.process.returncode is None
    assert len(list(sink.state.of(None))) == 4


async def test_a_worker_outlives_a_postgresql_crash_and_answers_the_next_ring(
    environment: dict[str, str], sql: asyncpg.Connection, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    async with (
        api(environment, tmp_path / "api.log") as (_, client),
        worker(environment | {"ALERT_SWEEP_SECONDS": "3600"}, tmp_path / "worker.log"),
    ):
        await capture_lead(client)
        await eventually(lambda: _is(sql, 2))
        postgres.kill()
        postgres.start()

        async def ready() -> bool:
            return (await client.get("/health/ready")).status_code == 200

        await eventually(ready)
        await capture_lead(client)
        again = await asyncpg.connect(environment["DATABASE_URL"])
        await eventually(lambda: _is(again, 4))
        await again.close()


async def test_redis_gone_during_a_request_costs_no_row(
    environment: dict[str, str], sql: asyncpg.Connection, redis: EmbeddedRedis, tmp_path: Path
) -> None:
    async with api(environment, tmp_path / "api.log") as (_, client):
        redis.suspend()
        try:
            async with asyncio.timeout(3):
                await capture_lead(client)
        finally:
            redis.resume()
        assert await sql.fetchval("SELECT count(*) FROM outbound_alert") == 2
        async with worker(environment, tmp_path / "worker.log"):
            await eventually(lambda: _is(sql, 2))


async def test_postgresql_gone_is_503_and_comes_back_without_a_restart(
    environment: dict[str, str], postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    async with api(environment, tmp_path / "api.log") as (_, client):
        token = await open_session(client)
        postgres.stop("immediate")
        try:
            refused = await say(client, token, "ile kosztuje premium?")
            assert refused.status_code == 503, refused.text
            assert refused.headers["content-type"] == "application/problem+json"
            assert int(refused.headers["Retry-After"]) > 0
            assert (await client.get("/health/live")).status_code == 200
            not_ready = await client.get("/health/ready")
            found = problem(not_ready, 503)
            assert (found["code"], found["postgresql"], found["redis"]) == ("database-unavailable", "down", "ok")
            assert int(not_ready.headers["Retry-After"]) > 0
        finally:
            postgres.start()

        async def answers() -> bool:
            return (await say(client, token, "ile kosztuje premium?")).status_code == 201

        await eventually(answers)


async def test_postgresql_frozen_is_503_within_seconds_and_comes_back_without_a_restart(
    environment: dict[str, str], postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    async with api(environment, tmp_path / "api.log") as (_, client):
        tokens = [await open_session(client) for _ in range(50)]
        postgres.suspend()
        try:
            began = time.monotonic()
            refused = await asyncio.gather(*(say(client, token, "ile kosztuje premium?") for token in tokens))
            took = time.monotonic() - began
            assert {response.status_code for response in refused} == {503}
            assert all(int(response.headers["Retry-After"]) > 0 for response in refused)
            assert (await client.get("/health/live")).status_code == 200
        finally:
            postgres.resume()
        assert took < FROZEN_SECONDS

        async def answers() -> bool:
            return (await say(client, tokens[0], "ile kosztuje premium?")).status_code == 201

        await eventually(answers)


async def test_sigterm_turns_ready_off_finishes_requests_and_exits_0(
    environment: dict[str, str], postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    async with api(environment | {"DRAIN_SECONDS": "1"}, tmp_path / "api.log") as (process, client):
        token = await open_session(client)
        postgres.suspend()
        in_flight = asyncio.create_task(say(client, token, "ile kosztuje premium?"))
        process.send(signal.SIGTERM)

        async def draining() -> bool:
            response = await client.get("/health/ready")
            return response.status_code == 503 and problem(response, 503)["code"] == "draining"

        await eventually(draining, seconds=5)
        postgres.resume()
        response = await in_flight
        assert response.status_code == 201, f"{response.text}\n{process.output}"
        assert await process.exit_code() == 0


async def test_sigterm_lets_the_worker_finish_its_send_and_exits_0(
    environment: dict[str, str], sink: RunningSink, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    async with httpx.AsyncClient(base_url=sink.base_url) as outside:
        await outside.put("/control/slack", json={"mode": "slow", "delay_ms": 1500})
        async with (
            api(environment, tmp_path / "api.log") as (_, client),
            worker(environment | {"ALERT_LEASE_SECONDS": "60"}, tmp_path / "worker.log") as process,
        ):
            await capture_lead(client)
            await eventually(lambda: _requests(outside, 1))
            process.send(signal.SIGTERM)
            assert await process.exit_code() == 0
    assert await delivered(sql) == 2


@pytest.mark.parametrize(
    ("command", "variable", "value"),
    [
        (("uvicorn", "app.main:app"), "DATABASE_URL", "postgresql://nobody@127.0.0.1:{port}/none"),
        (("uvicorn", "app.main:app"), "REDIS_URL", "redis://127.0.0.1:{port}/0"),
        (("uvicorn", "app.main:app"), "REDIS_URL", "http://example.org"),
        (("arq", "worker.settings.WorkerSettings"), "DATABASE_URL", "postgresql://nobody@127.0.0.1:{port}/none"),
        (("arq", "worker.settings.WorkerSettings"), "REDIS_URL", "redis://127.0.0.1:{port}/0"),
        (("alembic", "upgrade", "head"), "DATABASE_URL", "postgresql://nobody@127.0.0.1:{port}/none"),
        (("alembic", "upgrade", "head"), "DATABASE_URL", "mysql://x"),
    ],
)
async def test_a_process_that_cannot_start_says_why_in_one_line(
    environment: dict[str, str], tmp_path: Path, command: tuple[str, ...], variable: str, value: str
) -> None:
    wrong = environment | {variable: value.format(port=free_port())}
    arguments = (*command, "--port", str(free_port())) if command[0] == "uvicorn" else command
    async with running(*arguments, environment=wrong, log=tmp_path / "log") as process:
        assert await process.exit_code(seconds=20) == 1
    ours = [line for line in process.output.splitlines() if line.startswith("novahouse")]
    assert len(ours) == 1, process.output
    assert variable in ours[0]
    assert "Traceback" not in process.output


async def test_a_worker_whose_redis_goes_while_it_starts_says_so_in_one_line(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """It answers the first question and not the second one, arq's own."""
    parts = urlsplit(environment["REDIS_URL"])

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        with closing(back):
            while b"$4\r\nINFO\r\n" not in (words := await reader.read(65_536)):
                back.write(words)
                writer.write(await there.read(65_536))

    async with listening(talk) as port:
        netloc = f":{parts.password}@127.0.0.1:{port}"
        through = environment | {"REDIS_URL": urlunsplit(parts._replace(netloc=netloc))}
        async with running(
            "arq", "worker.settings.WorkerSettings", environment=through, log=tmp_path / "log"
        ) as process:
            assert await process.exit_code() == 1
    assert process.output.splitlines()[-1].startswith("novahouse worker: Redis does not answer as it should")
    assert "Traceback" not in process.output


@pytest.mark.parametrize("missing", ["SECRET_KEY", "ADMIN_API_KEY", "DATABASE_URL", "REDIS_URL"])
async def test_production_refuses_to_start_without_its_secrets(
    environment: dict[str, str], tmp_path: Path, missing: str
) -> None:
    production = environment | {"ENVIRONMENT": "production", "SECRET_KEY": "s" * 32, "ADMIN_API_KEY": "k" * 32}
    del production[missing]
    async with running("uvicorn", "app.main:app", environment=production, log=tmp_path / "log") as process:
        assert await process.exit_code() == 1
    assert process.output.strip() == f"novahouse: {missing} must be set when ENVIRONMENT=production"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("SECRET_KEY", "s" * 31, "must have at least 32 bytes"),
        ("ADMIN_API_KEY", "k" * 31, "must have at least 32 bytes"),
        ("ADMIN_API_KEY", "dev-" + "k" * 43, "is one made for development"),
        ("SECRET_KEY", "development-only-secret-and-longer", "is one made for development"),
    ],
    ids=["short secret", "short key", "key of make up", "secret of development"],
)
async def test_production_refuses_to_start_with_a_weak_secret(
    environment: dict[str, str], tmp_path: Path, name: str, value: str, reason: str
) -> None:
    strong = {"ENVIRONMENT": "production", "SECRET_KEY": "s" * 32, "ADMIN_API_KEY": "k" * 32}
    weak = environment | strong | {name: value}
    async with running("uvicorn", "app.main:app", environment=weak, log=tmp_path / "log") as process:
        assert await process.exit_code() == 1
    assert process.output.startswith(f"novahouse: {name} {reason}")
    assert process.output.count("\n") == 1
    assert value not in process.output


@pytest.fixture
def empty_url(postgres: EmbeddedPostgres) -> str:
    """A database without tables."""
    return new_database(postgres, "from_the_command_line")


async def test_migrating_from_the_command_line_twice_is_harmless(
    empty_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    target = environment | {"DATABASE_URL": empty_url}
    for number in range(2):
        async with running("alembic", "upgrade", "head", environment=target, log=tmp_path / f"{number}") as process:
            assert await process.exit_code() == 0, process.output
