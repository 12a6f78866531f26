"""Queries of what happens to conversations by themselves: one sentence when nobody answers, then closing."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.conversations.repository import FACTS
from app.core.db import AnyRow

_CLOSE: Final = text(
    """
    WITH due AS MATERIALIZED (
        SELECT id FROM chat_conversations WHERE state = 'open' AND last_message_at <= :quiet_since
        ORDER BY last_message_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    ), closed AS (
        UPDATE chat_conversations SET state = 'closed' WHERE id = ANY (ARRAY(SELECT id FROM due)) RETURNING 1
    )
    SELECT count(*) FROM closed
    """
)


async def close_quiet(session: AsyncSession, *, quiet_since: datetime, limit: int) -> int:
    """Close up to `limit` open conversations that were last heard of at this instant or before; gives how many.

    Those that somebody else holds at this moment are left for the next time.
    """
    closed: int = (await session.execute(_CLOSE, {"quiet_since": quiet_since, "limit": limit})).scalar_one()
    return closed


_MAY_BE_NUDGED: Final = "state = 'open' AND visitor_messages > nudged_after AND rodo_consent IS NOT FALSE"
_QUIET: Final = text(
    f"""
    SELECT id, language, last_seq, memory, last_message_at, {", ".join(FACTS)}
    FROM chat_conversations
    WHERE {_MAY_BE_NUDGED} AND last_seq < :max_seq AND last_message_at <= :quiet_since
        AND (last_message_at, id) > (CAST(:after_at AS timestamptz), CAST(:after_id AS uuid))
    ORDER BY last_message_at, id LIMIT :limit
    """  # noqa: S608  the names are constants of this room
)


async def quiet(
    session: AsyncSession, *, quiet_since: datetime, after: tuple[datetime, UUID], max_seq: int, limit: int
) -> Sequence[AnyRow]:
    """Open conversations that may be nudged, the longest quiet first, after the position `after`.

    Their visitors wrote, were last heard of at `quiet_since` or before, were not nudged since and did not refuse to be
    contacted.
    """
    values = {
        "quiet_since": quiet_since,
        "after_at": after[0],
        "after_id": after[1],
        "max_seq": max_seq,
        "limit": limit,
    }
    return (await session.execute(_QUIET, values)).all()


_NUDGE: Final = text(
    f"""
    WITH free AS (
        SELECT id FROM chat_conversations WHERE id = :id AND last_seq = :read_seq AND {_MAY_BE_NUDGED}
        FOR NO KEY UPDATE SKIP LOCKED
    ), nudged AS (
        UPDATE chat_conversations c SET last_seq = c.last_seq + 1, nudged_after = c.visitor_messages
        FROM free WHERE c.id = free.id RETURNING c.id, c.last_seq
    )
    INSERT INTO chat_messages (conversation_id, seq, id, role, type, text, quick_replies, created_at)
    SELECT id, last_seq, :message_id, 'bot', :type, :text, CAST(:quick_replies AS jsonb), :at FROM nudged
    RETURNING seq
    """  # noqa: S608  its part is a constant of this module
)


async def nudge(
    session: AsyncSession, conversation_id: UUID, *, read_seq: int, message: Mapping[str, Any], at: datetime
) -> bool:
    """Store one message of ours in a conversation, unless anything was said in it since `read_seq`; whether it was.

    What the conversation remembers and when it was last heard of stay as they are.
    """
    values = {
        "id": conversation_id,
        "read_seq": read_seq,
        "message_id": uuid4(),
        "type": message["type"],
        "text": message["text"],
        "quick_replies": orjson.dumps(message["quick_replies"]).decode(),
        "at": at,
    }
    return bool((await session.execute(_NUDGE, values)).all())
