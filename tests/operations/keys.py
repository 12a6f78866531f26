"""API keys of tests."""

from collections.abc import Collection
from datetime import timedelta

from app.core.db import Database
from app.operations import api_keys
from app.operations.api_keys import Created, Scope

ACTOR = "cli:test"


async def make(database: Database, *scopes: Scope, name: str = "crm", expires_in: timedelta | None = None) -> Created:
    """A key with these scopes."""
    wanted: Collection[Scope] = scopes or ("admin",)
    async with database.transaction() as session:
        return await api_keys.create(session, name=name, scopes=wanted, expires_in=expires_in, actor=ACTOR)


async def revoke(database: Database, prefix: str) -> None:
    """End a key."""
    async with database.transaction() as session:
        await api_keys.revoke(session, prefix, actor=ACTOR)


def bearer(key: str) -> dict[str, str]:
    """The header that presents a key."""
    return {"Authorization": f"Bearer {key}"}
