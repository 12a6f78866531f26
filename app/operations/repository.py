"""Every query of the journals."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, insert, select, true, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import AnyRow
from app.operations.models import IdempotencyKey, OperatorAction, RateLimit, ScheduledJob


async def begin_run(session: AsyncSession, *, name: str, every: timedelta, slack: timedelta) -> bool:
    """Take this run of a job; false when somebody began one less than `every` less `slack` ago."""
    statement = upsert(ScheduledJob).values(name=name, every=every, started_at=func.now())
    statement = statement.on_conflict_do_update(
        index_elements=["name"],
        set_={"every": every, "started_at": func.now()},
        where=ScheduledJob.started_at <= func.now() - (every - slack),
    )
    return (await session.execute(statement.returning(ScheduledJob.name))).one_or_none() is not None


async def end_run(session: AsyncSession, *, name: str, count: int | None, error: str | None) -> None:
    """Note how a run ended: with a count of rows, or with an error's class."""
    values = {"succeeded_at": func.now(), "last_count": count} if error is None else {"failed_at": func.now()}
    await session.execute(
        update(ScheduledJob).where(ScheduledJob.name == name).values(last_error=error, **values),
        execution_options={"synchronize_session": False},
    )


async def jobs(session: AsyncSession) -> Sequence[AnyRow]:
    """Every job and its last runs, by name."""
    return (
        await session.execute(
            select(
                ScheduledJob.name,
                ScheduledJob.every,
                ScheduledJob.started_at,
                ScheduledJob.succeeded_at,
                ScheduledJob.failed_at,
                ScheduledJob.last_error,
                ScheduledJob.last_count,
            ).order_by(ScheduledJob.name)
        )
    ).all()


async def add_action(
    session: AsyncSession,
    *,
    actor: str,
    action: str,
    target: str,
    reason: str | None,
    count: int,
    request_id: str | None,
) -> UUID:
    """Append what an operator did, in the transaction that did it; gives the entry's id."""
    entry = uuid4()
    await session.execute(
        insert(OperatorAction).values(
            id=entry, actor=actor, action=action, target=target, reason=reason, count=count, request_id=request_id
        )
    )
    return entry


async def add_to_action(session: AsyncSession, entry: UUID, *, count: int) -> None:
    """Add to the count of an entry."""
    await session.execute(
        update(OperatorAction).where(OperatorAction.id == entry).values(count=OperatorAction.count + count),
        execution_options={"synchronize_session": False},
    )


async def actions(
    session: AsyncSession, *, target: str | None, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[AnyRow]:
    """One page of what operators did, newest first, after the keyset position `before`."""
    key = tuple_(OperatorAction.at, OperatorAction.id)
    return (
        await session.execute(
            select(
                OperatorAction.id,
                OperatorAction.at,
                OperatorAction.actor,
                OperatorAction.action,
                OperatorAction.target,
                OperatorAction.reason,
                OperatorAction.count,
                OperatorAction.request_id,
            )
            .where(OperatorAction.target == target if target else true(), key < before if before else true())
            .order_by(OperatorAction.at.desc(), OperatorAction.id.desc())
            .limit(limit)
        )
    ).all()


async def try_lock(session: AsyncSession, number: int) -> bool:
    """Take an advisory lock until the transaction ends; false, at once, when another transaction has it."""
    return bool((await session.execute(select(func.pg_try_advisory_xact_lock(number)))).scalar_one())


async def answer(session: AsyncSession, *, scope: str, key: str) -> AnyRow | None:
    """What is stored under a key: fingerprint, status and body; None when nothing is."""
    return (
        await session.execute(
            select(IdempotencyKey.fingerprint, IdempotencyKey.status, IdempotencyKey.body).where(
                IdempotencyKey.scope == scope, IdempotencyKey.key == key
            )
        )
    ).one_or_none()


async def add_answer(
    session: AsyncSession, *, scope: str, key: str, fingerprint: bytes, status: int, body: dict[str, Any]
) -> None:
    """Store the answer to a request under its key."""
    await session.execute(
        insert(IdempotencyKey).values(scope=scope, key=key, fingerprint=fingerprint, status=status, body=body)
    )


async def rate_limits(session: AsyncSession) -> Sequence[AnyRow]:
    """Every limit that was changed or refused something."""
    return (
        await session.execute(
            select(
                RateLimit.policy,
                RateLimit.value,
                RateLimit.changed_at,
                RateLimit.changed_by,
                RateLimit.limited,
                RateLimit.limited_at,
            )
        )
    ).all()


async def set_rate_limit(session: AsyncSession, policy: str, value: str | None, *, actor: str) -> None:
    """Store what holds in place of the environment's value; None for nothing."""
    changed: dict[str, Any] = {"value": value, "changed_at": func.now(), "changed_by": actor}
    statement = upsert(RateLimit).values(policy=policy, **changed)
    await session.execute(statement.on_conflict_do_update(index_elements=["policy"], set_=changed))


async def add_limited(session: AsyncSession, policy: str, count: int) -> None:
    """Add to how many requests a limit refused."""
    new = upsert(RateLimit).values(policy=policy, limited=count, limited_at=func.now())
    added = {"limited": RateLimit.limited + new.excluded.limited, "limited_at": func.now()}
    await session.execute(new.on_conflict_do_update(index_elements=["policy"], set_=added))
