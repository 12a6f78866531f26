"""Checkpoints outside the database: what they show that the chain cannot, and what becomes of a damaged anchor."""

import asyncio
import fcntl
import json
from pathlib import Path

import asyncpg
import pytest

from app.consent import checkpoints
from app.consent.anchor import Anchor, AnchorError, Checkpoint
from app.consent.audit import Verdict, verify
from app.consent.chain import Fault
from app.consent.checkpoints import ChainBrokenError, checkpoint
from app.core import clock
from app.core.db import Database
from app.core.keys import KeyRing
from tests.consent.chain import append, conversation, cut, decide, read, rewrite, tampering, write

KEYS = KeyRing("the current secret")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the anchor is."""
    return tmp_path / "anchor.jsonl"


@pytest.fixture
def anchor(path: Path) -> Anchor:
    """An anchor that has no checkpoint yet."""
    return Anchor(path, KEYS)


async def mark(database: Database, anchor: Anchor) -> int:
    """Write a checkpoint now; gives how many entries it added."""
    return (await checkpoint(database, anchor=anchor, now=clock.now()))[1]


async def marked(database: Database, sql: asyncpg.Connection, anchor: Anchor, *counts: int) -> None:
    """Append entries, with a checkpoint behind each of these numbers of them."""
    for count in counts:
        await append(sql, count)
        assert await mark(database, anchor) == count


def faults(verdict: Verdict) -> tuple[str | None, int | None, str, int | None]:
    """What is wrong, at which entry, what became of the anchor, and at which line of it."""
    return verdict.reason, verdict.broken_at, verdict.anchor, verdict.anchor_line


def lines(path: Path) -> list[dict[str, object]]:
    """The anchor's lines."""
    return [json.loads(line) for line in read(path).splitlines()]


async def test_a_checkpoint_is_one_signed_line_and_only_when_the_log_has_grown(
    database: Database, sql: asyncpg.Connection, anchor: Anchor, path: Path
) -> None:
    assert await mark(database, anchor) == 0
    await marked(database, sql, anchor, 3)
    assert await mark(database, anchor) == 0
    await marked(database, sql, anchor, 1)
    first, second = lines(path)
    assert list(first) == ["seq", "row_hash", "at", "key_id", "signature"]
    assert (first["seq"], second["seq"], first["key_id"]) == (3, 4, KEYS.current)
    assert second["row_hash"] == (await sql.fetchval("SELECT row_hash FROM consent_audit_head")).hex()
    data = json.dumps([first["seq"], first["row_hash"], first["at"]], separators=(",", ":"))
    assert first["signature"] == KEYS.digest("audit-checkpoint", data.encode()).hex()


async def test_a_log_with_its_checkpoints_holds(database: Database, sql: asyncpg.Connection, anchor: Anchor) -> None:
    await marked(database, sql, anchor, 3, 2)
    await append(sql)
    verdict = await verify(database, anchor=anchor)
    assert (verdict.ok, verdict.rows, verdict.anchor) == (True, 6, "checked")
    assert (verdict.checkpoints, verdict.checkpoint_seq) == (2, 5)


async def test_an_end_cut_off_together_with_its_head_is_shown_by_the_anchor(
    database: Database, sql: asyncpg.Connection, anchor: Anchor
) -> None:
    await marked(database, sql, anchor, 3, 2)
    await cut(sql, seq=4)
    assert (await verify(database, anchor=None)).ok
    verdict = await verify(database, anchor=anchor)
    assert faults(verdict) == ("checkpoint_beyond_end", 5, "broken", 2)
    assert (verdict.ok, verdict.checkpoints, verdict.checkpoint_seq) == (False, 1, 3)


async def test_a_history_written_anew_is_shown_by_the_anchor(
    database: Database, sql: asyncpg.Connection, anchor: Anchor
) -> None:
    await marked(database, sql, anchor, 3, 2)
    async with tampering(sql):
        await sql.execute("UPDATE consent_audit_log SET event = 'consent.refused' WHERE seq = 2")
    await rewrite(sql, seq=2)
    assert (await verify(database, anchor=None)).ok
    assert faults(await verify(database, anchor=anchor)) == ("checkpoint_differs", 3, "broken", 1)


async def test_a_chain_that_breaks_leaves_the_rest_of_the_anchor_unchecked(
    database: Database, sql: asyncpg.Connection, anchor: Anchor
) -> None:
    await marked(database, sql, anchor, 3, 2)
    async with tampering(sql):
        await sql.execute("UPDATE consent_audit_log SET event = 'x' WHERE seq = 4")
    assert faults(await verify(database, anchor=anchor)) == ("row_hash", 4, "unfinished", None)


