"""Every query of consent."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy import Row, delete, func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.consent.models import ConsentAudit, ConsentAuditHead, ConsentEvidence, ConsentState, ConsentText, Suppression
from app.core.db import AnyRow


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
    purpose: str | None,
    text_version: int | None,
    text_sha256: str | None,
    locale: str | None,
    surface: str,
    message_seq: int | None,
    evidence_hash: bytes | None = None,
) -> int:
    """Append one event to the chain and give its number. Waits for concurrent writers."""
    call = func.consent_audit_append(
        event, subject_ref, purpose, text_version, text_sha256, locale, surface, message_seq, evidence_hash
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


async def answers(session: AsyncSession, conversation_id: UUID) -> dict[str, bool]:
    """The latest answer to each purpose that a conversation answered."""
    rows = await session.execute(
        select(ConsentState.purpose, ConsentState.granted).where(ConsentState.conversation_id == conversation_id)
    )
    return {row.purpose: row.granted for row in rows}


async def current(session: AsyncSession, conversation_id: UUID) -> Sequence[AnyRow]:
    """The latest answers with the text that each was given to: purpose, granted, decided_at, text_version, text_sha256.

    Version and hash are null where no text stood before the person's eyes.
    """
    return (
        await session.execute(
            select(
                ConsentState.purpose,
                ConsentState.granted,
                ConsentState.decided_at,
                ConsentAudit.text_version,
                ConsentAudit.text_sha256,
            )
            .join(ConsentAudit, ConsentAudit.seq == ConsentState.audit_seq, isouter=True)
            .where(ConsentState.conversation_id == conversation_id)
        )
    ).all()


async def last_event(session: AsyncSession, subject_ref: UUID) -> Row[str, datetime] | None:
    """The newest entry of the audit log about somebody: its event and when."""
    return (
        await session.execute(
            select(ConsentAudit.event, ConsentAudit.at)
            .where(ConsentAudit.subject_ref == subject_ref)
            .order_by(ConsentAudit.seq.desc())
            .limit(1)
        )
    ).one_or_none()


async def is_suppressed(session: AsyncSession, digests: Collection[bytes]) -> bool:
    """Whether an address, given under every key, is on the suppression list."""
    found = await session.execute(select(Suppression.key_id).where(Suppression.address_hmac.in_(digests)).limit(1))
    return found.one_or_none() is not None


async def add_evidence(
    session: AsyncSession,
    *,
    audit_seq: int,
    conversation_id: UUID,
    salt: bytes,
    ip: str | None,
    user_agent: str | None,
) -> None:
    """Keep from where somebody decided, apart from the log."""
    await session.execute(
        insert(ConsentEvidence).values(
            audit_seq=audit_seq, conversation_id=conversation_id, salt=salt, ip=ip, user_agent=user_agent
        )
    )


async def suppress(session: AsyncSession, *, address_hmac: bytes, key_id: str, reason: str) -> bool:
    """Put an address on the suppression list for marketing; false when it was there already."""
    inserted = await session.execute(
        insert(Suppression)
        .values(address_hmac=address_hmac, key_id=key_id, scope="marketing", reason=reason)
        .on_conflict_do_nothing()
        .returning(Suppression.key_id)
    )
    return inserted.one_or_none() is not None


async def lock_chain(session: AsyncSession) -> None:
    """Come before or after every other transaction that appends to the audit log."""
    await session.execute(select(ConsentAuditHead.seq).with_for_update())


async def lift(session: AsyncSession, digests: Collection[bytes]) -> bool:
    """Take an address, given under every key, off the list; false when it was not on it."""
    lifted = await session.execute(
        delete(Suppression).where(Suppression.address_hmac.in_(digests)).returning(Suppression.key_id),
        execution_options={"synchronize_session": False},
    )
    return bool(lifted.all())


GRANTED_SQL: Final = """
SELECT conversation_id, purpose, granted FROM consent_state WHERE conversation_id = ANY($1::uuid[])
"""


async def granted(
    connection: asyncpg.Connection, *, conversation_ids: Collection[UUID]
) -> dict[tuple[UUID, str], bool]:
    """The latest answers of these conversations by purpose; what was never answered or is gone is left out."""
    return {(row[0], row[1]): row[2] for row in await connection.fetch(GRANTED_SQL, list(conversation_ids))}


SUPPRESSED_SQL: Final = "SELECT address_hmac FROM suppression WHERE address_hmac = ANY($1::bytea[])"


async def suppressed(connection: asyncpg.Connection, digests: Collection[bytes]) -> list[bytes]:
    """Those of these hashed addresses that are on the suppression list."""
    return [row[0] for row in await connection.fetch(SUPPRESSED_SQL, list(digests))]
