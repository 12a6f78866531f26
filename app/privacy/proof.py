"""The mail that proves an address is the asker's: when it may be sent, and the token in it."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Final, Literal, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.consent.suppression import ADDRESS_USE
from app.core.keys import KeyRing
from app.privacy.repository import requests

PROOF_EVENT: Final = "privacy.proof"
VALID: Final = timedelta(minutes=30)
TOO_MANY_MAILS: Final = "too_many_mails"
LIMITS: Final = ((timedelta(minutes=10), 1), (timedelta(days=1), 5))
"""The most requests of one address that are mailed within a time: nobody's mailbox is filled by strangers."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A mail to be sent now. The token is here and nowhere else."""

    request_id: UUID
    type: Literal["access", "erasure", "revoke"]
    language: Literal["pl", "en"]
    address: str
    token: str


def hash_secret(secret: str) -> bytes:
    """How tokens of requests are stored. They have 256 random bits, so a plain digest cannot be guessed back."""
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


async def write(session: AsyncSession, keys: KeyRing, request_id: UUID) -> Proof | str:
    """A mail for a request, with a new token that replaces the one before; or why none may be sent.

    In the caller's transaction, under the claim of the alert that carries it. The token is valid from now on for
    VALID. No consent is needed: the person asked for this mail.
    """
    row = await requests.lock_unproved(session, request_id)
    if row is None:
        return "request_closed"
    digests = keys.digests(ADDRESS_USE, row.address.encode()).values()
    for within, most in LIMITS:
        if await requests.mailed(session, list(digests), but=request_id, within=within) >= most:
            return TOO_MANY_MAILS
    token = secrets.token_urlsafe(32)
    await requests.set_token(session, request_id, token_hash=hash_secret(token), valid=VALID)
    language = cast("Literal['pl', 'en']", row.locale)
    return Proof(request_id, row.type, language, row.address, token)
