"""Queries of the schedule: conversations that went quiet, and when their people were last written to."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, INTERVAL
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import AnyRow
from app.followups.mail_repository import CHANNEL, FOLLOWUP_DUE

_QUIET: Final = """
SELECT c.id, c.last_message_at, c.email, c.phone, written.last_number
FROM chat_conversations c LEFT JOIN leads l ON l.conversation_id = c.id,
    LATERAL (SELECT COALESCE(max(f.followup_number), 0) AS last_number, bool_or(f.state = 'pending') AS waits
             FROM followup_event f WHERE f.conversation_id = c.id) written
WHERE c.marketing_consent AND c.state <> 'handoff' AND (c.email IS NOT NULL OR c.phone IS NOT NULL)
  AND (l.id IS NULL OR l.status = 'new') AND written.waits IS NOT TRUE
  AND c.last_message_at > :earliest
  AND c.last_message_at <= CAST(:now AS timestamptz) - (CAST(:delays AS interval[]))[1]
  AND c.last_message_at <= CAST(:now AS timestamptz) - (CAST(:delays AS interval[]))[written.last_number + 1]
  AND (SELECT s.granted FROM consent_state s WHERE s.conversation_id = c.id AND s.purpose = 'marketing_email')
  AND (SELECT s.granted FROM consent_state s WHERE s.conversation_id = c.id AND s.purpose = 'rodo') IS NOT FALSE
  AND {which}
"""
_INTERVALS: Final = bindparam("delays", type_=ARRAY(INTERVAL))
_MANY: Final = text(
    _QUIET.format(
        which="(c.last_message_at, c.id) > (CAST(:after_at AS timestamptz), CAST(:after_id AS uuid)) "
        "ORDER BY c.last_message_at, c.id LIMIT :limit"
    )
).bindparams(_INTERVALS)
_ONE: Final = text(_QUIET.format(which="c.id = :id")).bindparams(_INTERVALS)


async def quiet(
    session: AsyncSession,
    *,
    delays: Sequence[timedelta],
    earliest: datetime,
    now: datetime,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[AnyRow]:
    """Conversations whose next follow-up may be due at `now`, the longest quiet first, after the position `after`.

    Each has consent, contact data, a lead that nobody works on, nothing that waits to be sent, and was heard of after
    `earliest`. Suppression and the person's other conversations are the caller's to ask.
    """
    after_at, after_id = after or (earliest, UUID(int=0))
    values = {"after_at": after_at, "after_id": after_id, "limit": limit}
    return (await session.execute(_MANY, {"delays": list(delays), "earliest": earliest, "now": now, **values})).all()


async def still_quiet(
    session: AsyncSession, conversation_id: UUID, *, delays: Sequence[timedelta], earliest: datetime, now: datetime
) -> AnyRow | None:
    """The same for one conversation, None when it is no longer one of them."""
    values = {"id": conversation_id, "delays": list(delays), "earliest": earliest, "now": now}
    return (await session.execute(_ONE, values)).one_or_none()


_CLAIM: Final = text("SELECT id FROM chat_conversations WHERE id = :id FOR NO KEY UPDATE SKIP LOCKED")


async def claim(session: AsyncSession, conversation_id: UUID) -> bool:
    """Lock a conversation for this transaction; false when it is gone or somebody else's at this moment."""
    return (await session.execute(_CLAIM, {"id": conversation_id})).one_or_none() is not None


_LOCK_PERSON: Final = text("SELECT pg_advisory_xact_lock(:key)")


async def lock_person(session: AsyncSession, key: int) -> None:
    """Wait for other transactions that write to the same person."""
    await session.execute(_LOCK_PERSON, {"key": key})


_LONGEST_SEND: Final = timedelta(seconds=30)
"""What an attempt took of which nobody knows how long it took: no setting lets one take longer."""
_LAST_WRITTEN: Final = text(
    f"""
    SELECT f.person_hmac,
        max(GREATEST(f.created_at, CASE WHEN f.state = 'sent' THEN f.closed_at END, doubtful.at)) AS at,
        bool_or(f.state = 'pending' OR a.state = 'sending') AS waits
    FROM followup_event f
    LEFT JOIN outbound_alert a ON a.dedupe_key = '{FOLLOWUP_DUE}:' || f.id || '\\:{CHANNEL}'
    LEFT JOIN LATERAL (
        SELECT max(t.started_at + COALESCE(t.duration_ms * interval '1 ms', :longest)) AS at
        FROM delivery_attempt t WHERE t.alert_id = a.id AND t.outcome = 'ambiguous') doubtful ON true
    WHERE f.person_hmac = ANY(:people) GROUP BY f.person_hmac
    """  # noqa: S608  its parts are constants
).bindparams(bindparam("people", type_=ARRAY(BYTEA)), bindparam("longest", _LONGEST_SEND, type_=INTERVAL))


async def last_written(session: AsyncSession, people: Collection[bytes]) -> dict[bytes, tuple[datetime, bool]]:
    """When these hashed people were last written to, in any conversation, and whether something waits to leave.

    A mail that may have arrived counts, also when it was cancelled or given up afterwards.
    """
    rows = await session.execute(_LAST_WRITTEN, {"people": list(people)})
    return {row.person_hmac: (row.at, row.waits) for row in rows}
