"""The queue that `outbound_alert` is: claim, settle, recover, and when there is something to do next.

Each function is one statement and, by itself, one transaction; all instants are the database's. They run on the
driver's connection (docs/decisions/0004-hot-path.md).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import orjson

TEST_EVENT: Final = "notice.test"
"""An operator's test: it passes a pause, is tried once and never becomes a dead letter."""
SUSPECT_CRASHES: Final = 2
"""After so many workers in a row died of it, or beside it, an alert is sent with nothing else in flight."""
RECOVER_LIMIT: Final = 200


@dataclass(frozen=True, slots=True)
class Pace:
    """The most that a channel takes: one message every `interval` on average, `burst` at once after a rest."""

    interval: timedelta
    burst: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """An alert that this worker alone may send until its lease ends."""

    id: UUID
    event: str
    channel: str
    subject_id: UUID
    conversation_id: UUID | None
    request_id: str | None
    trace_id: str | None
    created_at: datetime
    attempt: int
    """Number of this attempt in all."""
    turn: int
    """Number of this attempt in the present round; an operator's retry begins a round."""
    generation: int
    crashes: int
    ambiguous_since: datetime | None
    epoch: int
    """The breaker's epoch in which it was claimed."""
    lease_token: UUID


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of one claim. The defaults give it back untouched."""

    id: UUID
    token: UUID
    attempt: int
    state: str = "pending"
    refund: bool = True
    """The attempt was not the alert's fault, or was not made."""
    wait_seconds: float | None = None
    """Until the next attempt; None leaves its time as it was."""
    ambiguous: bool = False
    """It may have arrived without our hearing of it."""
    refused: bool = False
    """The remote proved that it created nothing: the next attempt is a new generation."""
    letter: str | None = None
    """Status of the dead letter that this leaves."""
    outcome: str | None = None
    """None: no attempt was made."""
    status: int | None = None
    error: str | None = None
    remote_ref: str | None = None
    started_at: datetime | None = None
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """An alert whose worker was never heard of again."""

    id: UUID
    channel: str
    event: str
    given_up: bool


_GATE = """
    SELECT epoch, paused_at IS NULL AS runs, {slots} AS slots FROM channel_gate
    WHERE channel = $1 AND open_until IS NULL AND (blocked_until IS NULL OR blocked_until <= now()) {lock}"""
_CLAIM = """
WITH gate AS MATERIALIZED ({gate}),
free AS MATERIALIZED (
    SELECT a.id, gate.epoch FROM gate, outbound_alert a
    WHERE a.channel = $1 AND a.state = 'pending' AND a.next_attempt_at <= now() AND {which}
    ORDER BY a.next_attempt_at LIMIT {limit} FOR UPDATE OF a SKIP LOCKED
){paced}
UPDATE outbound_alert a
SET state = 'sending', attempts = a.attempts + 1, lease_token = $3, lease_until = now() + $4::interval
FROM free WHERE a.id = free.id
RETURNING a.id, a.event, a.channel, a.subject_id, a.conversation_id, a.request_id, a.trace_id, a.created_at,
    a.attempts, a.attempts - a.attempts_before, a.generation, a.crashes, a.ambiguous_since, free.epoch, a.lease_token
"""
_MAY_PASS = f"(gate.runs OR a.event = '{TEST_EVENT}')"
_CLAIM_SQL: Final = _CLAIM.format(
    gate=_GATE.format(slots="$2::int", lock=""),
    which=f"{_MAY_PASS} AND a.crashes < {SUSPECT_CRASHES}",
    limit="(SELECT slots FROM gate)",
    paced="",
)
_CLAIM_PACED_SQL: Final = _CLAIM.format(
    gate=_GATE.format(
        slots="LEAST($2::int, GREATEST(0, floor(extract(epoch FROM now() - GREATEST(next_slot_at, "
        "now() - $5::interval * $6::int)) / extract(epoch FROM $5::interval))::int))",
        lock="FOR UPDATE",
    ),
    which=f"{_MAY_PASS} AND a.crashes < {SUSPECT_CRASHES}",
    limit="(SELECT slots FROM gate)",
    paced=""",
paced AS (
    UPDATE channel_gate SET next_slot_at = GREATEST(next_slot_at, now() - $5::interval * $6::int)
        + $5::interval * (SELECT count(*) FROM free)::int
    WHERE channel = $1 AND EXISTS (SELECT FROM free)
)""",
)
_CLAIM_SUSPECT_SQL: Final = _CLAIM.format(
    gate=_GATE.format(slots="$2::int", lock=""),
    which=f"{_MAY_PASS} AND a.crashes >= {SUSPECT_CRASHES}",
    limit="$2",
    paced="",
)
_CLAIM_PROBE_SQL: Final = _CLAIM.format(
    gate="""
    UPDATE channel_gate SET probe_token = $3, probe_until = now() + $5::interval, updated_at = now()
    WHERE channel = $1 AND (probe_until IS NULL OR probe_until <= now())
      AND (blocked_until IS NULL OR blocked_until <= now())
      AND CASE WHEN paused_at IS NULL THEN open_until <= now()
               ELSE trial_at <= now() AND (open_until IS NULL OR open_until <= now()) END
      AND EXISTS (SELECT FROM outbound_alert WHERE channel = $1 AND state = 'pending' AND next_attempt_at <= now())
    RETURNING epoch""",
    which="true",
    limit="$2",
    paced="",
)


