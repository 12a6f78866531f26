"""Every query of API keys."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import AnyRow
from app.operations.models import ApiKey

_USABLE = and_(ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()))


async def find(session: AsyncSession, prefix: str) -> AnyRow | None:
    """What decides about a presented key: its hash, name and scopes, whether it is `usable`, and its last use."""
    return (
        await session.execute(
            select(ApiKey.key_hash, ApiKey.name, ApiKey.scopes, ApiKey.last_used_at, _USABLE.label("usable")).where(
                ApiKey.prefix == prefix
            )
        )
    ).one_or_none()


async def add(
    session: AsyncSession,
    *,
    prefix: str,
    key_hash: bytes,
    name: str,
    scopes: Collection[str],
    expires_at: datetime | None,
) -> None:
    """Store a new key."""
    await session.execute(
        insert(ApiKey).values(prefix=prefix, key_hash=key_hash, name=name, scopes=list(scopes), expires_at=expires_at)
    )


async def count(session: AsyncSession) -> int:
    """How many keys are stored, whether they still open anything or not."""
    return (await session.execute(select(func.count()).select_from(ApiKey))).scalar_one()


async def forget(session: AsyncSession, *, after: timedelta) -> None:
    """Delete keys that were revoked, or expired, longer ago than `after`."""
    ended = func.least(ApiKey.revoked_at, ApiKey.expires_at)
    await session.execute(
        delete(ApiKey).where(ended < func.now() - after), execution_options={"synchronize_session": False}
    )


async def every(session: AsyncSession) -> Sequence[AnyRow]:
    """All keys, newest first."""
    return (
        await session.execute(
            select(
                ApiKey.prefix,
                ApiKey.name,
                ApiKey.scopes,
                ApiKey.created_at,
                ApiKey.expires_at,
                ApiKey.revoked_at,
                ApiKey.last_used_at,
                _USABLE.label("usable"),
            ).order_by(ApiKey.created_at.desc(), ApiKey.prefix)
        )
    ).all()


async def revoke(session: AsyncSession, prefix: str) -> bool:
    """Revoke a key; false when there is none or it was revoked before."""
    revoked = await session.execute(
        update(ApiKey)
        .where(ApiKey.prefix == prefix, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(ApiKey.prefix),
        execution_options={"synchronize_session": False},
    )
    return revoked.one_or_none() is not None


async def note_use(session: AsyncSession, prefix: str, *, every: timedelta) -> None:
    """Note that a key was used now, unless another process did so less than `every` ago."""
    await session.execute(
        update(ApiKey)
        .where(
            ApiKey.prefix == prefix,
            or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= func.now() - every),
        )
        .values(last_used_at=func.now()),
        execution_options={"synchronize_session": False},
    )
