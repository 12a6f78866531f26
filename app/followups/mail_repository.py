"""Queries about the mails of follow-ups, on the driver's connection: may they leave, and what became of them."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

import asyncpg

FOLLOWUP_DUE: Final = "followup.due"
"""The event of the alert that carries a follow-up by mail."""
CHANNEL: Final = "email"

_FOLLOW: Final = f"""
UPDATE followup_event f SET state = s.state, reason = s.reason,
    closed_at = CASE WHEN s.state <> 'pending' THEN COALESCE(s.delivered_at, now()) END
FROM (
    SELECT f.id, a.delivered_at,
        CASE a.state WHEN 'delivered' THEN 'sent' WHEN 'failed' THEN 'failed'
            WHEN 'cancelled' THEN 'cancelled' WHEN 'discarded' THEN 'cancelled' ELSE 'pending' END AS state,
        CASE WHEN a.state IN ('failed', 'cancelled') THEN a.last_error
            WHEN a.state = 'discarded' THEN 'discarded' END AS reason
    FROM followup_event f JOIN outbound_alert a ON a.dedupe_key = '{FOLLOWUP_DUE}:' || f.id || ':{CHANNEL}'
    WHERE {{which}}) s
WHERE f.id = s.id AND f.state <> s.state AND (f.state <> 'cancelled' OR s.state = 'sent')
"""  # noqa: S608  its parts are constants of this module
FOLLOW_SQL: Final = _FOLLOW.format(which="f.id = ANY($1::uuid[])")
CATCH_UP_SQL: Final = _FOLLOW.format(which="f.state = 'pending'")


async def follow_alerts(connection: asyncpg.Connection, followup_ids: Collection[UUID]) -> None:
    """Repeat on these follow-ups what became of their mails. Part of the transaction that settles the mails."""
    await connection.execute(FOLLOW_SQL, list(followup_ids))


async def catch_up_with_alerts(connection: asyncpg.Connection) -> int:
    """The same for all that wait: mails also end without being settled, by a withdrawal or by old age."""
    return int((await connection.execute(CATCH_UP_SQL)).split()[-1])


FOR_SENDING_SQL: Final = """
SELECT f.id, f.conversation_id, f.followup_number, f.message, f.state, f.reason, f.author, f.language, c.email,
    c.state AS conversation_state, l.status AS lead_status,
    EXISTS (SELECT FROM chat_messages m
            WHERE m.conversation_id = c.id AND m.seq > f.message_seq AND m.role = 'visitor') AS replied
FROM followup_event f JOIN chat_conversations c ON c.id = f.conversation_id
LEFT JOIN leads l ON l.conversation_id = c.id
WHERE f.id = ANY($1::uuid[])
"""


async def for_sending(connection: asyncpg.Connection, followup_ids: Collection[UUID]) -> list[asyncpg.Record]:
    """What decides whether these follow-ups' mails may leave, and what the mails say."""
    return await connection.fetch(FOR_SENDING_SQL, list(followup_ids))