async def claim(
    connection: asyncpg.Connection, channel: str, *, token: UUID, lease: timedelta, limit: int, pace: Pace | None
) -> list[Claimed]:
    """Take up to `limit` alerts that are due on a channel that nothing holds back, and count their attempts.

    Concurrent claims share the rows out among themselves (SKIP LOCKED); none waits for another, except on a channel
    with a pace.
    """
    if pace is None:
        rows = await connection.fetch(_CLAIM_SQL, channel, limit, token, lease)
    else:
        rows = await connection.fetch(_CLAIM_PACED_SQL, channel, limit, token, lease, pace.interval, pace.burst)
    return [Claimed(*row) for row in rows]


async def claim_suspect(
    connection: asyncpg.Connection, channel: str, *, token: UUID, lease: timedelta
) -> Claimed | None:
    """Take one alert whose workers died on it again and again, to be sent with nothing else in flight."""
    row = await connection.fetchrow(_CLAIM_SUSPECT_SQL, channel, 1, token, lease)
    return None if row is None else Claimed(*row)


_SUSPECTED_SQL: Final = f"""
SELECT DISTINCT channel FROM outbound_alert
WHERE state = 'pending' AND next_attempt_at <= now() AND crashes >= {SUSPECT_CRASHES}
"""


async def suspected(connection: asyncpg.Connection) -> list[str]:
    """Channels on which such an alert is due."""
    return [row[0] for row in await connection.fetch(_SUSPECTED_SQL)]


async def claim_probe(
    connection: asyncpg.Connection, channel: str, *, token: UUID, lease: timedelta, probe_lease: timedelta
) -> Claimed | None:
    """Take one alert as the one trial call of a half-open breaker, or of a channel that we paused ourselves.

    None while another is under way. A trial whose worker dies is given to another after `probe_lease`.
    """
    row = await connection.fetchrow(_CLAIM_PROBE_SQL, channel, 1, token, lease, probe_lease)
    return None if row is None else Claimed(*row)


