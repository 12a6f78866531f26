"""Who may change the audit log: nobody, not even the role that owns it; and whoever may write can append."""

import asyncio

import asyncpg
import pytest
from alembic import command

from app.consent.audit import verify
from app.core.db import Database
from app.devstack.postgres import EmbeddedPostgres
from tests.conftest import alembic_config, new_database
from tests.consent.chain import append, tampering

CHANGES = (
    "UPDATE consent_audit_log SET event = 'x'",
    "DELETE FROM consent_audit_log",
    "TRUNCATE consent_audit_log",
)
WRITERS, EACH = 20, 25


async def test_we_work_as_the_owner_and_not_as_a_superuser(sql: asyncpg.Connection) -> None:
    owner = await sql.fetchval("SELECT tableowner FROM pg_tables WHERE tablename = 'consent_audit_log'")
    assert await sql.fetchval("SELECT current_user") == owner
    assert not await sql.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")


@pytest.mark.parametrize("statement", CHANGES)
async def test_the_owner_of_the_log_cannot_change_it(sql: asyncpg.Connection, statement: str) -> None:
    await append(sql)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for table consent_audit_log"):
        await sql.execute(statement)


@pytest.mark.parametrize("statement", CHANGES)
async def test_who_has_the_right_meets_the_trigger(sql: asyncpg.Connection, statement: str) -> None:
    await append(sql)
    change = sql.transaction()
    await change.start()
    await sql.execute("GRANT UPDATE, DELETE, TRUNCATE ON consent_audit_log TO CURRENT_USER")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await sql.execute(statement)
    await change.rollback()


async def test_the_triggers_fire_for_replication_too(sql: asyncpg.Connection) -> None:
    rows = await sql.fetch("SELECT tgenabled FROM pg_trigger WHERE tgrelid = 'consent_audit_log'::regclass")
    assert [row[0] for row in rows] == [b"A", b"A"]


async def test_nobody_holds_a_right_to_change_it(sql: asyncpg.Connection) -> None:
    rights = await sql.fetch(
        "SELECT acl.privilege_type FROM pg_class, aclexplode(relacl) acl WHERE oid = 'consent_audit_log'::regclass"
    )
    held = {row[0] for row in rights}
    assert {"SELECT", "INSERT"} <= held
    assert not held & {"UPDATE", "DELETE", "TRUNCATE"}


def test_a_role_that_had_the_rights_loses_them_and_the_way_back_restores_the_owner_s(
    postgres: EmbeddedPostgres,
) -> None:
    url = new_database(postgres, "audit_rights")
    config = alembic_config(url)
    command.upgrade(config, "0003")

    async def rights() -> set[str]:
        connection = await asyncpg.connect(url)
        try:
            found = await connection.fetch(
                "SELECT privilege_type FROM pg_class, aclexplode(coalesce(relacl, acldefault('r', relowner))) "
                "WHERE oid = 'consent_audit_log'::regclass"
            )
        finally:
            await connection.close()
        return {row[0] for row in found} & {"UPDATE", "DELETE", "TRUNCATE"}

    async def triggers() -> list[bytes]:
        connection = await asyncpg.connect(url)
        try:
            found = await connection.fetch(
                "SELECT tgenabled FROM pg_trigger WHERE tgrelid = 'consent_audit_log'::regclass"
            )
        finally:
            await connection.close()
        return [row[0] for row in found]

    async def give_to_public() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("GRANT UPDATE, DELETE ON consent_audit_log TO PUBLIC")
        await connection.close()

    asyncio.run(give_to_public())
    command.upgrade(config, "0004")
    assert asyncio.run(triggers()) == [b"A", b"A"]
    assert asyncio.run(rights()) == set()
    command.downgrade(config, "0003")
    assert asyncio.run(rights()) == {"UPDATE", "DELETE", "TRUNCATE"}


async def test_twenty_writers_at_once_keep_the_chain_whole(database_url: str, database: Database) -> None:
    async def write() -> None:
        connection = await asyncpg.connect(database_url)
        try:
            await append(connection, EACH)
        finally:
            await connection.close()

    await asyncio.gather(*(write() for _ in range(WRITERS)))
    verdict = await verify(database, anchor=None)
    assert (verdict.ok, verdict.rows, verdict.head_seq) == (True, WRITERS * EACH, WRITERS * EACH)


async def test_a_writer_that_gives_up_leaves_no_gap(database_url: str, database: Database) -> None:
    gone, stays = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    attempt = gone.transaction()
    await attempt.start()
    await append(gone)
    waiting = asyncio.create_task(append(stays))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await attempt.rollback()
    await waiting
    await asyncio.gather(gone.close(), stays.close())
    assert (await verify(database, anchor=None)).rows == 1


async def test_the_tools_of_these_tests_leave_the_log_as_it_was(sql: asyncpg.Connection) -> None:
    async with tampering(sql):
        pass
    await test_nobody_holds_a_right_to_change_it(sql)
    await test_the_triggers_fire_for_replication_too(sql)
