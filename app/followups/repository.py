"""Queries of follow-ups that people read and write. Those of the schedule are in `quiet_repository`, those about mails
in `mail_repository`."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    case,
    cast,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy import tuple_ as pair
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.models import OutboundAlert
from app.conversations.models import ChatConversation, ChatMessage
from app.core.db import AnyRow
from app.followups.mail_repository import CHANNEL, FOLLOWUP_DUE
from app.followups.models import FollowupEvent

_ALERT_KEY: ColumnElement[str] = literal(f"{FOLLOWUP_DUE}:") + cast(FollowupEvent.id, String) + f":{CHANNEL}"
_ENDED_BY_ALERT = and_(
    OutboundAlert.id.is_not(None),
    or_(FollowupEvent.state != "cancelled", OutboundAlert.state == "delivered"),
)
_STATE: ColumnElement[str] = case(
    (
        _ENDED_BY_ALERT,
        case(
            (OutboundAlert.state == "delivered", "sent"),
            (OutboundAlert.state == "failed", "failed"),
            (OutboundAlert.state.in_(("cancelled", "discarded")), "cancelled"),
            else_="pending",
        ),
    ),
    else_=FollowupEvent.state,
)
_FINAL: Final = ("sent", "cancelled")
"""What a row says of itself when its alert can tell no other story."""
_LAGGING: Final = ("pending", "failed")
"""What a row may say while its alert has moved on without being settled: it waits, or failed and was tried again."""
_REASON = case(
    (and_(_ENDED_BY_ALERT, OutboundAlert.state.in_(("failed", "cancelled"))), OutboundAlert.last_error),
    (and_(_ENDED_BY_ALERT, OutboundAlert.state == "discarded"), "discarded"),
    (_ENDED_BY_ALERT, None),
    else_=FollowupEvent.reason,
)
_COLUMNS = (
    FollowupEvent.id,
    FollowupEvent.conversation_id,
    FollowupEvent.followup_number,
    FollowupEvent.message,
    _STATE.label("state"),
    _REASON.label("reason"),
    OutboundAlert.channel,
    FollowupEvent.language,
    FollowupEvent.author,
    FollowupEvent.message_seq,
    FollowupEvent.created_at,
    func.coalesce(OutboundAlert.delivered_at, FollowupEvent.closed_at).label("closed_at"),
)


def _rows() -> Select[*tuple[Any, ...]]:
    return select(*_COLUMNS).outerjoin(OutboundAlert, OutboundAlert.dedupe_key == _ALERT_KEY)


async def lock_conversation(session: AsyncSession, conversation_id: UUID) -> AnyRow | None:
    """What a follow-up needs to know of a conversation, whose row is this transaction's until it ends."""
    return await _conversation(session, conversation_id, lock=True)


async def conversation(session: AsyncSession, conversation_id: UUID) -> AnyRow | None:
    """The same without a lock."""
    return await _conversation(session, conversation_id, lock=False)


async def _conversation(session: AsyncSession, conversation_id: UUID, *, lock: bool) -> AnyRow | None:
    query = select(
        ChatConversation.id,
        ChatConversation.language,
        ChatConversation.last_seq,
        ChatConversation.area_m2,
        ChatConversation.package,
        ChatConversation.city,
        ChatConversation.budget_pln,
        ChatConversation.name,
        ChatConversation.phone,
        ChatConversation.email,
        ChatConversation.property_type,
    ).where(ChatConversation.id == conversation_id)
    return (await session.execute(query.with_for_update(key_share=True) if lock else query)).one_or_none()


async def get(session: AsyncSession, followup_id: UUID) -> AnyRow | None:
    """One follow-up as it stands, or None."""
    return (await session.execute(_rows().where(FollowupEvent.id == followup_id))).one_or_none()


async def find(session: AsyncSession, conversation_id: UUID, number: int) -> AnyRow | None:
    """The n-th follow-up of a conversation as it stands, or None."""
    return (
        await session.execute(
            _rows().where(FollowupEvent.conversation_id == conversation_id, FollowupEvent.followup_number == number)
        )
    ).one_or_none()


async def page(
    session: AsyncSession, *, state: str | None, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[AnyRow]:
    """One page, newest first, after the keyset position `before`.

    With `state` it reads what it shows, what waits and what failed, and nothing else.
    """
    query = (
        _rows()
        .where(pair(FollowupEvent.created_at, FollowupEvent.id) < before if before else true())
        .order_by(FollowupEvent.created_at.desc(), FollowupEvent.id.desc())
        .limit(limit)
    )
    if state is None:
        return (await session.execute(query)).all()
    parts = [query.where(FollowupEvent.state == lagging, _STATE.in_((state,))) for lagging in _LAGGING]
    if state in _FINAL:
        parts.append(query.where(FollowupEvent.state == state))
    found = union_all(*(part.subquery().select() for part in parts)).subquery()
    return (
        await session.execute(found.select().order_by(found.c.created_at.desc(), found.c.id.desc()).limit(limit))
    ).all()


async def add(session: AsyncSession, values: dict[str, Any], *, bubble_id: UUID) -> None:
    """Store a follow-up, and its words as the conversation's next message, whose number is `message_seq`."""
    await session.execute(insert(FollowupEvent).values(**values))
    await session.execute(
        insert(ChatMessage).values(
            conversation_id=values["conversation_id"],
            seq=values["message_seq"],
            id=bubble_id,
            role="bot",
            type="followup",
            text=values["message"],
            created_at=values["created_at"],
        )
    )
    await session.execute(
        update(ChatConversation)
        .where(ChatConversation.id == values["conversation_id"])
        .values(last_seq=values["message_seq"]),
        execution_options={"synchronize_session": False},
    )


async def cancel(
    session: AsyncSession, *, reason: str, now: datetime, followup_id: UUID | None, conversation_ids: Collection[UUID]
) -> list[UUID]:
    """Cancel what has not left: one follow-up, or those of these conversations; gives the ids."""
    wanted = (
        FollowupEvent.conversation_id.in_(conversation_ids) if followup_id is None else FollowupEvent.id == followup_id
    )
    return list(
        await session.scalars(
            update(FollowupEvent)
            .where(FollowupEvent.state.in_(("pending", "failed")), wanted)
            .values(state="cancelled", reason=reason, closed_at=now)
            .returning(FollowupEvent.id),
            execution_options={"synchronize_session": False},
        )
    )
