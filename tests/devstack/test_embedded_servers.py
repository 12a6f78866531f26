"""The embedded PostgreSQL and Redis, as tests and bench use them: started, hurt, started again."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis

from app.devstack.cluster import ClusterTools
from app.devstack.postgres import EmbeddedPostgres
from app.devstack.process import DevstackError, free_port, port_is_free
from app.devstack.redis import EmbeddedRedis


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path / "pg data", durable=False) as server:
        yield server


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as server:
        yield server


async def ask(server: EmbeddedPostgres, statement: str) -> Any:
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_what_was_committed_survives_every_way_to_die(postgres: EmbeddedPostgres) -> None:
    url = postgres.url
    await ask(postgres, "CREATE TABLE t (n int)")
    for hurt in (postgres.kill, lambda: postgres.stop("immediate"), postgres.stop):
        await ask(postgres, "INSERT INTO t VALUES (1)")
        hurt()
        assert port_is_free(postgres.port)
        with pytest.raises(OSError, match="Connect call failed"):
            await ask(postgres, "SELECT 1")
        postgres.start()
        assert postgres.url == url
    assert await ask(postgres, "SELECT count(*) FROM t") == 3


async def test_a_suspended_server_accepts_and_does_not_answer_until_resumed(postgres: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(postgres.url)
    postgres.suspend()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(connection.fetchval("SELECT 1"), 0.2)
    postgres.resume()
    assert await ask(postgres, "SELECT 1") == 1
    connection.terminate()


async def test_the_role_may_create_databases_and_is_no_superuser(postgres: EmbeddedPostgres) -> None:
    await ask(postgres, "CREATE DATABASE another")
    connection = await asyncpg.connect(postgres.url_of("another"))
    assert await connection.fetchval("SHOW is_superuser") == "off"
    assert await connection.fetchval("SELECT lower('ŻÓŁW')") == "żółw"
    await connection.close()


async def test_nobody_enters_without_the_password(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url.replace(postgres.password, "wrong"))
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url.replace("//novahouse:", "//postgres:"))


@pytest.mark.parametrize(("durable", "fsync"), [(True, "on"), (False, "off")])
async def test_durable_means_fsync(tmp_path: Path, durable: bool, fsync: str) -> None:
    with EmbeddedPostgres(tmp_path / "pg", durable=durable) as server:
        assert await ask(server, "SHOW fsync") == fsync
        assert await ask(server, "SHOW full_page_writes") == fsync


async def test_a_forgotten_password_is_set_anew(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "pg", durable=False) as first:
        await ask(first, "CREATE TABLE kept ()")
    with EmbeddedPostgres(tmp_path / "pg", durable=False) as second:
        assert second.password != first.password
        assert await ask(second, "SELECT count(*) FROM kept") == 0


async def test_a_pid_file_whose_pid_went_to_another_process_is_no_obstacle(postgres: EmbeddedPostgres) -> None:
    postgres.kill()
    record = postgres.data_dir / "postmaster.pid"
    _, rest = record.read_text().split("\n", 1)
    record.write_text(f"{os.getppid()}\n{rest}")
    postgres.start()
    assert await ask(postgres, "SELECT 1") == 1


def test_a_wanted_port_that_is_taken_is_given_up(tmp_path: Path, redis_server: EmbeddedRedis) -> None:
    with EmbeddedRedis(tmp_path / "second", port=redis_server.port) as second:
        assert second.port != redis_server.port
    wanted = free_port()
    with EmbeddedRedis(tmp_path / "third", port=wanted) as third:
        assert third.port == wanted


def test_a_cluster_of_another_version_is_named_and_not_touched(tmp_path: Path) -> None:
    data = tmp_path / "pg"
    (data / "global").mkdir(parents=True)
    (data / "global/pg_control").touch()
    (data / "PG_VERSION").write_text("15\n")
    with pytest.raises(DevstackError, match="written by PostgreSQL 15, and this is PostgreSQL 18"):
        EmbeddedPostgres(data, durable=False).start()
    assert sorted(path.name for path in data.iterdir()) == ["PG_VERSION", "global"]


def test_an_empty_folder_is_a_place_for_a_new_cluster(tmp_path: Path) -> None:
    (tmp_path / "pg").mkdir()
    with EmbeddedPostgres(tmp_path / "pg", durable=False) as server:
        assert server.created


def test_a_failed_initdb_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.devstack.cluster.ROLE", "not a name")
    tools = ClusterTools(tmp_path / "pg", log=tmp_path / "log", identity=None, durable=False)
    with pytest.raises(DevstackError, match=r"initdb failed|syntax error"):
        tools.ensure("secret")
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_redis_is_empty_after_each_start_and_keeps_its_address(redis_server: EmbeddedRedis) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.set("ring", "1")
        redis_server.kill()
        redis_server.start()
        assert client.get("ring") is None
        assert client.config_get("save")["save"] == ""


def test_a_suspended_redis_accepts_and_does_not_answer_until_resumed(redis_server: EmbeddedRedis) -> None:
    with redis.Redis.from_url(redis_server.url, socket_timeout=0.2) as client:
        redis_server.suspend()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        redis_server.resume()
        assert client.ping()


def test_redis_wants_the_password(redis_server: EmbeddedRedis) -> None:
    stranger = redis.Redis.from_url(redis_server.url.replace(redis_server.password, "wrong"))
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