@pytest.mark.parametrize("exists", [False, True])
async def test_no_checkpoint_is_no_proof_and_says_so(
    database: Database, sql: asyncpg.Connection, anchor: Anchor, path: Path, exists: bool
) -> None:
    await append(sql)
    if exists:
        write(path, "")
    verdict = await verify(database, anchor=anchor)
    assert (verdict.ok, verdict.anchor, read(path)) == (True, "missing", "")


@pytest.mark.parametrize(
    ("change", "reason", "seq"),
    [
        ({"signature": "0" * 64}, "checkpoint_signature", 5),
        ({"row_hash": "0" * 64}, "checkpoint_signature", 5),
        ({"seq": 4}, "checkpoint_signature", 4),
        ({"at": "2020-01-01T00:00:00+00:00"}, "checkpoint_signature", 5),
        ({"key_id": "00000000"}, "checkpoint_key_unknown", 5),
        ({"seq": "5"}, "checkpoint_malformed", None),
        ({"extra": 1}, "checkpoint_malformed", None),
        ({"row_hash": "é" * 64}, "checkpoint_malformed", None),
        ({"at": "x" * 2_000}, "checkpoint_malformed", None),
    ],
)
async def test_a_forged_checkpoint_is_named_and_nothing_is_written_behind_it(
    database: Database,
    sql: asyncpg.Connection,
    anchor: Anchor,
    path: Path,
    change: dict[str, object],
    reason: str,
    seq: int | None,
) -> None:
    await marked(database, sql, anchor, 3, 2)
    first, second = lines(path)
    write(path, f"{json.dumps(first)}\n{json.dumps(second | change)}\n")
    assert faults(await verify(database, anchor=anchor)) == (reason, seq, "broken", 2)
    before = read(path)
    await append(sql)
    with pytest.raises(AnchorError) as refused:
        await mark(database, anchor)
    assert refused.value.reason == reason
    assert read(path) == before


async def test_a_checkpoint_out_of_its_order_is_named(
    database: Database, sql: asyncpg.Connection, anchor: Anchor, path: Path
) -> None:
    await marked(database, sql, anchor, 1, 1)
    write(path, "".join(reversed(read(path).splitlines(keepends=True))))
    assert faults(await verify(database, anchor=anchor)) == ("checkpoint_order", 1, "broken", 2)


async def test_checkpoints_survive_a_new_secret_and_not_a_forgotten_one(
    database: Database, sql: asyncpg.Connection, anchor: Anchor, path: Path
) -> None:
    await marked(database, sql, anchor, 2)
    rotated = Anchor(path, KeyRing("the next secret", ["the current secret"]))
    await marked(database, sql, rotated, 1)
    assert (await verify(database, anchor=rotated)).checkpoints == 2
    assert lines(path)[0]["key_id"] != lines(path)[1]["key_id"]
    forgot = Anchor(path, KeyRing("the next secret"))
    assert faults(await verify(database, anchor=forgot)) == ("checkpoint_key_unknown", 2, "broken", 1)


@pytest.mark.parametrize("kept", [1, 40, -3])
async def test_a_checkpoint_that_a_crash_cut_short_never_counted(
    database: Database, sql: asyncpg.Connection, anchor: Anchor, path: Path, kept: int
) -> None:
    await marked(database, sql, anchor, 3, 2)
    first, second = read(path).splitlines()
    write(path, f"{first}\n{second[:kept]}")
    verdict = await verify(database, anchor=anchor)
    assert (verdict.ok, verdict.checkpoint_seq) == (True, 3)
    assert await mark(database, anchor) == 2
    assert [line["seq"] for line in lines(path)] == [3, 5]


async def test_a_checkpoint_that_lacks_only_its_line_end_counts(
    database: Database, sql: asyncpg.Connection, anchor: Anchor, path: Path
) -> None:
    await marked(database, sql, anchor, 3)
    write(path, read(path).rstrip("\n"))
    assert (await verify(database, anchor=anchor)).checkpoints == 1
    await marked(database, sql, anchor, 2)
    assert [line["seq"] for line in lines(path)] == [3, 5]


