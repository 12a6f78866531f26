"""Verification of the audit log: what it finds, where, and that it reads a long log without holding it."""

import asyncio
import gc
import json
import os
import re
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator

import asyncpg
import pytest
from alembic import command

from app.consent import audit_repository as repository
from app.consent.audit import Verdict, verify
from app.core.db import Database
from app.core.settings import Settings
from app.devstack.postgres import EmbeddedPostgres
from bench.audit import fill
from tests.conftest import ROOT, alembic_config, new_database
from tests.consent.chain import append, conversation, cut, decide, rewrite, tampering

LONG = 100_000


async def found(database: Database) -> tuple[str | None, int | None]:
    """What is wrong, and at which entry."""
    verdict = await verify(database, anchor=None)
    assert verdict.ok == (verdict.reason is None)
    return verdict.reason, verdict.broken_at


async def test_an_empty_log_holds(database: Database) -> None:
    verdict = await verify(database, anchor=None)
    assert (verdict.ok, verdict.rows, verdict.head_seq, verdict.head_hash) == (True, 0, 0, "00" * 32)


async def test_what_the_service_recorded_holds_with_its_evidence(database: Database, sql: asyncpg.Connection) -> None:
    await append(sql, 2)
    await decide(database, await conversation(sql))
    verdict = await verify(database, anchor=None)
    assert (verdict.ok, verdict.rows, verdict.evidence, verdict.anchor) == (True, 3, 1, "missing")
    assert verdict.head_hash == (await sql.fetchval("SELECT row_hash FROM consent_audit_head")).hex()


@pytest.mark.parametrize(
    "change",
    [
        "event = 'consent.refused'",
        "at = at + interval '1 microsecond'",
        "at = 'infinity'",
        "at = '0044-03-15 BC'",
        "subject_ref = gen_random_uuid()",
        "purpose = NULL",
        "text_version = 2",
        "text_sha256 = repeat('1', 64)",
        "locale = 'en'",
        "surface = 'api'",
        "message_seq = NULL",
        "evidence_hash = '\\x00'",
        "row_hash = sha256('x')",
    ],
)
async def test_a_changed_entry_is_named(database: Database, sql: asyncpg.Connection, change: str) -> None:
    await append(sql, 5)
    async with tampering(sql):
        assert await sql.execute(f"UPDATE consent_audit_log SET {change} WHERE seq = 3") == "UPDATE 1"
    assert await found(database) == ("row_hash", 3)


async def test_an_entry_whose_hash_was_made_to_fit_is_missed_by_the_next(
    database: Database, sql: asyncpg.Connection
) -> None:
    await append(sql, 5)
    head = await sql.fetchrow("SELECT seq, row_hash FROM consent_audit_log WHERE seq = 5")
    hashes = await sql.fetch("SELECT seq, prev_hash, row_hash FROM consent_audit_log WHERE seq > 3")
    async with tampering(sql):
        await sql.execute("UPDATE consent_audit_log SET event = 'consent.refused' WHERE seq = 3")
    await rewrite(sql, seq=3)
    async with tampering(sql):
        for seq, prev_hash, row_hash in hashes:
            await sql.execute(
                "UPDATE consent_audit_log SET prev_hash = $2, row_hash = $3 WHERE seq = $1", seq, prev_hash, row_hash
            )
    await sql.execute("UPDATE consent_audit_head SET row_hash = $1", head and head["row_hash"])
    assert await found(database) == ("prev_hash", 4)


@pytest.mark.parametrize("seq", [1, 3])
async def test_a_deleted_entry_is_named(database: Database, sql: asyncpg.Connection, seq: int) -> None:
    await append(sql, 5)
    async with tampering(sql):
        await sql.execute("DELETE FROM consent_audit_log WHERE seq = $1", seq)
    assert await found(database) == ("seq_gap", seq)


async def test_an_end_that_is_cut_off_shows_at_the_head(database: Database, sql: asyncpg.Connection) -> None:
    await append(sql, 5)
    async with tampering(sql):
        await sql.execute("DELETE FROM consent_audit_log WHERE seq > 3")
    assert await found(database) == ("head", 4)


async def test_an_end_cut_off_together_with_its_head_is_not_seen_by_the_chain_alone(
    database: Database, sql: asyncpg.Connection
) -> None:
    await append(sql, 5)
    await cut(sql, seq=4)
    verdict = await verify(database, anchor=None)
    assert (verdict.ok, verdict.rows, verdict.anchor) == (True, 3, "missing")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("UPDATE consent_audit_head SET seq = 2", 3),
        ("UPDATE consent_audit_head SET seq = 9", 4),
        ("UPDATE consent_audit_head SET row_hash = sha256('x')", 3),
    ],
)
async def test_a_head_that_says_otherwise_is_named(
    database: Database, sql: asyncpg.Connection, change: str, where: int
) -> None:
    await append(sql, 3)
    await sql.execute(change)
    assert await found(database) == ("head", where)


