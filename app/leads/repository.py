"""Every query of leads."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import func, select, true, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import AnyRow
from app.leads.models import Lead

_COLUMNS = (
    Lead.id,
    Lead.conversation_id,
    Lead.status,
    Lead.score,
    Lead.language,
    Lead.name,
    Lead.phone,
    Lead.email,
    Lead.city,
    Lead.property_type,
    Lead.area_m2,
    Lead.package,
    Lead.budget_pln,
    Lead.rodo_consent,
    Lead.marketing_consent,
    Lead.created_at,
    Lead.updated_at,
)


async def upsert(session: AsyncSession, *, conversation_id: UUID, values: dict[str, Any]) -> UUID:
    """Insert or refresh the lead of a conversation and give its id."""
    statement = insert(Lead).values(id=uuid4(), conversation_id=conversation_id, **values)
    statement = statement.on_conflict_do_update(
        index_elements=["conversation_id"], set_={**values, "updated_at": func.now()}
    )
    lead_id: UUID = (await session.execute(statement.returning(Lead.id))).scalar_one()
    return lead_id


async def get(session: AsyncSession, lead_id: UUID) -> AnyRow | None:
    """One lead, or None."""
    return (await session.execute(select(*_COLUMNS).where(Lead.id == lead_id))).one_or_none()


async def set_consents(
    session: AsyncSession, conversation_id: UUID, *, rodo: bool | None, marketing: bool | None
) -> AnyRow | None:
    """Repeat the current answers of the lead's conversation; gives the lead's id and score, None without a lead."""
    updated = await session.execute(
        update(Lead)
        .where(Lead.conversation_id == conversation_id)
        .values(rodo_consent=rodo, marketing_consent=marketing, updated_at=func.now())
        .returning(Lead.id, Lead.score),
        execution_options={"synchronize_session": False},
    )
    return updated.one_or_none()


MANY_SQL: Final = """
SELECT id, conversation_id, score, language, name, phone, email, city, property_type, area_m2, package, budget_pln,
    marketing_consent, created_at
FROM leads WHERE id = ANY($1::uuid[])
"""


async def many(connection: asyncpg.Connection, lead_ids: Sequence[UUID]) -> dict[UUID, asyncpg.Record]:
    """What sales should know of those of `lead_ids` that exist, by id. One statement on the driver's connection."""
    return {row["id"]: row for row in await connection.fetch(MANY_SQL, lead_ids)}


async def page(session: AsyncSession, *, before: tuple[datetime, UUID] | None, limit: int) -> Sequence[AnyRow]:
    """One page of leads, newest first, after the keyset position `before`."""
    key = tuple_(Lead.created_at, Lead.id)
    return (
        await session.execute(
            select(*_COLUMNS)
            .where(key < before if before else true())
            .order_by(Lead.created_at.desc(), Lead.id.desc())
            .limit(limit)
        )
    ).all()


async def set_status(session: AsyncSession, lead_id: UUID, status: str) -> bool:
    """Say how far sales has come with a lead; false when it is there already, or there is no such lead."""
    updated = await session.execute(
        update(Lead)
        .where(Lead.id == lead_id, Lead.status != status)
        .values(status=status, updated_at=func.now())
        .returning(Lead.id),
        execution_options={"synchronize_session": False},
    )
    return updated.one_or_none() is not None