@pytest.mark.parametrize("content", ["export PATH=/bin", "precious\n", "{", "x" * 5_000, '{"seq":' + " " * 5_000])
async def test_a_file_that_is_no_anchor_is_left_as_it_is(
    database: Database, sql: asyncpg.Connection, anchor: Anchor, path: Path, content: str
) -> None:
    write(path, content)
    await append(sql)
    if content == "{":
        assert (await verify(database, anchor=anchor)).anchor == "missing"
        return
    assert faults(await verify(database, anchor=anchor)) == ("checkpoint_malformed", None, "broken", 1)
    with pytest.raises(AnchorError, match="no checkpoint"):
        await mark(database, anchor)
    assert read(path) == content


async def test_an_anchor_that_cannot_be_opened_is_a_fault_of_the_anchor(database: Database, tmp_path: Path) -> None:
    folder = Anchor(tmp_path, KEYS)
    assert faults(await verify(database, anchor=folder)) == ("anchor_unreadable", None, "broken", None)
    for broken in (folder, Anchor(tmp_path / "absent" / "anchor", KEYS)):
        with pytest.raises(AnchorError, match="cannot be written"):
            broken.prepare()


@pytest.mark.parametrize("what", ["cut", "rewritten", "changed before", "changed behind", "headless"])
async def test_nothing_is_signed_of_a_log_that_does_not_hold(
    database: Database, sql: asyncpg.Connection, anchor: Anchor, path: Path, what: str
) -> None:
    await marked(database, sql, anchor, 3)
    await append(sql, 3)
    async with tampering(sql):
        match what:
            case "changed behind":
                await sql.execute("UPDATE consent_audit_log SET event = 'x' WHERE seq = 5")
            case "headless":
                await sql.execute("DELETE FROM consent_audit_log WHERE seq = 6")
            case _:
                await sql.execute("UPDATE consent_audit_log SET event = 'x' WHERE seq = 2")
    if what == "cut":
        await cut(sql, seq=3)
    if what == "rewritten":
        await rewrite(sql, seq=2)
    before = read(path)
    if what == "changed before":
        assert await mark(database, anchor) == 3  # each stretch is verified once; `verify` looks at all of it
        assert (await verify(database, anchor=anchor)).broken_at == 2
        return
    with pytest.raises(ChainBrokenError) as refused:
        await mark(database, anchor)
    faults_of = {
        "cut": Fault("checkpoint_beyond_end", 3),
        "rewritten": Fault("checkpoint_differs", 3),
        "changed behind": Fault("row_hash", 5),
        "headless": Fault("head", 6),
    }
    assert refused.value.fault == faults_of[what]
    assert read(path) == before


async def test_evidence_does_not_hold_up_checkpoints(
    database: Database, sql: asyncpg.Connection, anchor: Anchor
) -> None:
    await decide(database, await conversation(sql))
    await sql.execute("UPDATE consent_evidence SET ip = NULL")
    assert await mark(database, anchor) == 1
    assert faults(await verify(database, anchor=anchor)) == ("evidence", 1, "unfinished", None)


async def test_a_long_stretch_is_signed_in_steps(
    database: Database, sql: asyncpg.Connection, anchor: Anchor, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINT_ROWS", 5)
    monkeypatch.setattr(checkpoints, "BATCH_ROWS", 2)
    await append(sql, 12)
    assert [await mark(database, anchor) for _ in range(4)] == [5, 5, 2, 0]
    assert [line["seq"] for line in lines(path)] == [5, 10, 12]
    assert (await verify(database, anchor=anchor)).checkpoints == 3


async def test_many_workers_at_once_write_each_checkpoint_once(
    database: Database, sql: asyncpg.Connection, anchor: Anchor, path: Path
) -> None:
    for _ in range(5):
        await append(sql, 2)
        await asyncio.gather(*(mark(database, Anchor(path, KEYS)) for _ in range(4)))
    assert [line["seq"] for line in lines(path)] == [2, 4, 6, 8, 10]


async def test_a_writer_waits_for_the_file_and_then_sees_that_it_is_late(
    database: Database, sql: asyncpg.Connection, anchor: Anchor, path: Path
) -> None:
    await marked(database, sql, anchor, 1)
    before = anchor.last()
    new = Checkpoint.sign(KEYS, seq=2, row_hash=bytes(32), at=clock.now())
    newer = Checkpoint.sign(KEYS, seq=3, row_hash=bytes(32), at=clock.now())
    with path.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        late = asyncio.create_task(asyncio.to_thread(anchor.append, new, after=before))
        await asyncio.sleep(0.1)
        assert not late.done()
        other.write(newer.model_dump_json() + "\n")
    assert await late is False
    assert anchor.last() == newer
