"""`novahouse audit` and the worker's checkpoints, as processes."""

import json
from collections.abc import Callable, Coroutine
from pathlib import Path

import asyncpg
import pytest

from app.consent.anchor import Anchor
from app.conversations.audit_schemas import VerdictOut
from app.core.db import Database
from app.core.keys import KeyRing
from app.core.settings import DEVELOPMENT_SECRET, Settings
from app.engine.engine import Engine
from app.followups.service import Followups
from tests.alerts.test_cli import Ended, novahouse
from tests.consent.chain import append, cut, read, tampering, write
from tests.processes import eventually, running
from worker import jobs
from worker.audit import AUDIT_CHECKPOINT, AuditAnchorError, AuditChainBrokenError, write_checkpoint
from worker.schedule import Schedule

Command = Callable[..., Coroutine[None, None, Ended]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the anchor is."""
    return tmp_path / "anchor.jsonl"


@pytest.fixture
def environment(database_url: str, redis_url: str, path: Path) -> dict[str, str]:
    """What an operator has set."""
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "AUDIT_ANCHOR": str(path)}


@pytest.fixture
def audit(environment: dict[str, str]) -> Command:
    """`novahouse audit …` with that environment."""

    async def run(*arguments: str, **changed: str) -> Ended:
        return await novahouse("audit", *arguments, environment=environment | changed)

    return run


async def test_a_log_that_holds_with_its_checkpoints_is_exit_code_0(
    audit: Command, sql: asyncpg.Connection, path: Path
) -> None:
    await append(sql, 3)
    made = await audit("checkpoint")
    assert (made.code, made.err) == (0, "")
    assert made.out.startswith("Checkpoint at entry 3, 3 new: ")
    assert len(read(path).splitlines()) == 1
    verified = await audit("verify")
    assert (verified.code, verified.err) == (0, "")
    assert "audit log    holds\n" in verified.out
    assert "checked, 1 up to entry 3" in verified.out
    elsewhere = await audit("verify", "--anchor", str(path), AUDIT_ANCHOR="")
    assert elsewhere.code == 0


async def test_without_a_checkpoint_it_is_exit_code_2_and_says_so(audit: Command, sql: asyncpg.Connection) -> None:
    await append(sql)
    for changed in ({"AUDIT_ANCHOR": ""}, {}):
        verified = await audit("verify", "--json", **changed)
        assert verified.code == 2
        assert verified.err == "novahouse: no checkpoint to compare with: set AUDIT_ANCHOR or give --anchor\n"
        verdict = VerdictOut.model_validate_json(verified.out)
        assert (verdict.ok, verdict.rows, verdict.anchor) == (True, 1, "missing")


async def test_the_first_bad_entry_is_exit_code_1(audit: Command, sql: asyncpg.Connection) -> None:
    await append(sql, 3)
    async with tampering(sql):
        await sql.execute("UPDATE consent_audit_log SET event = 'consent.refused' WHERE seq = 2")
    verified = await audit("verify")
    assert verified.code == 1
    assert "BROKEN at entry 2: its content was changed after it was written\n" in verified.out
    as_json = json.loads((await audit("verify", "--json")).out)
    assert (as_json["ok"], as_json["broken_at"], as_json["reason"]) == (False, 2, "row_hash")


async def test_the_first_bad_checkpoint_is_exit_code_1(audit: Command, sql: asyncpg.Connection, path: Path) -> None:
    await append(sql, 3)
    await audit("checkpoint")
    await cut(sql, seq=3)
    verified = await audit("verify")
    assert verified.code == 1
    assert "BROKEN at entry 3: a checkpoint saw it, and it is gone (line 1 of the anchor)\n" in verified.out
    refused = await audit("checkpoint")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == "novahouse: not signed: the chain is broken at entry 3: checkpoint_beyond_end\n"
    assert len(read(path).splitlines()) == 1


async def test_a_checkpoint_needs_a_file_and_something_to_sign(audit: Command, tmp_path: Path) -> None:
    assert (await audit("checkpoint")).out == "The log is empty: nothing to sign.\n"
    unset = await audit("checkpoint", AUDIT_ANCHOR="")
    assert (unset.code, unset.err) == (1, "novahouse: no file for it: set AUDIT_ANCHOR or give --anchor\n")
    absent = await audit("checkpoint", "--anchor", str(tmp_path / "absent" / "anchor"))
    assert absent.code == 1
    assert absent.err == "novahouse: not signed: the anchor cannot be written: No such file or directory\n"


async def test_the_worker_writes_checkpoints(
    environment: dict[str, str], sql: asyncpg.Connection, path: Path, tmp_path: Path, audit: Command
) -> None:
    await append(sql, 2)
    quick = environment | {"AUDIT_CHECKPOINT_MINUTES": "0.01", "ALERT_SWEEP_SECONDS": "0.2"}
    async with running("arq", "worker.settings.WorkerSettings", environment=quick, log=tmp_path / "worker.log"):

        async def seqs() -> list[int]:
            text = read(path)
            return [json.loads(line)["seq"] for line in text.splitlines()]

        async def first() -> bool:
            return await seqs() == [2]

        async def second() -> bool:
            return await seqs() == [2, 3]

        await eventually(first)
        await append(sql)
        await eventually(second)
    assert (await audit("verify")).code == 0


async def test_a_worker_does_not_start_with_an_anchor_that_it_cannot_write(
    environment: dict[str, str], tmp_path: Path
) -> None:
    wrong = environment | {"AUDIT_ANCHOR": str(tmp_path / "absent" / "anchor")}
    async with running(
        "arq", "worker.settings.WorkerSettings", environment=wrong, log=tmp_path / "worker.log"
    ) as worker:
        assert await worker.exit_code() == 1
    last = worker.output.splitlines()[-1]
    assert last == "novahouse worker: AUDIT_ANCHOR: the file cannot be written: No such file or directory"


async def test_a_broken_chain_fails_the_job_and_nothing_else(
    settings: Settings, database: Database, sql: asyncpg.Connection, path: Path
) -> None:
    anchored = settings.model_copy(update={"audit_anchor": path})
    schedule = Schedule(jobs.jobs(anchored, database, Followups.of(anchored, Engine.load())), database=database)
    await append(sql, 2)
    await schedule.catch_up()
    await cut(sql, seq=2)
    await sql.execute("DELETE FROM scheduled_job")
    await schedule.catch_up()
    job = await sql.fetchrow("SELECT last_error, failed_at FROM scheduled_job WHERE name = $1", AUDIT_CHECKPOINT)
    assert job is not None
    assert (job["last_error"], job["failed_at"] is not None) == ("AuditChainBrokenError", True)
    assert len(read(path).splitlines()) == 1
    anchor = Anchor(path, KeyRing(DEVELOPMENT_SECRET))
    with pytest.raises(AuditChainBrokenError):
        await write_checkpoint(database, anchor)
    write(path, "not ours\n")
    with pytest.raises(AuditAnchorError):
        await write_checkpoint(database, anchor)


def test_without_an_anchor_there_is_no_job() -> None:
    assert AUDIT_CHECKPOINT not in jobs.intervals(Settings())
    assert jobs.intervals(Settings(audit_anchor=Path("a")))[AUDIT_CHECKPOINT].total_seconds() == 3600
