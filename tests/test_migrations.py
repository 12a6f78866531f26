"""The schema: one head, up and down and up again, and no difference between migrations and models."""

import re

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import DateTime

from app.devstack.postgres import EmbeddedPostgres
from app.models import metadata
from tests.conftest import ROOT, alembic_config, new_database, run_sql


@pytest.fixture
def empty_url(postgres: EmbeddedPostgres) -> str:
    """A database without tables, for code that has no event loop."""
    return new_database(postgres, "migrations")


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(Config(ROOT / "alembic.ini")).get_heads()) == 1


def test_up_down_up_and_check(empty_url: str) -> None:
    config = alembic_config(empty_url)
    command.upgrade(config, "head")
    command.check(config)
    command.downgrade(config, "base")
    run_sql(
        empty_url,
        "DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE nspname = 'public' AND relkind IN ('r', 'S') AND relname <> 'alembic_version') = 0, 'left tables'; "
        "ASSERT (SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace "
        "WHERE nspname = 'public') = 0, 'left functions'; END $$",
    )
    command.upgrade(config, "head")
    command.check(config)


def test_every_instant_carries_its_time_zone() -> None:
    naive = [
        str(column)
        for table in metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, DateTime) and not column.type.timezone
    ]
    assert naive == []


def test_every_constraint_has_a_predictable_name() -> None:
    prefixes = ("pk_", "fk_", "uq_", "ck_", "ix_")
    names = [str(item.name) for table in metadata.tables.values() for item in table.constraints]
    names += [str(index.name) for table in metadata.tables.values() for index in table.indexes]
    assert [name for name in names if not name.startswith(prefixes)] == []


def test_a_migration_waits_for_no_lock_for_long() -> None:
    env = (ROOT / "alembic" / "env.py").read_text()
    assert re.search(r'LOCK_TIMEOUT = "\d+s"', env)


async def test_the_audit_log_is_append_only_and_chained(sql: asyncpg.Connection) -> None:
    for number in range(3):
        await sql.execute(
            "SELECT consent_audit_append('consent.granted', gen_random_uuid(), 'rodo', 1, 'x', 'pl', 'chat', $1)",
            number,
        )
    rows = await sql.fetch("SELECT seq, prev_hash, row_hash FROM consent_audit_log ORDER BY seq")
    assert [row["seq"] for row in rows] == [1, 2, 3]
    assert rows[0]["prev_hash"] == bytes(32)
    assert [row["prev_hash"] for row in rows[1:]] == [row["row_hash"] for row in rows[:-1]]
    for statement in (
        "UPDATE consent_audit_log SET event = 'x'",
        "DELETE FROM consent_audit_log",
        "TRUNCATE consent_audit_log",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
            await sql.execute(statement)


async def test_the_stored_hash_of_a_consent_text_is_its_own(sql: asyncpg.Connection) -> None:
    wrong = await sql.fetchval(
        "SELECT count(*) FROM consent_text WHERE sha256 <> encode(sha256(convert_to(body, 'UTF8')), 'hex')"
    )
    assert await sql.fetchval("SELECT count(*) FROM consent_text") == 6
    assert wrong == 0
