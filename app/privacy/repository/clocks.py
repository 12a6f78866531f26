"""The clocks of privacy requests: what lapsed, what was answered for long enough, what is nearly due."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import AnyRow
from app.privacy.models import PrivacyRequest
from app.privacy.repository.requests import OPEN, SILENT

BATCH: Final = 500

_NO_SYNC: Final = {"synchronize_session": False}


async def expire_unproved(session: AsyncSession, *, age: timedelta) -> int:
    """Close requests that nobody proved in time, up to BATCH; gives how many."""
    return await _close(
        session,
        PrivacyRequest.state == "received",
        PrivacyRequest.type != "opt_in",
        PrivacyRequest.created_at < func.now() - age,
        values={"state": "expired", **SILENT},
    )


async def expire_opt_ins(session: AsyncSession, *, unmailed: timedelta) -> int:
    """Close opt-ins whose token is over, or that were not mailed within `unmailed`, up to BATCH; gives how many."""
    return await _close(
        session,
        PrivacyRequest.state == "received",
        PrivacyRequest.type == "opt_in",
        func.coalesce(PrivacyRequest.token_until, PrivacyRequest.created_at + unmailed) < func.now(),
        values={"state": "expired", **SILENT},
    )


async def close_answered(session: AsyncSession) -> int:
    """Close requests for access whose export may no longer be fetched, up to BATCH; gives how many."""
    return await _close(
        session,
        PrivacyRequest.state == "verified",
        PrivacyRequest.access_until < func.now(),
        values={"state": "done", **SILENT},
    )


async def _close(session: AsyncSession, *which: Any, values: Mapping[str, Any]) -> int:
    found = select(PrivacyRequest.id).where(*which).limit(BATCH).with_for_update(skip_locked=True)
    closed = await session.execute(
        update(PrivacyRequest)
        .where(PrivacyRequest.id.in_(found.scalar_subquery()))
        .values(**values)
        .returning(PrivacyRequest.id),
        execution_options=_NO_SYNC,
    )
    return len(closed.all())


async def warn_of_due(session: AsyncSession, *, ahead: timedelta) -> int:
    """Mark open requests whose month is nearly over as told of; gives how many there were to tell of."""
    marked = await session.execute(
        update(PrivacyRequest)
        .where(OPEN, PrivacyRequest.due_at < func.now() + ahead, PrivacyRequest.warned_at.is_(None))
        .values(warned_at=func.now())
        .returning(PrivacyRequest.id),
        execution_options=_NO_SYNC,
    )
    return len(marked.all())


async def due(session: AsyncSession, *, ahead: timedelta, limit: int) -> tuple[int, Sequence[AnyRow]]:
    """How many open requests are due so soon or late already, and the most urgent of them."""
    which = (OPEN, PrivacyRequest.due_at < func.now() + ahead)
    count = (await session.execute(select(func.count()).where(*which))).scalar_one()
    rows = await session.execute(
        select(PrivacyRequest.id, PrivacyRequest.type, PrivacyRequest.state, PrivacyRequest.due_at)
        .where(*which)
        .order_by(PrivacyRequest.due_at)
        .limit(limit)
    )
    return count, rows.all()
