"""Privacy requests: asked, mailed, proved, answered, closed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, case, func, insert, null, or_, select, text, true, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import AnyRow
from app.privacy.models import PrivacyRequest

MAX_TRIES: Final = 5

_NO_SYNC: Final = {"synchronize_session": False}
OPEN: Final = PrivacyRequest.state.in_(("received", "verified"))
SILENT: Final[dict[str, Any]] = {"address": null(), "token_hash": null(), "closed_at": func.now()}
"""What closing a request takes away."""


async def add(
    session: AsyncSession,
    *,
    request_id: UUID,
    kind: str,
    locale: str,
    address: str,
    address_hmac: bytes,
    key_id: str,
    asked_at: datetime | None = None,
) -> None:
    """Note a request, asked now or at `asked_at`. Its answer is due in one month (GDPR art. 12(3))."""
    await session.execute(
        insert(PrivacyRequest).values(
            id=request_id,
            type=kind,
            locale=locale,
            address=address,
            address_hmac=address_hmac,
            key_id=key_id,
            created_at=asked_at or func.now(),
            due_at=func.now() + text("interval '1 month'"),
        )
    )


async def lock_unproved(session: AsyncSession, request_id: UUID) -> AnyRow | None:
    """A request that still waits for its proof and has tries left, locked until the caller commits; else None."""
    return (await session.execute(_unproved(request_id).with_for_update())).one_or_none()


async def unproved(session: AsyncSession, request_id: UUID) -> AnyRow | None:
    """The same without a lock."""
    return (await session.execute(_unproved(request_id))).one_or_none()


def _unproved(request_id: UUID) -> Select[*tuple[Any, ...]]:
    return select(
        PrivacyRequest.id,
        PrivacyRequest.type,
        PrivacyRequest.locale,
        PrivacyRequest.address,
        PrivacyRequest.created_at,
    ).where(
        PrivacyRequest.id == request_id,
        PrivacyRequest.state == "received",
        PrivacyRequest.tries < MAX_TRIES,
        PrivacyRequest.address.is_not(None),
    )


async def address_of(session: AsyncSession, request_id: UUID) -> str | None:
    """The address of a request that is not closed, else None."""
    return (
        await session.execute(select(PrivacyRequest.address).where(PrivacyRequest.id == request_id))
    ).scalar_one_or_none()


async def lock_address(session: AsyncSession, digests: Collection[bytes]) -> None:
    """Let what is done about one address, given under every key, come one after the other.

    Taken before any row: mails of one address are counted, and an erasure closes all its requests.
    """
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(min(digests).hex(), 0))))


async def mailed(
    session: AsyncSession, digests: Collection[bytes], *, but: UUID, within: timedelta, kind: str | None = None
) -> int:
    """How many requests of this hashed address, all or of one kind, were mailed a proof lately, without `but`."""
    count: int = (
        await session.execute(
            select(func.count()).where(
                PrivacyRequest.address_hmac.in_(digests),
                PrivacyRequest.mailed_at > func.now() - within,
                PrivacyRequest.id != but,
                PrivacyRequest.type == kind if kind else true(),
            )
        )
    ).scalar_one()
    return count


async def open_opt_ins(
    session: AsyncSession, digests: Collection[bytes], *, again_after: timedelta
) -> Sequence[AnyRow]:
    """What a hashed address was asked to confirm and has not yet: created_at, and whether that is `fresh`.

    Fresh: its mail waits, or left less than `again_after` ago.
    """
    fresh = or_(PrivacyRequest.mailed_at.is_(None), PrivacyRequest.mailed_at > func.now() - again_after)
    return (
        await session.execute(select(PrivacyRequest.created_at, fresh.label("fresh")).where(*_open_opt_ins(digests)))
    ).all()


async def close_opt_ins(session: AsyncSession, digests: Collection[bytes]) -> int:
    """Let what a hashed address was asked to confirm lapse; gives how many."""
    closed = await session.execute(
        update(PrivacyRequest)
        .where(*_open_opt_ins(digests))
        .values(state="expired", **SILENT)
        .returning(PrivacyRequest.id),
        execution_options=_NO_SYNC,
    )
    return len(closed.all())


def _open_opt_ins(digests: Collection[bytes]) -> tuple[ColumnElement[bool], ...]:
    return (
        PrivacyRequest.address_hmac.in_(digests),
        PrivacyRequest.type == "opt_in",
        PrivacyRequest.state == "received",
    )


async def set_token(session: AsyncSession, request_id: UUID, *, token_hash: bytes, valid: timedelta) -> None:
    """Replace the token that proves a locked request."""
    await session.execute(
        update(PrivacyRequest)
        .where(PrivacyRequest.id == request_id)
        .values(token_hash=token_hash, token_until=func.now() + valid, mailed_at=func.now()),
        execution_options=_NO_SYNC,
    )


async def take_try(session: AsyncSession, request_id: UUID) -> AnyRow | None:
    """Use up one try of a request that waits for its proof, and lock it; None when there is none left."""
    return (
        await session.execute(
            update(PrivacyRequest)
            .where(
                PrivacyRequest.id == request_id, PrivacyRequest.state == "received", PrivacyRequest.tries < MAX_TRIES
            )
            .values(tries=PrivacyRequest.tries + 1)
            .returning(
                PrivacyRequest.id,
                PrivacyRequest.type,
                PrivacyRequest.address,
                PrivacyRequest.created_at,
                PrivacyRequest.token_hash,
                (PrivacyRequest.token_until > func.now()).label("in_time"),
            ),
            execution_options=_NO_SYNC,
        )
    ).one_or_none()


async def prove(
    session: AsyncSession, request_id: UUID, *, access_hash: bytes | None = None, valid: timedelta = timedelta()
) -> None:
    """Note the proof; its token is used up. With `access_hash` the export may be fetched for so long."""
    await session.execute(
        update(PrivacyRequest)
        .where(PrivacyRequest.id == request_id)
        .values(
            state="verified",
            verified_at=func.now(),
            token_hash=null(),
            access_hash=access_hash,
            access_until=func.now() + valid if access_hash else null(),
        ),
        execution_options=_NO_SYNC,
    )


async def answer(session: AsyncSession, request_id: UUID, *, result: Mapping[str, Any], close: bool) -> None:
    """Note what was done about a proved request, and close it when that was all."""
    values = {"result": dict(result), **({"state": "done", **SILENT} if close else {})}
    await session.execute(
        update(PrivacyRequest).where(PrivacyRequest.id == request_id).values(**values), execution_options=_NO_SYNC
    )


async def close_all(
    session: AsyncSession, digests: Collection[bytes], *, but: UUID | None, before: datetime | None = None
) -> int:
    """Close every open request of a hashed address that was erased, and end every export; gives how many.

    `before` leaves out requests that came later.
    """
    closed = await session.execute(
        update(PrivacyRequest)
        .where(
            PrivacyRequest.address_hmac.in_(digests),
            OPEN,
            PrivacyRequest.id != but if but else true(),
            PrivacyRequest.created_at <= before if before else true(),
        )
        .values(state=case((PrivacyRequest.state == "verified", "done"), else_="expired"), access_hash=null(), **SILENT)
        .returning(PrivacyRequest.id),
        execution_options=_NO_SYNC,
    )
    return len(closed.all())


async def with_access(session: AsyncSession, request_id: UUID) -> AnyRow | None:
    """What decides whether a bearer may fetch a request's export."""
    return (
        await session.execute(
            select(
                PrivacyRequest.access_hash,
                PrivacyRequest.address,
                (PrivacyRequest.access_until > func.now()).label("in_time"),
            ).where(PrivacyRequest.id == request_id)
        )
    ).one_or_none()