_SETTLE_SQL: Final = """
WITH s AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS s(
        id uuid, token uuid, attempt int, state text, refund boolean, wait_seconds float8, ambiguous boolean,
        refused boolean, letter text, outcome text, status int, error text, remote_ref text, started_at timestamptz,
        duration_ms int)
), settled AS (
    UPDATE outbound_alert a SET
        state = s.state,
        attempts = a.attempts - s.refund::int,
        crashes = CASE WHEN s.outcome IS NULL THEN a.crashes ELSE 0 END,
        generation = a.generation + s.refused::int,
        next_attempt_at = COALESCE(now() + s.wait_seconds * interval '1 second', a.next_attempt_at),
        ambiguous_since = CASE WHEN s.ambiguous THEN COALESCE(a.ambiguous_since, s.started_at, now())
                               ELSE a.ambiguous_since END,
        last_outcome = COALESCE(s.outcome, a.last_outcome),
        last_error = CASE WHEN s.outcome IS NULL THEN a.last_error ELSE s.error END,
        remote_ref = COALESCE(s.remote_ref, a.remote_ref),
        delivered_at = CASE WHEN s.state = 'delivered' THEN now() END,
        lease_token = NULL, lease_until = NULL
    FROM s WHERE a.id = s.id AND a.lease_token = s.token
    RETURNING a.id, a.channel, s.token  -- one batch may hold a lapsed claim and the present one of the same alert
), attempts AS (
    INSERT INTO delivery_attempt (alert_id, attempt, outcome, status, error, started_at, duration_ms)
    SELECT s.id, s.attempt, s.outcome, s.status, s.error, s.started_at, s.duration_ms
    FROM s JOIN settled USING (id, token) WHERE s.started_at IS NOT NULL
), letters AS (
    INSERT INTO dead_letter_queue (id, alert_id, channel, status, reason, closed_at)
    SELECT gen_random_uuid(), s.id, settled.channel, s.letter, COALESCE(s.error, s.outcome),
           CASE WHEN s.letter <> 'pending' THEN now() END
    FROM s JOIN settled USING (id, token) WHERE s.letter IS NOT NULL
    ON CONFLICT (alert_id) DO UPDATE
    SET status = EXCLUDED.status, reason = EXCLUDED.reason, closed_at = EXCLUDED.closed_at
), closed AS (
    UPDATE dead_letter_queue d SET status = s.state, closed_at = now()
    FROM s JOIN settled USING (id, token)
    WHERE d.alert_id = s.id AND s.letter IS NULL AND s.state IN ('delivered', 'cancelled')
), healed AS (
    UPDATE channel_gate SET failures = 0 WHERE channel = $2 AND epoch = $3 AND failures > 0
)
SELECT id FROM settled
"""


async def settle(
    connection: asyncpg.Connection, settlements: Sequence[Settlement], *, healed: tuple[str, int] | None = None
) -> set[UUID]:
    """Write what became of claims; gives the ids of those that were still ours.

    The others were fenced: their lease lapsed and somebody else claimed them. A lapsed claim that nobody took over is
    still ours. `healed` names a channel whose remote answered, and the breaker's epoch of that call: its count of
    failures in a row begins anew.
    """
    rows = orjson.dumps([asdict(settlement) for settlement in settlements], default=str).decode()  # the driver's UUID
    channel, epoch = healed or (None, None)
    return {row[0] for row in await connection.fetch(_SETTLE_SQL, rows, channel, epoch)}


_RECOVER_SQL: Final = f"""
WITH lapsed AS MATERIALIZED (
    SELECT id, lease_until - $2::interval AS began, attempts - attempts_before >= $1::int AS spent
    FROM outbound_alert WHERE state = 'sending' AND lease_until < now()
    ORDER BY lease_until LIMIT {RECOVER_LIMIT} FOR UPDATE SKIP LOCKED
), lost AS (
    UPDATE outbound_alert a SET
        state = CASE WHEN lapsed.spent OR a.event = '{TEST_EVENT}' THEN 'failed' ELSE 'pending' END,
        lease_until = NULL, crashes = a.crashes + 1,
        ambiguous_since = COALESCE(a.ambiguous_since, lapsed.began),
        last_outcome = 'ambiguous',
        last_error = CASE WHEN lapsed.spent THEN 'crash_loop' ELSE 'worker_lost' END
    FROM lapsed WHERE a.id = lapsed.id
    RETURNING a.id, a.channel, a.event, a.state, a.attempts, lapsed.began
), attempts AS (
    INSERT INTO delivery_attempt (alert_id, attempt, outcome, error, started_at)
    SELECT id, attempts, 'ambiguous', 'worker_lost', began FROM lost
), letters AS (
    INSERT INTO dead_letter_queue (id, alert_id, channel, status, reason, closed_at)
    SELECT gen_random_uuid(), id, channel, 'failed', 'crash_loop', now() FROM lost
    WHERE state = 'failed' AND event <> '{TEST_EVENT}'
    ON CONFLICT (alert_id) DO UPDATE SET status = 'failed', reason = 'crash_loop', closed_at = now()
)
SELECT id, channel, event, state = 'failed' FROM lost
"""


