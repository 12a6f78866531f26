"""Every query of consent."""

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy import Row, func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.consent.models import ConsentState, ConsentText


async def current_texts(session: AsyncSession) -> Sequence[Row[str, str, int, str, str]]:
    """The newest version of every text: purpose, locale, version, body, sha256."""
    return (
        await session.execute(
            select(ConsentText.purpose, ConsentText.locale, ConsentText.version, ConsentText.body, ConsentText.sha256)
            .ext(distinct_on(ConsentText.purpose, ConsentText.locale))
            .order_by(ConsentText.purpose, ConsentText.locale, ConsentText.version.desc())
        )
    ).all()


async def append_audit(
    session: AsyncSession,
    *,
    event: str,
    subject_ref: UUID,
    purpose: str,
    text_version: int | None,
    text_sha256: str | None,
    locale: str | None,
    surface: str,
    message_seq: int | None,
) -> int:
    """Append one event to the chain and give its number. Waits for concurrent writers."""
    call = func.consent_audit_append(
        event, subject_ref, purpose, text_version, text_sha256, locale, surface, message_seq
    )
    seq: int = (await session.execute(select(call))).scalar_one()
    return seq


async def set_state(
    session: AsyncSession, *, conversation_id: UUID, purpose: str, granted: bool, audit_seq: int
) -> None:
    """Remember the latest answer and the audit row that proves it."""
    values = {"granted": granted, "audit_seq": audit_seq, "decided_at": func.now()}
    await session.execute(
        insert(ConsentState)
        .values(conversation_id=conversation_id, purpose=purpose, **values)
        .on_conflict_do_update(index_elements=["conversation_id", "purpose"], set_=values)
    )


GRANTED_SQL: Final = """
SELECT conversation_id, granted FROM consent_state WHERE conversation_id = ANY($1::uuid[]) AND purpose = $2
"""


async def granted(
    connection: asyncpg.Connection, *, conversation_ids: Collection[UUID], purpose: str
) -> dict[UUID, bool]:
    """The latest answers of these conversations; those that never answered or are gone are left out."""
    return {row[0]: row[1] for row in await connection.fetch(GRANTED_SQL, list(conversation_ids), purpose)}
