"""Idempotency keys: the same request under the same key has one effect and one answer (IETF idempotency-key-header)."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.errors import ConflictError, InvalidError, MalformedError
from app.operations import repository

LIFETIME: Final = timedelta(hours=24)
"""How long callers may rely on a key."""
KEPT: Final = 2 * LIFETIME
"""When the purge takes its row."""

_KEY: Final = re.compile(r'("?)([A-Za-z0-9_-]{16,64})\1')


class IdempotencyKeyMalformedError(MalformedError):
    """The header holds no key."""

    code = "idempotency-key-malformed"
    title = "The Idempotency-Key is not valid."


class IdempotencyKeyInProgressError(ConflictError):
    """The first request under this key has no answer yet."""

    code = "idempotency-key-in-progress"
    title = "A request with this Idempotency-Key is being worked on."
    retry_after = 1


class IdempotencyKeyReusedError(InvalidError):
    """Another request had this key."""

    code = "idempotency-key-reused"
    title = "This Idempotency-Key belongs to another request."


@dataclass(frozen=True, slots=True)
class Claim:
    """One request under one key."""

    scope: str
    """Whose key it is, and on which operation."""
    key: str
    fingerprint: bytes

    @property
    def lock(self) -> int:
        """The number of this key's advisory lock."""
        digest = hashlib.sha256(f"{self.scope}\0{self.key}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered with. Its body names rows and holds no personal data: erasures do not look here."""

    status: int
    body: dict[str, Any]


def parse_key(header: str) -> str:
    """The key in a header, quoted or bare. Raises IdempotencyKeyMalformedError."""
    if found := _KEY.fullmatch(header):
        return found[2]
    raise IdempotencyKeyMalformedError("It has 16 to 64 letters, digits, hyphens and underscores; a UUID is fine.")


def fingerprint(path: Mapping[str, object], query: bytes, body: bytes) -> bytes:
    """SHA-256 of what distinguishes a request from others to the same operation."""
    digest = hashlib.sha256()
    for part in (*(f"{name}={value}".encode() for name, value in sorted(path.items())), query, body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


async def begin(session: AsyncSession, claim: Claim) -> Answer | None:
    """Take the key until this transaction ends; gives the answer that is stored under it.

    Raises IdempotencyKeyInProgressError while another transaction has it, and IdempotencyKeyReusedError when the stored
    answer is another request's.
    """
    if not await repository.try_lock(session, claim.lock):
        raise IdempotencyKeyInProgressError("Send the same again in a moment: it gets the answer of the first.")
    stored = await repository.answer(session, scope=claim.scope, key=claim.key)
    if stored is None:
        return None
    if stored.fingerprint != claim.fingerprint:
        raise IdempotencyKeyReusedError("A new request needs a new key.")
    return Answer(stored.status, stored.body)


async def keep(session: AsyncSession, claim: Claim, answer: Answer) -> None:
    """Store the answer, in the transaction of the effect."""
    await repository.add_answer(
        session,
        scope=claim.scope,
        key=claim.key,
        fingerprint=claim.fingerprint,
        status=answer.status,
        body=answer.body,
    )