async def recover(connection: asyncpg.Connection, *, lease: timedelta, max_attempts: int) -> list[Lost]:
    """Make alerts due again whose lease lapsed, or give them up when their attempts are spent."""
    return [Lost(*row) for row in await connection.fetch(_RECOVER_SQL, max_attempts, lease)]


_EXPIRE_SQL: Final = f"""
WITH old AS MATERIALIZED (
    SELECT a.id FROM outbound_alert a JOIN channel_gate g USING (channel)
    WHERE a.state = 'pending' AND a.next_attempt_at < now() - $1::interval AND g.paused_at IS NULL
    LIMIT 500 FOR UPDATE OF a SKIP LOCKED
), expired AS (
    UPDATE outbound_alert a SET state = 'failed', last_error = 'too_old' FROM old WHERE a.id = old.id
    RETURNING a.id, a.channel, a.event
), letters AS (
    INSERT INTO dead_letter_queue (id, alert_id, channel, status, reason, closed_at)
    SELECT gen_random_uuid(), id, channel, 'failed', 'too_old', now() FROM expired WHERE event <> '{TEST_EVENT}'
    ON CONFLICT (alert_id) DO UPDATE SET status = 'failed', reason = 'too_old', closed_at = now()
)
SELECT id FROM expired
"""


async def expire(connection: asyncpg.Connection, *, age: timedelta) -> list[UUID]:
    """Give up alerts that were due for longer than `age` on a channel that no operator paused."""
    return [row[0] for row in await connection.fetch(_EXPIRE_SQL, age)]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a channel has to look forward to."""

    wait_seconds: float
    """Until its next alert may leave; not positive: now."""
    trial: bool
    """Whether what may leave now is one trial call only."""


_LOOK_SQL: Final = f"""
SELECT extract(epoch FROM GREATEST(
    first.next_attempt_at, g.blocked_until, g.open_until, g.trial_at,
    CASE WHEN g.open_until IS NOT NULL OR g.trial_at IS NOT NULL THEN g.probe_until END,
    g.next_slot_at + $2::interval) - now())::float8,
    g.open_until IS NOT NULL OR g.trial_at IS NOT NULL
FROM channel_gate g, LATERAL (
    SELECT next_attempt_at FROM outbound_alert
    WHERE channel = $1 AND state = 'pending'
      AND (crashes < {SUSPECT_CRASHES} OR g.open_until IS NOT NULL OR g.trial_at IS NOT NULL)  -- a trial may be one
    ORDER BY next_attempt_at LIMIT 1) first
WHERE g.channel = $1 AND (g.paused_at IS NULL OR g.trial_at IS NOT NULL)
"""


async def look(connection: asyncpg.Connection, channel: str, *, pace: Pace | None) -> Outlook | None:
    """When the channel may send its next alert; None when nothing waits, or only an operator can let it go."""
    row = await connection.fetchrow(_LOOK_SQL, channel, pace.interval if pace else None)
    return None if row is None else Outlook(*row)


_NEXT_LAPSE_SQL: Final = """
SELECT extract(epoch FROM lease_until - now())::float8 FROM outbound_alert
WHERE state = 'sending' ORDER BY lease_until LIMIT 1
"""


async def seconds_until_lapse(connection: asyncpg.Connection) -> float | None:
    """When the next lease lapses that nobody settles, in seconds from now."""
    seconds: float | None = await connection.fetchval(_NEXT_LAPSE_SQL)
    return seconds
