"""Every query of consent."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy import Result, Row, Select, delete, func, literal_column, null, select, update
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.consent.models import (
    ConsentAudit,
    ConsentAuditHead,
    ConsentEvidence,
    ConsentState,
    ConsentText,
    MailedAddress,
    OptInCheck,
    Suppression,
)
from app.core.db import AnyRow

_NO_SYNC: Final = {"synchronize_session": False}


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


async def refused_since(session: AsyncSession, subject_refs: Select[UUID], *, since: datetime, but: str) -> bool:
    """Whether the log says that one of these refused e-mail marketing, or all contact, since then.

    `but` is a surface that does not count.
    """
    found = await session.execute(
        select(ConsentAudit.seq)
        .where(
            ConsentAudit.subject_ref.in_(subject_refs),
            ConsentAudit.event == "consent.refused",
            ConsentAudit.purpose.in_(("marketing_email", "rodo")),
            ConsentAudit.surface != but,
            ConsentAudit.at > since,
        )
        .limit(1)
    )
    return found.one_or_none() is not None


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
    """Put an address on the suppression list for marketing; false when it was there already, and is renewed."""
    inserted: Result[bool] = await session.execute(
        insert(Suppression)
        .values(address_hmac=address_hmac, key_id=key_id, scope="marketing", reason=reason)
        .on_conflict_do_update(
            index_elements=["address_hmac", "key_id", "scope"], set_={"renewed_at": func.clock_timestamp()}
        )
        .returning(literal_column("xmax = 0"))
    )
    return bool(inserted.scalar_one())


async def renew(session: AsyncSession, digests: Collection[bytes]) -> bool:
    """Note that somebody says no again to an address, given under every key; false when it was not on the list."""
    renewed = await session.execute(
        update(Suppression)
        .where(Suppression.address_hmac.in_(digests))
        .values(renewed_at=func.clock_timestamp())
        .returning(Suppression.key_id),
        execution_options=_NO_SYNC,
    )
    return bool(renewed.all())


async def last_no(session: AsyncSession, digests: Collection[bytes]) -> datetime | None:
    """When somebody last said no to an address on the suppression list; None when it is not on it."""
    said = await session.execute(select(func.max(Suppression.renewed_at)).where(Suppression.address_hmac.in_(digests)))
    return said.scalar_one()


async def lock_chain(session: AsyncSession) -> None:
    """Come before or after every other transaction that appends to the audit log."""
    await session.execute(select(ConsentAuditHead.seq).with_for_update())


async def lift(session: AsyncSession, digests: Collection[bytes], *, asked_at: datetime) -> bool:
    """Take an address, given under every key, off the list; false when it was not on it, or was renewed since."""
    which = Suppression.address_hmac.in_(digests)
    said = (await session.scalars(select(Suppression.renewed_at).where(which).with_for_update())).all()
    if not said or max(said) > asked_at:
        return False
    await session.execute(delete(Suppression).where(which), execution_options=_NO_SYNC)
    return True


async def mailed_to(session: AsyncSession, *, conversation_id: UUID, message_id: UUID) -> Sequence[AnyRow]:
    """Where a marketing mail went: address_hmac and key_id, both None for somebody who was erased since."""
    return (
        await session.execute(
            select(MailedAddress.address_hmac, MailedAddress.key_id).where(
                MailedAddress.message_id == message_id, MailedAddress.conversation_id == conversation_id
            )
        )
    ).all()


async def forget_mailed(session: AsyncSession, digests: Collection[bytes]) -> int:
    """Forget that marketing went to an address, given under every key; gives how many mails."""
    forgotten = await session.execute(
        update(MailedAddress)
        .where(MailedAddress.address_hmac.in_(digests))
        .values(address_hmac=null(), key_id=null())
        .returning(MailedAddress.id),
        execution_options=_NO_SYNC,
    )
    return len(forgotten.all())


async def add_opt_in_check(session: AsyncSession, conversation_id: UUID) -> None:
    """Have a worker look whether the conversation's address needs to confirm its consent."""
    await session.execute(insert(OptInCheck).values(conversation_id=conversation_id))


async def next_opt_in_check(session: AsyncSession, *, after: int) -> AnyRow | None:
    """The oldest look that is due with a number above `after`: id, conversation_id, asked_at."""
    return (
        await session.execute(
            select(OptInCheck.id, OptInCheck.conversation_id, OptInCheck.asked_at)
            .where(OptInCheck.id > after)
            .order_by(OptInCheck.id)
            .limit(1)
        )
    ).one_or_none()


async def take_opt_in_check(session: AsyncSession, check_id: int) -> bool:
    """Delete a look that is done now; false when somebody else has done it."""
    taken = await session.execute(
        delete(OptInCheck).where(OptInCheck.id == check_id).returning(OptInCheck.id), execution_options=_NO_SYNC
    )
    return taken.one_or_none() is not None


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


NOTE_MAILED_SQL: Final = """
INSERT INTO mailed_address (message_id, conversation_id, address_hmac, key_id)
SELECT m.message_id, c.id, m.address_hmac, $4
FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS m (message_id, conversation_id, address_hmac)
JOIN chat_conversations c ON c.id = m.conversation_id FOR KEY SHARE OF c
ON CONFLICT (message_id, address_hmac) DO UPDATE SET key_id = EXCLUDED.key_id
RETURNING message_id
"""


async def note_mailed(
    connection: asyncpg.Connection, mails: Sequence[tuple[UUID, UUID, bytes]], *, key_id: str
) -> set[UUID]:
    """Keep where mails are about to go: message, conversation, hashed address. Gives the messages of those noted.

    An erasure that is under way is waited for; what it takes away is left out.
    """
    columns = [list(column) for column in zip(*mails, strict=True)]
    return {row[0] for row in await connection.fetch(NOTE_MAILED_SQL, *columns, key_id)}
