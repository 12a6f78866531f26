"""The suppression list: addresses that get no marketing, as keyed hashes."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.consent import repository
from app.core.addresses import normalise_email
from app.core.keys import KeyRing

ADDRESS_USE: Final = "address"
"""The use of `KeyRing` under which addresses are hashed for the suppression list."""


async def suppressed_addresses(connection: asyncpg.Connection, *, addresses: Iterable[str], keys: KeyRing) -> set[str]:
    """Those of these addresses that are on the suppression list, under whichever key and however they are written.

    What is no address at all counts as suppressed: nobody can say whose it is.
    """
    suppressed, digests = set(), defaultdict[bytes, set[str]](set)
    for address in addresses:
        try:
            wanted = address_digests(keys, normalise_email(address))
        except ValueError:
            suppressed.add(address)
        else:
            for digest in wanted:
                digests[digest].add(address)
    found = await repository.suppressed(connection, list(digests)) if digests else []
    return suppressed.union(*(digests[digest] for digest in found))


def address_digests(keys: KeyRing, address: str) -> list[bytes]:
    """A normalised address as the suppression list may have it: hashed under every key."""
    return list(keys.digests(ADDRESS_USE, address.encode()).values())


async def suppress(
    session: AsyncSession, *, address: str, keys: KeyRing, reason: str, surface: str, subject_ref: UUID
) -> bool:
    """Put a normalised address on the suppression list, and say so in the audit log; false when it was there already.

    Then it is renewed: no confirmation that was asked for before lifts it. Like `lift` it locks the chain before the
    list, and callers lock conversations before both: one order for all.
    """
    await repository.lock_chain(session)
    if await repository.renew(session, address_digests(keys, address)):
        return False
    digest = keys.digest(ADDRESS_USE, address.encode())
    return await suppress_digest(
        session, digest=digest, key_id=keys.current, reason=reason, surface=surface, subject_ref=subject_ref
    )


async def suppress_digest(
    session: AsyncSession, *, digest: bytes, key_id: str, reason: str, surface: str, subject_ref: UUID
) -> bool:
    """The same for an address that is known by its hash alone, under the key `key_id`."""
    await repository.lock_chain(session)
    if not await repository.suppress(session, address_hmac=digest, key_id=key_id, reason=reason):
        return False
    await _record(session, added=True, surface=surface, subject_ref=subject_ref)
    return True


async def lift(
    session: AsyncSession, *, address: str, keys: KeyRing, asked_at: datetime, surface: str, subject_ref: UUID
) -> bool:
    """Take a normalised address off the list, because its owner confirmed what was asked for at `asked_at`.

    False when it was not on it, or somebody said no since.
    """
    await repository.lock_chain(session)
    if not await repository.lift(session, address_digests(keys, address), asked_at=asked_at):
        return False
    await _record(session, added=False, surface=surface, subject_ref=subject_ref)
    return True


async def record_added(session: AsyncSession, *, address: str, keys: KeyRing, surface: str, subject_ref: UUID) -> None:
    """Say in the audit log that an address came onto the list a while ago, unless it has left it again."""
    await repository.lock_chain(session)
    if await repository.is_suppressed(session, address_digests(keys, address)):
        await _record(session, added=True, surface=surface, subject_ref=subject_ref)


async def _record(session: AsyncSession, *, added: bool, surface: str, subject_ref: UUID) -> None:
    """Append to the audit log that an address came onto the suppression list or left it. The log holds no address."""
    await repository.append_audit(
        session,
        event="suppression.added" if added else "suppression.lifted",
        subject_ref=subject_ref,
        purpose="marketing_email",
        text_version=None,
        text_sha256=None,
        locale=None,
        surface=surface,
        message_seq=None,
    )
