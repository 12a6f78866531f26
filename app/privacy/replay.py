"""After a restored backup: the erasures that it has forgotten, and carrying them out again."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.core import clock
from app.core.db import Database
from app.privacy import erasure
from app.privacy.erasure import Replayed, Subject
from app.privacy.ledger import Entry, Ledger
from app.privacy.office import Office
from app.privacy.purge import PROOF_KEPT
from app.privacy.repository import subjects

SURFACE: Final = "replay"
COUNTED: Final = PROOF_KEPT - timedelta(days=1)
"""How old an erasure may be to be missed: a little younger than the purge of its row, and older than any backup."""


class Watch:
    """Whether the database knows every erasure of the ledger. Cheap to ask while nothing changes.

    The whole ledger is read when its file changed, and when its newest erasure is not in the database: a backup that
    was restored lacks the newest ones first.
    """

    def __init__(self, database: Database, ledger: Ledger | None) -> None:
        self._database = database
        self._ledger = ledger
        self._read_as: tuple[int, int, int] | None = None
        self._newest: UUID | None = None

    async def behind(self) -> bool:
        """Whether there are erasures to replay; one that is just committing is waited for. Raises LedgerBrokenError."""
        ledger = self._ledger
        if ledger is None:
            return False
        state = await asyncio.to_thread(ledger.state)
        if state == self._read_as and not await self._unknown([self._newest] if self._newest else []):
            return False
        entries = await _counted(ledger)
        if await self._unknown([entry.id for entry in entries]):
            return True
        self._newest = entries[-1].id if entries else None
        self._read_as = state
        return False

    async def _unknown(self, erasure_ids: Sequence[UUID]) -> bool:
        if not erasure_ids:
            return False
        async with self._database.transaction() as session:
            if not await subjects.unknown_erasures(session, erasure_ids):
                return False
            await subjects.hold_ledger(session)
            return bool(await subjects.unknown_erasures(session, erasure_ids))


async def _counted(ledger: Ledger) -> list[Entry]:
    """The ledger's erasures that a database must know. Raises LedgerBrokenError."""
    since = clock.now() - COUNTED
    return [entry for entry in await asyncio.to_thread(ledger.read) if entry.at > since]


async def missing(office: Office) -> list[Entry]:
    """The ledger's erasures that the database does not know, the oldest first. Raises LedgerBrokenError."""
    if office.ledger is None:
        return []
    entries = await _counted(office.ledger)
    async with office.database.transaction() as session:
        await subjects.hold_ledger(session)
        unknown = await subjects.unknown_erasures(session, [entry.id for entry in entries])
    return [entry for entry in entries if entry.id in unknown]


async def replay(office: Office) -> int:
    """Carry out every missing erasure, by conversation and by address; gives how many.

    Only what began before the erasure goes: whoever came back later is a new visitor. Raises LedgerBrokenError and
    ErasureIncompleteError.
    """
    entries = await missing(office)
    async with office.database.transaction() as session:
        held = await _addresses(office, session, entries)
    for entry in entries:
        replayed = Replayed(entry.id, entry.at, [(key_id, bytes.fromhex(value)) for key_id, value in entry.suppressed])
        subject = Subject(conversation_ids=entry.conversations, address=held.get(entry.id))
        await erasure.erase(office, subject, surface=SURFACE, replayed=replayed)
    return len(entries)


async def _addresses(office: Office, session: AsyncSession, entries: Sequence[Entry]) -> dict[UUID, str]:
    """The address in clear of each entry whose address the database holds, found by hashing all that it holds."""
    wanted = defaultdict[bytes, list[UUID]](list)
    for entry in entries:
        for value in entry.erased.values():
            wanted[bytes.fromhex(value)].append(entry.id)
    if not wanted:
        return {}
    found: dict[UUID, str] = {}
    async for address in subjects.addresses(session):
        for digest in office.digests(address).values():
            found |= dict.fromkeys(wanted.get(digest, ()), address)
    return found
