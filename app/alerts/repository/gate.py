"""What holds a channel back, shared by every worker: its circuit breaker, the remote's wish to wait, a pause.

The rules are in the statements, so that they hold for any number of processes, survive restarts and know one clock:
the database's.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

import asyncpg

_FAIL_SQL: Final = """
UPDATE channel_gate SET
    failures = failures + $3,
    open_until = CASE WHEN failures + $3 >= $4 THEN now() + $5::interval END,
    opened_at = CASE WHEN failures + $3 >= $4 THEN now() END,
    open_reason = CASE WHEN failures + $3 >= $4 THEN $6 END,
    epoch = epoch + (failures + $3 >= $4)::int,
    updated_at = now()
WHERE channel = $1 AND epoch = $2 AND open_until IS NULL
RETURNING open_until IS NOT NULL
"""


async def count_failures(
    connection: asyncpg.Connection,
    channel: str,
    *,
    epoch: int,
    failures: int,
    fail_max: int,
    reset_timeout: timedelta,
    reason: str,
) -> bool:
    """Count failures in a row; true when they open the breaker. Those of an earlier epoch do not count."""
    return bool(await connection.fetchval(_FAIL_SQL, channel, epoch, failures, fail_max, reset_timeout, reason))


_ALIVE_SQL: Final = """
UPDATE channel_gate SET open_until = NULL, opened_at = NULL, open_reason = NULL, failures = 0,
    probe_token = NULL, probe_until = NULL, epoch = epoch + 1, updated_at = now(),
    trial_at = CASE WHEN paused_by = 'worker' AND NOT $3 THEN now() + $4::interval END,
    paused_at = CASE WHEN paused_by = 'worker' AND $3 THEN NULL ELSE paused_at END,
    paused_reason = CASE WHEN paused_by = 'worker' AND $3 THEN NULL ELSE paused_reason END,
    paused_by = CASE WHEN paused_by = 'worker' AND $3 THEN NULL ELSE paused_by END
WHERE channel = $1 AND probe_token = $2
"""
_FAILING_SQL: Final = """
UPDATE channel_gate SET open_until = now() + $3::interval, opened_at = COALESCE(opened_at, now()), open_reason = $4,
    failures = failures + 1, probe_token = NULL, probe_until = NULL, updated_at = now(),
    trial_at = CASE WHEN paused_by = 'worker' THEN now() + $5::interval END
WHERE channel = $1 AND probe_token = $2
"""
_RELEASED_SQL: Final = """
UPDATE channel_gate SET probe_token = NULL, probe_until = NULL WHERE channel = $1 AND probe_token = $2
"""


async def trial_answered(
    connection: asyncpg.Connection, channel: str, *, token: UUID, taken: bool, trial_every: timedelta
) -> None:
    """The trial call was answered: close the breaker. `taken`: with a yes, which also ends a pause of our own."""
    await connection.execute(_ALIVE_SQL, channel, token, taken, trial_every)


async def trial_failed(
    connection: asyncpg.Connection,
    channel: str,
    *,
    token: UUID,
    reset_timeout: timedelta,
    reason: str,
    trial_every: timedelta,
) -> None:
    """The trial call failed: open for another `reset_timeout`."""
    await connection.execute(_FAILING_SQL, channel, token, reset_timeout, reason, trial_every)


async def trial_not_made(connection: asyncpg.Connection, channel: str, *, token: UUID) -> None:
    """The trial call was not made: let another be made."""
    await connection.execute(_RELEASED_SQL, channel, token)


_BLOCK_SQL: Final = """
UPDATE channel_gate SET
    blocked_reason = CASE WHEN blocked_until > now() + $2::interval THEN blocked_reason ELSE $3 END,
    blocked_until = GREATEST(blocked_until, now() + $2::interval), updated_at = now()
WHERE channel = $1
"""


async def block(connection: asyncpg.Connection, channel: str, *, wait: timedelta, reason: str) -> None:
    """Hold the channel back because the remote asked to wait; a longer wait is never shortened."""
    await connection.execute(_BLOCK_SQL, channel, wait, reason)


_PAUSE_SQL: Final = """
UPDATE channel_gate SET paused_at = now(), paused_by = 'worker', paused_reason = $2, trial_at = now() + $3::interval,
    updated_at = now()
WHERE channel = $1 AND paused_at IS NULL
RETURNING true
"""
_NOTICE_SQL: Final = """
WITH notice AS (
    INSERT INTO operator_notice (id, kind, channel, reason) VALUES ($1, $2, $3, $4) RETURNING id
)
INSERT INTO outbound_alert (id, event, channel, subject_id, dedupe_key)
SELECT $5, $2, $6, id, $2 || ':' || id FROM notice
"""


async def pause(
    connection: asyncpg.Connection, channel: str, *, reason: str, trial_every: timedelta, pager: str | None
) -> bool:
    """Pause a channel whose remote refuses our settings, and page through `pager`; false when it was paused already.

    One call may try it again every `trial_every`; a yes ends the pause, and so does an operator.
    """
    if not await connection.fetchval(_PAUSE_SQL, channel, reason, trial_every):
        return False
    if pager is not None:
        await connection.execute(_NOTICE_SQL, uuid4(), "notice.channel_paused", channel, reason, uuid4(), pager)
    return True


_TRY_PAUSED_SQL: Final = """
UPDATE channel_gate SET trial_at = now() WHERE channel = ANY($1::text[]) AND paused_by = 'worker'
"""


async def try_paused(connection: asyncpg.Connection, channels: Sequence[str]) -> None:
    """Let channels that we paused ourselves be tried at once: a worker starts, perhaps with mended settings."""
    await connection.execute(_TRY_PAUSED_SQL, list(channels))
