"""Real servers for every test: one PostgreSQL and one Redis per test process, one fresh database per test."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path

import asyncpg
import httpx
import pytest
import redis as redis_client
from alembic import command
from alembic.config import Config
from fastapi import FastAPI

from app.core.db import Database
from app.core.logging import configure_logging
from app.core.settings import Settings
from app.devstack.postgres import EmbeddedPostgres
from app.devstack.redis import EmbeddedRedis
from app.engine.engine import Engine
from app.main import create_app
from tests.processes import AMPLE

configure_logging(level="INFO", json=True)

ROOT = Path(__file__).parent.parent
ADMIN_KEY = "test-operator-key"
OPERATOR = {"Authorization": f"Bearer {ADMIN_KEY}"}


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL server for this test process."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres") / "data", durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A Redis server for this test process."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


def alembic_config(url: str) -> Config:
    """Alembic as the command line has it, for another database."""
    config = Config(ROOT / "alembic.ini")
    config.attributes["database_url"] = Settings(database_url=url).database_url
    return config


def run_sql(url: str, *statements: str) -> None:
    """Run statements, each by itself, from code that has no event loop."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def new_database(postgres: EmbeddedPostgres, name: str) -> str:
    """A fresh database without tables; gives its URL. For code that has no event loop."""
    run_sql(postgres.url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}")
    return postgres.url_of(name)


@pytest.fixture(scope="session")
def migrated_url(postgres: EmbeddedPostgres) -> str:
    """The database of this test process, with our tables."""
    url = new_database(postgres, "migrated")
    command.upgrade(alembic_config(url), "head")
    return url


@pytest.fixture
async def database_url(migrated_url: str) -> str:
    """The database as a migration leaves it: whatever the test before wrote is gone."""
    connection = await asyncpg.connect(migrated_url)
    try:
        await connection.execute(_EMPTY)
    finally:
        await connection.close()
    return migrated_url


_KEPT = ("alembic_version", "consent_text", "consent_audit_head", "channel_gate")
_EMPTY = f"""
DO $$
DECLARE name text; filled boolean;
BEGIN
    ALTER TABLE consent_audit_log DISABLE TRIGGER ALL;
    GRANT TRUNCATE ON consent_audit_log TO CURRENT_USER;
    FOR name IN SELECT tablename FROM pg_tables
                WHERE schemaname = 'public' AND tablename <> ALL ('{{{",".join(_KEPT)}}}')
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I)', name) INTO filled;
        IF filled THEN EXECUTE format('TRUNCATE %I CASCADE', name); END IF;
    END LOOP;
    DELETE FROM channel_gate;
    INSERT INTO channel_gate (channel) VALUES ('slack'), ('monday'), ('email');
    UPDATE consent_audit_head SET seq = 0, row_hash = decode(repeat('00', 32), 'hex');
    ALTER TABLE consent_audit_log ENABLE ALWAYS TRIGGER consent_audit_rows;
    ALTER TABLE consent_audit_log ENABLE ALWAYS TRIGGER consent_audit_truncate;
    REVOKE TRUNCATE ON consent_audit_log FROM CURRENT_USER;
END $$
"""


@pytest.fixture
def redis_url(redis: EmbeddedRedis) -> str:
    """An empty Redis."""
    with redis_client.Redis.from_url(redis.url) as client:
        client.flushall()
    return redis.url


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    """The service as tests run it: both sales channels on, pointing nowhere."""
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        database_pool_size=4,
        admin_api_key=ADMIN_KEY,
        chat_rate_limit=AMPLE,
        api_rate_limit_hour=AMPLE,
        api_rate_limit_minute=AMPLE,
        bulk_rate_limit=AMPLE,
        slack_webhook_url="http://127.0.0.1:9/slack/services/T0/B0/X",
        monday_api_url="http://127.0.0.1:9/monday/v2",
        monday_api_key="monday-test-key",
        monday_board_id="1234567890",
    )


@cache
def default_engine() -> Engine:
    """The engine over the knowledge as it is delivered, which no test changes."""
    return Engine.load()


_applications: deque[tuple[Settings, FastAPI]] = deque(maxlen=4)


def application(settings: Settings) -> FastAPI:
    """The HTTP application, not started. Its routes are made once, as that takes longer than most tests: add none."""
    for known, made in _applications:
        if known == settings:
            return made
    made = create_app(settings, engine=default_engine() if settings.knowledge_dir is None else None)
    _applications.append((settings, made))
    return made


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The HTTP application, started."""
    made = application(settings)
    routes = len(made.routes)
    async with made.router.lifespan_context(made):
        yield made
    assert len(made.routes) == routes, "this test added a route to the application that other tests have too"


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the application."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
        yield http


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """The test's own way into its database."""
    own = Database(settings.database_url, pool_size=4)
    yield own
    await own.dispose()


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A plain connection to look at rows from outside."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()
