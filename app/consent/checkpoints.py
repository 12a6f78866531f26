"""Making a checkpoint: the audit chain's next stretch verified, and its end signed into the anchor."""

import asyncio
from datetime import datetime
from typing import Final

import asyncpg

from app.consent import audit_repository as repository
from app.consent.anchor import Anchor, Checkpoint
from app.consent.audit import BATCH_ROWS
from app.consent.chain import Fault, Reason, Walk, rows_of
from app.core.db import Database

CHECKPOINT_ROWS: Final = 250_000
"""How far one checkpoint may lie behind the next, so that making one takes seconds."""


class ChainBrokenError(Exception):
    """The chain does not hold, so no checkpoint of it may be made. The message says where and why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"the chain is broken at entry {fault.seq}: {fault.reason}")
        self.fault = fault


async def checkpoint(database: Database, *, anchor: Anchor, now: datetime) -> tuple[Checkpoint | None, int]:
    """Sign where the chain stands; gives the newest checkpoint, None on an empty log, and how many entries it added.

    First the chain must still hold the checkpoint before, and everything between it and the new one; if not, nothing is
    written, since a signature would vouch for a forgery. At most CHECKPOINT_ROWS entries are added at once: as long as
    that many are, there are more to add. The scheduled job's claim lets one worker at a time do this, and `append`
    writes only behind the checkpoint that was read, under a lock of the file, in case of a second hand.
    Raises ChainBrokenError and AnchorError.
    """
    before = await asyncio.to_thread(anchor.last)
    async with database.driver() as connection, repository.snapshot(connection):
        walk = Walk()
        if before is not None:
            walk = Walk(before.seq, bytes.fromhex(before.row_hash))
            stored = await repository.row_hash(connection, before.seq)
            if stored != walk.row_hash:
                reason: Reason = "checkpoint_beyond_end" if stored is None else "checkpoint_differs"
                raise ChainBrokenError(Fault(reason, before.seq))
        added = await _follow(connection, walk)
    if not added:
        return before, 0
    new = Checkpoint.sign(anchor.keys, seq=walk.seq, row_hash=walk.row_hash, at=now)
    if not await asyncio.to_thread(anchor.append, new, after=before):
        return before, 0
    return new, added


async def _follow(connection: asyncpg.Connection, walk: Walk) -> int:
    """Take `walk` up to CHECKPOINT_ROWS rows further; gives how many. Raises ChainBrokenError."""
    head = await repository.head(connection)
    rows = await repository.stream(connection, after=walk.seq)
    added = 0
    while records := await rows.fetch(min(BATCH_ROWS, CHECKPOINT_ROWS - added)):
        for row in rows_of(records):
            if fault := walk.follow(row):
                raise ChainBrokenError(fault)
        added += len(records)
        if added == CHECKPOINT_ROWS:
            return added
    if fault := walk.end(head):
        raise ChainBrokenError(fault)
    return added
