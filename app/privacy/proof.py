"""The mail that proves an address is the asker's: when it may be sent, and the token in it."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Final, Literal, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.consent.suppression import address_digests
from app.core.db import AnyRow
from app.core.keys import KeyRing
from app.privacy import opt_in
from app.privacy.repository import requests

VALID: Final = timedelta(minutes=30)
OPT_IN_VALID: Final = timedelta(days=7)
TOO_MANY_MAILS: Final = "too_many_mails"
CLOSED: Final = "request_closed"
LIMITS: Final = ((timedelta(minutes=10), 1), (timedelta(days=1), 5))
"""The most requests of one address that are mailed within a time: nobody's mailbox is filled by strangers."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A mail to be sent now. The token is here and nowhere else."""

    request_id: UUID
    type: Literal["access", "erasure", "revoke", "opt_in"]
    language: Literal["pl", "en"]
    address: str
    token: str


def hash_secret(secret: str) -> bytes:
    """How tokens of requests are stored. They have 256 random bits, so a plain digest cannot be guessed back."""
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


async def write(session: AsyncSession, keys: KeyRing, request_id: UUID) -> Proof | str:
    """A mail for a request, with a new token that replaces the one before; or why none may be sent.

    In the caller's transaction, under the claim of the alert that carries it. The token is valid from now on for
    VALID, that of an opt-in for OPT_IN_VALID. No consent is needed for a request: the person asked for this mail. An
    opt-in has a rule of its own (`opt_in.obstacle`), and is closed when it says no.
    """
    address = await requests.address_of(session, request_id)
    if address is None:
        return CLOSED
    digests = address_digests(keys, address)
    await requests.lock_address(session, digests)
    row = await requests.lock_unproved(session, request_id)
    if row is None:
        return CLOSED
    if (reason := await _obstacle(session, keys, row)) is not None:
        await requests.close_opt_ins(session, digests)
        return reason
    if await _too_many(session, digests, row):
        return TOO_MANY_MAILS
    token = secrets.token_urlsafe(32)
    valid = OPT_IN_VALID if row.type == opt_in.OPT_IN else VALID
    await requests.set_token(session, request_id, token_hash=hash_secret(token), valid=valid)
    language = cast("Literal['pl', 'en']", row.locale)
    return Proof(request_id, row.type, language, row.address, token)


async def _too_many(session: AsyncSession, digests: Collection[bytes], row: AnyRow) -> bool:
    for within, most in LIMITS:
        if await requests.mailed(session, digests, but=row.id, within=within) >= most:
            return True
    return row.type == opt_in.OPT_IN and bool(
        await requests.mailed(session, digests, but=row.id, within=opt_in.AGAIN_AFTER, kind=opt_in.OPT_IN)
    )


async def refusal(session: AsyncSession, keys: KeyRing, request_id: UUID) -> str | None:
    """Why a mail that was written may not leave after all, or None: its request was closed, or somebody said no."""
    row = await requests.unproved(session, request_id)
    return CLOSED if row is None else await _obstacle(session, keys, row)


async def _obstacle(session: AsyncSession, keys: KeyRing, row: AnyRow) -> str | None:
    if row.type != opt_in.OPT_IN:
        return None
    found = await opt_in.obstacle(session, keys, address=row.address, asked_at=row.created_at)
    return found if isinstance(found, str) else None
