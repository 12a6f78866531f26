"""A person in the tables: which conversations are theirs, and taking them out."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, Table, any_, delete, func, literal, or_, select, true, union
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import Uuid

from app.consent.models import UnsubscribeRequest
from app.conversations.models import ChatConversation
from app.core.db import AnyRow, Base
from app.leads.models import Lead
from app.privacy.models import Erasure

LEDGER_LOCK: Final = 0x6E6F7661_65726173
"""Held from an erasure's line in the ledger to its commit."""


def owned_tables() -> list[Table]:
    """Every table whose rows belong to a conversation and go with it."""
    return [
        table
        for table in Base.metadata.sorted_tables
        if any(
            key.column.table is ChatConversation.__table__ and key.ondelete == "CASCADE" for key in table.foreign_keys
        )
    ]


async def lock(
    session: AsyncSession, *, conversation_ids: Collection[UUID], address: str | None, before: datetime | None = None
) -> Sequence[AnyRow]:
    """The conversations with these ids and those that hold `address`, locked, with what identifies their visitor.

    A turn that is under way is waited for; whoever comes later finds nothing. `before` leaves out conversations with
    the address that began later.
    """
    named = select(ChatConversation.id).where(
        ChatConversation.id == any_(literal(list(conversation_ids), ARRAY(Uuid())))
    )
    in_time = ChatConversation.created_at <= before if before else true()
    found = union(named, *(held.where(in_time) for held in _holding(address))) if address is not None else named
    locked = (
        await session.scalars(
            select(ChatConversation.id)
            .where(ChatConversation.id.in_(found.scalar_subquery()))
            .order_by(ChatConversation.id)
            .with_for_update()
        )
    ).all()
    return (
        await session.execute(
            select(
                ChatConversation.id,
                ChatConversation.created_at,
                ChatConversation.email,
                ChatConversation.phone,
                Lead.id.label("lead_id"),
                Lead.email.label("lead_email"),
                Lead.phone.label("lead_phone"),
            )
            .outerjoin(Lead, Lead.conversation_id == ChatConversation.id)
            .where(ChatConversation.id.in_(locked))
            .order_by(ChatConversation.id)
        )
    ).all()


def _holding(address: str) -> tuple[Select[UUID], Select[UUID]]:
    """The conversations that hold an address themselves, and those whose leads do."""
    ids = select(ChatConversation.id)
    return (
        ids.where(ChatConversation.email == address),
        ids.join(Lead, Lead.conversation_id == ChatConversation.id).where(Lead.email == address),
    )


async def delete_conversations(session: AsyncSession, conversation_ids: Collection[UUID]) -> dict[str, int]:
    """Delete conversations and all that belongs to them; gives how many rows of each table."""
    counts = {}
    for table in reversed(owned_tables()):
        gone = await session.execute(delete(table).where(table.c.conversation_id.in_(conversation_ids)))
        counts[str(table.name)] = int(gone.rowcount)  # type: ignore[attr-defined]
    gone = await session.execute(
        delete(ChatConversation).where(ChatConversation.id.in_(conversation_ids)),
        execution_options={"synchronize_session": False},
    )
    counts[ChatConversation.__tablename__] = int(gone.rowcount)  # type: ignore[attr-defined]
    return counts


async def delete_unsubscribes(session: AsyncSession, address: str, digests: Collection[bytes]) -> int:
    """Delete what waits for the conversations of an address, in clear or as a hash: there are none any more."""
    gone = await session.execute(
        delete(UnsubscribeRequest).where(
            or_(UnsubscribeRequest.address == address, UnsubscribeRequest.address_hmac.in_(digests))
        ),
        execution_options={"synchronize_session": False},
    )
    return int(gone.rowcount)  # type: ignore[attr-defined]


async def conversations_of(session: AsyncSession, address: str, *, limit: int) -> list[UUID]:
    """The conversations that hold an address, the newest first."""
    found = await session.scalars(
        select(ChatConversation.id)
        .where(ChatConversation.id.in_(union(*_holding(address)).scalar_subquery()))
        .order_by(ChatConversation.created_at.desc(), ChatConversation.id.desc())
        .limit(limit)
    )
    return list(found)


async def addresses(session: AsyncSession) -> AsyncIterator[str]:
    """Every address that a conversation or a lead holds, once."""
    conversations = select(ChatConversation.email).where(ChatConversation.email.is_not(None))
    leads = select(Lead.email).where(Lead.email.is_not(None))
    async for address in await session.stream_scalars(union(conversations, leads)):
        if address is not None:
            yield address


async def add_erasure(
    session: AsyncSession,
    *,
    erasure_id: UUID,
    subject_refs: Sequence[UUID],
    address: tuple[str, bytes] | None,
    counts: Mapping[str, Any],
) -> bool:
    """Note an erasure; false when it was noted before."""
    key_id, digest = address or (None, None)
    added = await session.execute(
        insert(Erasure)
        .values(
            id=erasure_id,
            subject_refs=[str(ref) for ref in subject_refs],
            address_hmac=digest,
            key_id=key_id,
            counts=dict(counts),
        )
        .on_conflict_do_nothing(index_elements=["id"])
        .returning(Erasure.id)
    )
    return added.one_or_none() is not None


async def unknown_erasures(session: AsyncSession, erasure_ids: Sequence[UUID]) -> set[UUID]:
    """Those of these erasures that this database does not know."""
    known = await session.scalars(
        select(Erasure.id).where(Erasure.id == any_(literal(list(erasure_ids), ARRAY(Uuid()))))
    )
    return set(erasure_ids) - set(known)


async def hold_ledger(session: AsyncSession) -> None:
    """Wait for erasures that stand in the ledger and have not committed yet, and keep others from beginning."""
    await session.execute(select(func.pg_advisory_xact_lock(LEDGER_LOCK)).where(true()))
