"""What every use case of privacy needs, made once per process."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import UUID

from app.consent.suppression import ADDRESS_USE
from app.conversations.consents import Reach
from app.core.db import Database
from app.core.jobs import Doorbell
from app.core.keys import KeyRing
from app.core.settings import Settings
from app.privacy.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Office:
    """Database, keys, ledger, and whom to tell."""

    database: Database
    keys: KeyRing
    ledger: Ledger | None
    forget_receipts: Callable[[Collection[UUID]], Awaitable[None]]
    pagers: tuple[str, ...]
    reach: Reach

    @classmethod
    def of(cls, settings: Settings, *, database: Database, doorbell: Doorbell) -> Self:
        """The office that the environment describes."""
        keys = KeyRing.of(settings)
        return cls(
            database=database,
            keys=keys,
            ledger=ledger_of(settings, keys),
            forget_receipts=doorbell.forget_receipts,
            pagers=settings.pager_channels,
            reach=Reach.of(settings),
        )

    def digest(self, address: str) -> tuple[str, bytes]:
        """The current key's id and an address hashed with it."""
        return self.keys.current, self.keys.digest(ADDRESS_USE, address.encode())

    def digests(self, address: str) -> dict[str, bytes]:
        """An address hashed with every key, by key id."""
        return self.keys.digests(ADDRESS_USE, address.encode())


def ledger_of(settings: Settings, keys: KeyRing) -> Ledger | None:
    """The ledger that ERASURE_LEDGER names; None when it is off."""
    return Ledger(Path(settings.erasure_ledger), keys) if settings.erasure_ledger else None
