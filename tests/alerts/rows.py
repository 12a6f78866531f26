"""Alerts and dead letters as workers leave them, written straight into the tables."""

from typing import Any
from uuid import UUID, uuid4

import asyncpg

STATE_OF = {
    "pending": "retrying",
    "failed": "failed",
    "delivered": "delivered",
    "cancelled": "cancelled",
    "discarded": "discarded",
}
"""The alert's state beside a dead letter's status, while nobody is sending."""


async def alert(sql: asyncpg.Connection, *, state: str = "pending", channel: str = "slack", **columns: Any) -> UUID:
    """An alert in this state; gives its id."""
    alert_id = uuid4()
    values = {
        "id": alert_id,
        "event": "lead.captured",
        "channel": channel,
        "subject_id": uuid4(),
        "dedupe_key": str(alert_id),
        "state": state,
        **columns,
    }
    names = ", ".join(values)
    marks = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await sql.execute(f"INSERT INTO outbound_alert ({names}) VALUES ({marks})", *values.values())
    return alert_id


async def dead_letter(
    sql: asyncpg.Connection,
    *,
    status: str = "failed",
    channel: str = "slack",
    state: str | None = None,
    attempts: int = 6,
    last_outcome: str = "ambiguous",
    minutes_ago: float = 0,
    due_in_minutes: float = 0,
) -> tuple[UUID, UUID]:
    """A dead letter and its alert; gives the ids of both."""
    letter_id, alert_id, token = uuid4(), uuid4(), uuid4()
    state = state or STATE_OF[status]
    await sql.execute(
        """
        INSERT INTO outbound_alert (id, event, channel, subject_id, dedupe_key, state, attempts, last_outcome,
            last_error, crashes, ambiguous_since, lease_token, lease_until, delivered_at, next_attempt_at)
        VALUES ($1::uuid, 'lead.captured', $2, gen_random_uuid(), $1::uuid::text, $3::text, $4, $5, 'http_500', 1,
            now(), $6, CASE WHEN $3 = 'sending' THEN now() + interval '1 minute' END,
            CASE WHEN $3 = 'delivered' THEN now() END, now() + $7 * interval '1 minute')
        """,
        alert_id,
        channel,
        state,
        attempts,
        last_outcome,
        token,
        due_in_minutes,
    )
    await sql.execute(
        """
        INSERT INTO dead_letter_queue (id, alert_id, channel, status, reason, created_at, closed_at)
        VALUES ($1, $2, $3, $4::text, 'http_500', now() - $5 * interval '1 minute',
            CASE WHEN $4 <> 'pending' THEN now() END)
        """,
        letter_id,
        alert_id,
        channel,
        status,
        minutes_ago,
    )
    return letter_id, alert_id


async def attempt(sql: asyncpg.Connection, alert_id: UUID, number: int) -> None:
    """An attempt that the remote answered with a 500."""
    await sql.execute(
        "INSERT INTO delivery_attempt (alert_id, attempt, outcome, status, error, started_at, duration_ms) "
        "VALUES ($1, $2, 'ambiguous', 500, 'http_500', now(), 12)",
        alert_id,
        number,
    )


async def actions(sql: asyncpg.Connection) -> list[tuple[Any, ...]]:
    """The journal: actor, action, target, reason and count, the first entry first."""
    rows = await sql.fetch("SELECT actor, action, target, reason, count FROM operator_action ORDER BY at")
    return [tuple(row) for row in rows]