async def test_a_head_that_is_gone_is_named(database: Database, sql: asyncpg.Connection) -> None:
    await append(sql, 3)
    lost = await sql.fetchrow("DELETE FROM consent_audit_head RETURNING seq, row_hash")
    assert lost is not None
    try:
        assert await found(database) == ("head", 3)
    finally:
        await sql.execute("INSERT INTO consent_audit_head VALUES (1, $1, $2)", *lost)


@pytest.mark.parametrize(
    "change",
    [
        "ip = '198.51.100.0'",
        "ip = NULL",
        "user_agent = 'curl'",
        "salt = '\\x00'",
        "conversation_id = (SELECT id FROM chat_conversations WHERE email IS NOT NULL)",
    ],
)
async def test_changed_evidence_is_named(database: Database, sql: asyncpg.Connection, change: str) -> None:
    await append(sql)
    await decide(database, await conversation(sql))
    await conversation(sql, email="else@example.com")
    assert await sql.execute(f"UPDATE consent_evidence SET {change}") == "UPDATE 1"
    assert await found(database) == ("evidence", 2)


@pytest.mark.parametrize("seq", [0, 1, 3])
async def test_evidence_for_an_entry_that_committed_to_none_is_named(
    database: Database, sql: asyncpg.Connection, seq: int
) -> None:
    await append(sql)
    await decide(database, await conversation(sql))
    await sql.execute(
        "INSERT INTO consent_evidence (audit_seq, conversation_id, salt) "
        "SELECT $1, conversation_id, salt FROM consent_evidence",
        seq,
    )
    assert await found(database) == ("evidence", seq)


async def test_evidence_may_be_deleted_and_so_may_the_person(database: Database, sql: asyncpg.Connection) -> None:
    person, other = await conversation(sql), await conversation(sql)
    for subject in (person, other):
        await decide(database, subject)
    await sql.execute("DELETE FROM consent_evidence WHERE conversation_id = $1", other)
    await sql.execute("DELETE FROM chat_conversations WHERE id = $1", person)
    verdict = await verify(database, anchor=None)
    assert (verdict.ok, verdict.rows, verdict.evidence) == (True, 2, 0)


async def test_entries_written_meanwhile_are_no_fault(
    database: Database, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.consent.audit.BATCH_ROWS", 2)
    await append(sql, 20)

    def write(_rows: int) -> None:
        tasks.append(asyncio.create_task(append(sql)))

    tasks: list[asyncio.Task[None]] = []
    done: list[Verdict] = []
    done.append(await verify(database, anchor=None, progress=lambda rows: write(rows) if not tasks else None))
    await tasks[0]
    assert [(verdict.ok, verdict.rows) for verdict in done] == [(True, 20)]
    assert (await verify(database, anchor=None)).rows == 21


async def test_the_log_is_read_in_a_snapshot_that_changes_nothing_and_takes_its_time(database: Database) -> None:
    async with database.driver() as connection:

        async def shows(*names: str) -> list[str]:
            return [await connection.fetchval(f"SHOW {name}") for name in names]

        names = ("statement_timeout", "transaction_isolation", "transaction_read_only")
        async with repository.snapshot(connection):
            assert await shows(*names) == ["0", "repeatable read", "on"]
        assert await shows(*names) == ["10s", "read committed", "off"]


@pytest.fixture(scope="module")
def long_url(postgres: EmbeddedPostgres) -> str:
    """The URL of a database with LONG entries."""
    url = new_database(postgres, "audit_long")
    command.upgrade(alembic_config(url), "head")

    async def write() -> None:
        connection = await asyncpg.connect(url)
        try:
            await fill(connection, LONG)
        finally:
            await connection.close()

    asyncio.run(write())
    return url


@pytest.fixture
async def long_log(long_url: str) -> AsyncIterator[Database]:
    """The way into that database."""
    own = Database(Settings(database_url=long_url).database_url, pool_size=1)
    yield own
    await own.dispose()


async def test_a_long_log_is_verified_without_being_held(long_log: Database) -> None:
    tracemalloc.start()
    try:
        verdict = await verify(long_log, anchor=None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (verdict.ok, verdict.rows, verdict.evidence) == (True, LONG, LONG // 10)
    assert peak < 8_000_000


async def test_other_work_gets_its_turn_meanwhile(long_log: Database) -> None:
    """CPU time between two turns, so that a busy machine does not count."""
    turns: list[float] = []

    async def work() -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.001)
            turns.append(time.thread_time() - began)

    gc.collect()
    other = asyncio.create_task(work())
    verdict = await verify(long_log, anchor=None)
    other.cancel()
    assert verdict.ok
    assert len(turns) > 50
    assert max(turns) < 0.05


async def test_whoever_watches_a_long_verification_sees_how_far_it_is(long_url: str) -> None:
    terminal, end = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", "audit", "verify", "--json"),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "NOVAHOUSE_HOME": "/nonexistent", "DATABASE_URL": long_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=end,
    )
    os.close(end)
    out, _ = await process.communicate()
    shown = os.read(terminal, 65_536).decode()
    os.close(terminal)
    assert process.returncode == 2
    assert json.loads(out)["rows"] == LONG
    assert re.search(r"\r\d{1,2},\d00 entries", shown)
    assert shown.count("no checkpoint to compare with") == 1
