"""Limits as operators see and change them: the environment's values, what holds in their place, what was refused."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import Database
from app.core.errors import InvalidError, NotFoundError
from app.core.settings import RateLimit as RateLimitValue
from app.operations import repository
from app.operations import service as journal

_VALUE: Final[TypeAdapter[str]] = TypeAdapter(RateLimitValue)


class PolicyUnknownError(NotFoundError):
    """There is no limit of this name."""

    code = "policy-unknown"
    title = "There is no such limit."


class LimitInvalidError(InvalidError):
    """The value is none that the limiter can read."""

    code = "limit-invalid"
    title = "The limit is not valid."


async def overview(session: AsyncSession, *, defaults: Mapping[str, str]) -> list[dict[str, Any]]:
    """Every limit: what holds, where it comes from, and how many requests it refused so far."""
    rows = {row.policy: row for row in await repository.rate_limits(session)}
    listed = []
    for policy, default in defaults.items():
        row = rows.get(policy)
        changed = row is not None and row.value is not None
        listed.append(
            {
                "policy": policy,
                "value": row.value if row is not None and changed else default,
                "default": default,
                "changed_at": row.changed_at if row is not None and changed else None,
                "changed_by": row.changed_by if row is not None and changed else None,
                "limited": row.limited if row is not None else 0,
                "limited_at": row.limited_at if row is not None else None,
            }
        )
    return listed


async def change(session: AsyncSession, policy: str, value: str, *, defaults: Mapping[str, str], actor: str) -> None:
    """Have `value` hold in place of the environment's. Raises PolicyUnknownError, LimitInvalidError."""
    _known(policy, defaults)
    try:
        value = _VALUE.validate_python(value)
    except ValidationError as invalid:
        reason = str(invalid.errors(include_url=False, include_input=False)[0]["msg"])
        raise LimitInvalidError(reason.removeprefix("Value error, ")) from None
    await repository.set_rate_limit(session, policy, value, actor=actor)
    await journal.note(session, actor=actor, action="limit.set", target=policy, reason=value)


async def reset(session: AsyncSession, policy: str, *, defaults: Mapping[str, str], actor: str) -> None:
    """Have the environment's value hold again. Raises PolicyUnknownError."""
    _known(policy, defaults)
    await repository.set_rate_limit(session, policy, None, actor=actor)
    await journal.note(session, actor=actor, action="limit.reset", target=policy)


async def refresh(database: Database, limited: Mapping[str, int]) -> dict[str, str]:
    """Add to what was refused, by policy; gives the values that hold in place of the environment's."""
    async with database.transaction() as session:
        for policy, count in sorted(limited.items()):
            await repository.add_limited(session, policy, count)
        return {row.policy: row.value for row in await repository.rate_limits(session) if row.value is not None}


def _known(policy: str, defaults: Mapping[str, str]) -> None:
    if policy not in defaults:
        raise PolicyUnknownError(f"The limits are {', '.join(defaults)}.")
