"""Whether the audit log is what it was: the whole chain, what is left of the evidence, and the checkpoints outside."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import asyncpg

from app.consent import audit_repository as repository
from app.consent.anchor import Anchor, AnchorError, Checkpoint
from app.consent.chain import Fault, Reason, Walk, evidence_holds, rows_of
from app.core.db import Database
from app.core.errors import ConflictError

BATCH_ROWS: Final = 500
"""Between two batches other work gets its turn: about 10 ms of it."""

Progress = Callable[[int], None]
"""Told now and then how many rows are done."""

AnchorState = Literal["checked", "missing", "broken", "unfinished"]


class VerificationRunningError(ConflictError):
    """This process is verifying already."""

    code = "verification-running"
    title = "The audit log is being verified right now; ask again when that is done."


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found. `ok`: everything that was there to be checked holds."""

    ok: bool
    rows: int
    head_seq: int
    head_hash: str
    """Hex of the last row's hash as far as the chain holds; with `head_seq`, all that a witness needs to note."""
    broken_at: int | None
    reason: Reason | None
    evidence: int
    """Rows of evidence that are what their entry committed to."""
    anchor: AnchorState
    """`missing`: there was no checkpoint to compare. `unfinished`: the chain broke before the last one."""
    anchor_line: int | None
    checkpoints: int
    checkpoint_seq: int
    """The last entry that a checkpoint vouches for; those behind it are held by the chain alone."""
    seconds: float

    @property
    def rows_per_second(self) -> int:
        """How fast it went."""
        return round(self.rows / self.seconds) if self.seconds else 0


class _Verification:
    """One walk along the chain with the checkpoints beside it."""

    def __init__(self, checkpoints: Iterator[Checkpoint]) -> None:
        self._walk = Walk()
        self._checkpoints = checkpoints
        self._next: Checkpoint | None = None
        self._last: Checkpoint | None = None
        self._checked = 0
        self.rows = self.evidence = 0
        self.fault: Fault | None = None

    def begin(self) -> None:
        """Take the first checkpoint."""
        self._guarded(self._advance)

    def take(self, records: list[Any]) -> None:
        """Go on along `records`, up to the first fault."""
        self._guarded(lambda: self._take(records))

    async def end(self, connection: asyncpg.Connection, head: tuple[int, bytes] | None) -> None:
        """Compare the end: the head row, what lies behind it, and checkpoints of entries that are not there."""
        self.fault = self._walk.end(head)
        stray = await repository.stray_evidence(connection, last=self._walk.seq)
        if self.fault is None and self._next is not None:
            self.fault = Fault("checkpoint_beyond_end", self._next.seq, self._checked + 1)
        elif self.fault is None and stray is not None:
            self.fault = Fault("evidence", stray)

    def verdict(self, *, seconds: float) -> Verdict:
        """What was found."""
        fault = self.fault
        return Verdict(
            ok=fault is None,
            rows=self.rows,
            head_seq=self._walk.seq,
            head_hash=self._walk.row_hash.hex(),
            broken_at=fault.seq if fault else None,
            reason=fault.reason if fault else None,
            evidence=self.evidence,
            anchor=self._anchor_state(),
            anchor_line=fault.line if fault else None,
            checkpoints=self._checked,
            checkpoint_seq=self._last.seq if self._last else 0,
            seconds=round(seconds, 3),
        )

    def _anchor_state(self) -> AnchorState:
        if self.fault is not None and self.fault.reason.startswith(("checkpoint_", "anchor_")):
            return "broken"
        if self._next is not None:
            return "unfinished"
        return "checked" if self._last else "missing"

    def _guarded(self, step: Callable[[], Fault | None]) -> None:
        try:
            self.fault = step()
        except AnchorError as error:
            self.fault = Fault(error.reason, error.seq, error.line)

    def _advance(self) -> None:
        self._next = next(self._checkpoints, None)

    def _take(self, records: list[Any]) -> Fault | None:
        for row in rows_of(records):
            if fault := self._walk.follow(row):
                return fault
            self.rows += 1
            if not evidence_holds(row):
                return Fault("evidence", row.seq)
            self.evidence += row.salt is not None
            if self._next is not None and self._next.seq == row.seq:
                if self._next.row_hash != row.row_hash.hex():
                    return Fault("checkpoint_differs", row.seq, self._checked + 1)
                self._last = self._next
                self._checked += 1
                self._advance()
        return None


async def verify(database: Database, *, anchor: Anchor | None, progress: Progress = lambda _rows: None) -> Verdict:
    """Recompute every entry's hash, compare the kept evidence and every checkpoint of `anchor`, up to the first fault.

    Reads one snapshot in batches, so that neither memory nor the event loop notices how long the log is; the file of
    checkpoints is read and hashes are computed in a thread. Entries come from the database; what is right is computed
    here.
    """
    began = time.monotonic()
    work = _Verification(anchor.checkpoints() if anchor else iter(()))
    await asyncio.to_thread(work.begin)
    async with database.driver() as connection, repository.snapshot(connection):
        head = await repository.head(connection)
        rows = await repository.stream(connection, after=0)
        while work.fault is None and (records := await rows.fetch(BATCH_ROWS)):
            await asyncio.to_thread(work.take, records)
            progress(work.rows)
        if work.fault is None:
            await work.end(connection, head)
    return work.verdict(seconds=time.monotonic() - began)


class Auditor:
    """Verifies for HTTP: one verification at a time in a process, since each holds a connection and half a core."""

    def __init__(self, *, database: Database, anchor: Anchor | None) -> None:
        self._database = database
        self._anchor = anchor
        self._running = asyncio.Lock()

    async def verify(self) -> Verdict:
        """As `verify`. Raises VerificationRunningError while one is under way."""
        if self._running.locked():
            raise VerificationRunningError
        async with self._running:
            return await verify(self._database, anchor=self._anchor)