async def of_address(
    session: AsyncSession, digests: Collection[bytes], *, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[AnyRow]:
    """One page of what is held about the requests of a hashed address, oldest first, after the keyset position."""
    key = tuple_(PrivacyRequest.created_at, PrivacyRequest.id)
    return (
        await session.execute(
            select(
                PrivacyRequest.id,
                PrivacyRequest.type,
                PrivacyRequest.state,
                PrivacyRequest.locale,
                PrivacyRequest.created_at,
                PrivacyRequest.due_at,
                PrivacyRequest.mailed_at,
                PrivacyRequest.verified_at,
                PrivacyRequest.closed_at,
                PrivacyRequest.result,
            )
            .where(PrivacyRequest.address_hmac.in_(digests), key > after if after else true())
            .order_by(PrivacyRequest.created_at, PrivacyRequest.id)
            .limit(limit)
        )
    ).all()


async def page(
    session: AsyncSession, *, state: str | None, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[AnyRow]:
    """One page of requests, newest first, without what they are about."""
    key = tuple_(PrivacyRequest.created_at, PrivacyRequest.id)
    return (
        await session.execute(
            select(
                PrivacyRequest.id,
                PrivacyRequest.type,
                PrivacyRequest.state,
                PrivacyRequest.locale,
                PrivacyRequest.tries,
                PrivacyRequest.created_at,
                PrivacyRequest.due_at,
                PrivacyRequest.mailed_at,
                PrivacyRequest.verified_at,
                PrivacyRequest.closed_at,
                PrivacyRequest.result,
            )
            .where(PrivacyRequest.state == state if state else true(), key < before if before else true())
            .order_by(PrivacyRequest.created_at.desc(), PrivacyRequest.id.desc())
            .limit(limit)
        )
    ).all()
