"""API keys of programs: what each may do, and whether a presented one opens anything."""

import asyncio
import hmac
import re
import secrets
import string
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, Literal, TypeAlias, get_args

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import clock
from app.core.db import DATABASE_ERRORS, AnyRow, Database
from app.core.errors import ConflictError, NotFoundError
from app.operations import api_key_repository as repository
from app.operations import service

Scope: TypeAlias = Literal[
    "admin",
    "alerts:read",
    "audit:read",
    "conversations:read",
    "conversations:write",
    "delivery:operate",
    "followups:read",
    "followups:write",
    "leads:read",
    "leads:write",
    "operations:read",
    "privacy:read",
    "questions:read",
    "questions:write",
]
SCOPES: Final[dict[Scope, str]] = {
    "admin": "Everything, what comes later included.",
    "alerts:read": "Alerts, dead letters and channels.",
    "audit:read": "What people agreed to and refused, and whether the log of it holds.",
    "conversations:read": "What visitors and we said.",
    "conversations:write": "Answer visitors who asked for a person, and give them back to the bot.",
    "delivery:operate": "Retry and discard dead letters; pause, resume, reset and test channels.",
    "followups:read": "Follow-ups written and due, and what the next would say.",
    "followups:write": "Write and cancel follow-ups.",
    "leads:read": "Visitors with contact data, also as CSV.",
    "leads:write": "How far sales has come with a lead.",
    "operations:read": "How the service stands, and what operators did.",
    "privacy:read": "Requests of access, erasure and withdrawal, and their clocks.",
    "questions:read": "What the assistant could not answer.",
    "questions:write": "Say of such a question that it is answered, or needs no answer.",
}
"""What a key may be allowed. None includes another, but `admin` includes all."""

ADMIN: Final = "key:admin"
"""How ADMIN_API_KEY is journaled."""
MAX_KEYS: Final = 1_000
FORGOTTEN_AFTER: Final = timedelta(days=365)
"""When a key that ended is deleted, by the next one that is created. The journal keeps its prefix."""
USE_NOTED_EVERY: Final = timedelta(minutes=1)

_PREFIX_LETTERS: Final = string.ascii_lowercase + string.digits
_KEY: Final = re.compile(r"nh_([a-z0-9]{8})_[A-Za-z0-9_-]{43}")
_NO_HASH: Final = bytes(32)

_log = structlog.stdlib.get_logger(__name__)


class ApiKeyUnknownError(NotFoundError):
    """No key has this prefix."""

    code = "api-key-unknown"
    title = "There is no API key with this prefix."


class TooManyApiKeysError(ConflictError):
    """There are as many keys as anybody can look after."""

    code = "api-keys-too-many"
    title = "There are too many API keys."


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what they may do."""

    name: str
    """As in `operator_action.actor`."""
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether this caller has `scope`."""
        return scope in self.scopes or "admin" in self.scopes


@dataclass(frozen=True, slots=True)
class Created:
    """A new key. `key` is the only copy of it."""

    prefix: str
    key: str
    name: str
    scopes: tuple[Scope, ...]
    expires_at: datetime | None


async def create(
    session: AsyncSession, *, name: str, scopes: Collection[Scope], expires_in: timedelta | None, actor: str
) -> Created:
    """Make a key. Raises TooManyApiKeysError when MAX_KEYS are kept."""
    await repository.forget(session, after=FORGOTTEN_AFTER)
    if await repository.count(session) >= MAX_KEYS:
        raise TooManyApiKeysError(f"{MAX_KEYS} are kept, each until a year after its end.")
    prefix = "".join(secrets.choice(_PREFIX_LETTERS) for _ in range(8))
    created = Created(
        prefix=prefix,
        key=f"nh_{prefix}_{secrets.token_urlsafe(32)}",
        name=name,
        scopes=tuple(scope for scope in get_args(Scope) if scope in scopes),
        expires_at=clock.now() + expires_in if expires_in else None,
    )
    await repository.add(
        session,
        prefix=prefix,
        key_hash=sha256(created.key.encode()).digest(),
        name=name,
        scopes=created.scopes,
        expires_at=created.expires_at,
    )
    await service.note(
        session, actor=actor, action="api_key.create", target=prefix, reason=f"{name}: {' '.join(created.scopes)}"
    )
    return created


async def every(session: AsyncSession) -> Sequence[AnyRow]:
    """All keys and when each was last used, newest first; never the keys themselves."""
    return await repository.every(session)


async def revoke(session: AsyncSession, prefix: str, *, actor: str) -> AnyRow:
    """End a key: the next request with it is refused. The same again changes nothing. Raises ApiKeyUnknownError."""
    if await repository.revoke(session, prefix):
        await service.note(session, actor=actor, action="api_key.revoke", target=prefix)
    found = next((row for row in await repository.every(session) if row.prefix == prefix), None)
    if found is None:
        raise ApiKeyUnknownError
    return found


class Door:
    """Tells who calls, from a presented key and what is stored now: a revoked key opens nothing from its commit on."""

    def __init__(self, database: Database, *, admin_key: str | None) -> None:
        self._database = database
        self._admin_hash = sha256(admin_key.encode()).digest() if admin_key else None
        self._noting: dict[str, asyncio.Task[None]] = {}

    async def caller(self, presented: str) -> Caller | None:
        """Whose key it is; None when it is nobody's, has expired or was revoked, which costs the same time.

        Raises what the driver raises when PostgreSQL is away.
        """
        given = sha256(presented.encode("utf-8", "surrogateescape")).digest()
        if self._admin_hash is not None and hmac.compare_digest(given, self._admin_hash):
            return Caller(ADMIN, frozenset({"admin"}))
        shape = _KEY.fullmatch(presented)
        if shape is None:
            return None
        prefix = shape[1]
        async with self._database.transaction() as session:
            row = await repository.find(session, prefix)
        matches = hmac.compare_digest(given, row.key_hash if row else _NO_HASH)
        if row is None or not matches or not row.usable:
            return None
        if row.last_used_at is None or row.last_used_at <= clock.now() - USE_NOTED_EVERY:
            self._note_use(prefix)
        return Caller(f"key:{prefix}/{row.name}", frozenset(row.scopes))

    async def aclose(self) -> None:
        """Give up the uses that are still being noted."""
        noting = list(self._noting.values())
        for task in noting:
            task.cancel()
        await asyncio.gather(*noting, return_exceptions=True)

    def _note_use(self, prefix: str) -> None:
        """Beside the request, which does not wait for it: one at a time for each key."""
        if prefix not in self._noting:
            task = asyncio.create_task(self._write_use(prefix))
            self._noting[prefix] = task
            task.add_done_callback(lambda _: self._noting.pop(prefix, None))

    async def _write_use(self, prefix: str) -> None:
        try:
            async with self._database.transaction() as session:
                await repository.note_use(session, prefix, every=USE_NOTED_EVERY)
        except DATABASE_ERRORS as error:
            _log.warning("api_key_use_not_noted", error=type(error).__name__)
