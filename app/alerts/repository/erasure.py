"""What an erasure does to alerts: cutting them off from the person, and asking for what recipients hold."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import case, delete, func, literal, null, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.models import DeadLetter, DeliveryAttempt, OutboundAlert
from app.core.db import AnyRow

LEAD_ERASED: Final = "lead.erased"
"""The event that asks a recipient to delete; its subject is the alert that was sent."""
SETTLED_MARGIN: Final = text("interval '1 second'")

_NO_SYNC: Final = {"synchronize_session": False}


async def sever(session: AsyncSession, conversation_ids: Sequence[UUID]) -> Sequence[AnyRow]:
    """Take every trace of the person off the alerts about these conversations; gives them as they now are.

    Whoever holds a claim may still settle: by the alert's id and token, which say nothing of the person.
    """
    locked = (
        await session.scalars(
            select(OutboundAlert.id)
            .where(OutboundAlert.conversation_id.in_(conversation_ids))
            .order_by(OutboundAlert.id)
            .with_for_update()
        )
    ).all()
    for table in (DeliveryAttempt, DeadLetter):
        await session.execute(delete(table).where(table.alert_id.in_(locked)), execution_options=_NO_SYNC)
    return (
        await session.execute(
            update(OutboundAlert)
            .where(OutboundAlert.id.in_(locked))
            .values(
                conversation_id=null(),
                subject_id=func.gen_random_uuid(),
                dedupe_key=func.concat("erased:", func.gen_random_uuid()),
                request_id=null(),
                trace_id=null(),
                last_error=case((OutboundAlert.last_error == "subject_erased", "subject_erased"), else_=null()),
            )
            .returning(
                OutboundAlert.id,
                OutboundAlert.event,
                OutboundAlert.channel,
                OutboundAlert.delivered_at,
                OutboundAlert.ambiguous_since,
                OutboundAlert.lease_until,
            ),
            execution_options=_NO_SYNC,
        )
    ).all()


async def ask_for_deletion(session: AsyncSession, sent: Sequence[AnyRow]) -> list[str]:
    """Record one `lead.erased` for each alert that arrived or may have; gives the channel of each.

    One for an alert that is being sent is due when its lease is over: no send outlasts its lease.
    """
    if not sent:
        return []
    channels = await session.scalars(
        insert(OutboundAlert)
        .values(
            [
                {
                    "id": uuid4(),
                    "event": LEAD_ERASED,
                    "channel": row.channel,
                    "subject_id": row.id,
                    "dedupe_key": f"{LEAD_ERASED}:{row.id}",
                    "next_attempt_at": func.now()
                    if row.lease_until is None
                    else func.greatest(func.now(), literal(row.lease_until) + SETTLED_MARGIN),
                }
                for row in sent
            ]
        )
        .on_conflict_do_nothing(index_elements=["dedupe_key"])
        .returning(OutboundAlert.channel)
    )
    return list(channels)


SENT_SQL: Final = """
SELECT id, remote_ref, delivered_at, COALESCE(delivered_at, ambiguous_since, created_at) AS sent_at
FROM outbound_alert WHERE id = ANY($1::uuid[])
"""


async def sent(connection: asyncpg.Connection, alert_ids: Sequence[UUID]) -> dict[UUID, asyncpg.Record]:
    """What is known of alerts whose copies are to be deleted, by id."""
    return {row["id"]: row for row in await connection.fetch(SENT_SQL, alert_ids)}


_FORGET_REFS: Final = text(
    f"""
    UPDATE outbound_alert a SET remote_ref = NULL
    FROM outbound_alert e
    WHERE e.event = '{LEAD_ERASED}' AND e.state IN ('delivered', 'cancelled', 'discarded')
      AND a.id = e.subject_id AND a.remote_ref IS NOT NULL
    """  # noqa: S608  its only part is our own constant
)


async def forget_remote_refs(session: AsyncSession) -> int:
    """Forget the remote's ids of copies that are deleted; gives how many."""
    done = await session.execute(_FORGET_REFS)
    return int(done.rowcount)  # type: ignore[attr-defined]
