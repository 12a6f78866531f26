"""The audit after a round: what was promised, what is in the tables and what the remotes saw must agree."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from tests.chaos.receiver import Request
from tests.chaos.stack import History

CHANNELS = ("slack", "monday")
SETTLE = timedelta(seconds=1)
"""How long after an answer its settlement may take while nothing is wrong."""
LONGEST_RETRY = timedelta(seconds=5)
"""How long after PostgreSQL's return a worker may wait before it settles what it holds."""
CLOCK = timedelta(milliseconds=250)

_ALERTS = """
SELECT a.id, a.channel, a.state, a.attempts, a.generation, a.crashes, a.conversation_id, a.ambiguous_since,
    a.last_outcome, a.last_error, a.created_at, a.delivered_at, d.status AS letter
FROM outbound_alert a LEFT JOIN dead_letter_queue d ON d.alert_id = a.id
"""
_MISSING = """
SELECT l.id, c.channel FROM leads l CROSS JOIN unnest($1::text[]) c (channel)
WHERE l.rodo_consent AND NOT EXISTS (
    SELECT FROM outbound_alert a WHERE a.subject_id = l.id AND a.channel = c.channel AND a.event = 'lead.captured')
"""
_UNCAUSED = """
SELECT a.id FROM outbound_alert a
WHERE a.event = 'lead.captured' AND NOT EXISTS (SELECT FROM leads l WHERE l.id = a.subject_id AND l.rodo_consent)
"""
_UNSETTLED = "SELECT count(*) FROM outbound_alert WHERE state IN ('pending', 'sending', 'retrying')"


@dataclass(slots=True)
class Findings:
    """What an audit says. `wrong` must be empty."""

    alerts: int = 0
    explained: list[str] = field(default_factory=list)
    """The reason of each repeat that has one."""
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    evidence: dict[str, list[str]] = field(default_factory=dict)


async def unsettled(sql: asyncpg.Connection) -> int:
    """How many alerts still have something to become of them."""
    count: int = await sql.fetchval(_UNSETTLED)
    return count


async def audit(
    sql: asyncpg.Connection, requests: Sequence[Request], history: History, promised: set[UUID]
) -> Findings:
    """Compare everything since the run began."""
    alerts = await sql.fetch(_ALERTS)
    attempts: dict[UUID, list[asyncpg.Record]] = defaultdict(list)
    for row in await sql.fetch("SELECT * FROM delivery_attempt ORDER BY id"):
        attempts[row["alert_id"]].append(row)
    seen: dict[tuple[str, str], list[Request]] = defaultdict(list)
    for request in requests:
        seen[request.channel, request.alert].append(request)
    found = Findings(alerts=len(alerts))
    found.wrong += [f"lead {row['id']} has no {row['channel']} alert" for row in await sql.fetch(_MISSING, CHANNELS)]
    found.wrong += [f"alert {row['id']} has no lead with consent" for row in await sql.fetch(_UNCAUSED)]
    have = {(row["conversation_id"], row["channel"]) for row in alerts}
    found.lost += [f"{who}: no {to} alert" for who in promised for to in CHANNELS if (who, to) not in have]
    for alert in alerts:
        mine = seen.pop((alert["channel"], str(alert["id"])[-8:]), [])
        rows = attempts[alert["id"]]
        lost = not any(request.stored for request in mine)
        repeats = list(_repeats([request for request in mine if not request.asks_only], history))
        wrong = [*_rows(alert, rows, mine), *(f"{name}: {why}" for name, why, explained in repeats if not explained)]
        if repeats and alert["ambiguous_since"] is None:
            wrong.append("repeated without ambiguous_since")
        name = f"{alert['channel']} {alert['id']}"
        found.explained += [why for _, why, explained in repeats if explained]
        if lost:
            found.lost.append(f"{name}: {alert['state']}, never received")
        found.wrong += [f"{name}: {what}" for what in wrong]
        if lost or wrong:
            found.evidence[name] = _evidence(alert, rows, mine, history)
    found.wrong += [f"{channel} heard of alert …{alert}, which does not exist" for channel, alert in seen]
    found.wrong += found.lost
    return found


def _repeats(requests: Sequence[Request], history: History) -> Iterator[tuple[str, str, bool]]:
    """Every request after one that was taken: which, why, and whether that is an explanation."""
    for number, later in enumerate(requests):
        taken = [earlier for earlier in requests[:number] if _took(earlier)]
        if not taken:
            continue
        name = f"request {number + 1}"
        reasons = [_why(earlier, history) for earlier in taken]
        if None in reasons:
            yield name, "an earlier one was answered, and nothing kept its worker from settling it", False
        elif later.channel == "slack" and not later.marked:
            yield name, "an earlier one was taken, and it does not say so", False
        elif later.channel == "monday" and any(earlier.key != later.key for earlier in taken):
            yield name, "an earlier one was taken under another key", False
        else:
            yield name, str(reasons[-1]), True


def _took(request: Request) -> bool:
    return request.stored or request.answered is not None


def _why(earlier: Request, history: History) -> str | None:
    """Why its worker could not know, or not write, that this request was taken."""
    if earlier.answered is None:
        return f"its answer was {earlier.answer}, not a whole yes"
    by = earlier.answered + SETTLE
    killed = history.killed.get(earlier.worker)
    if killed is not None and earlier.arrived <= killed <= by:
        return "its worker was killed before it settled"
    if any(went <= by and earlier.arrived <= came + LONGEST_RETRY for went, came in history.postgres):
        return "PostgreSQL was away when it was to be settled"
    return None


def _rows(alert: asyncpg.Record, attempts: Sequence[asyncpg.Record], requests: Sequence[Request]) -> Iterator[str]:
    if alert["state"] != "delivered":
        yield f"ended as {alert['state']} ({alert['last_error']})"
    letter = "delivered" if alert["state"] == "delivered" else alert["state"]
    if alert["letter"] not in {None, letter}:
        yield f"is {alert['state']}, and its dead letter is {alert['letter']}"
    free = list(attempts)
    for request in (request for request in requests if not request.asks_only):
        row = next((row for row in free if _covers(row, request.arrived)), None)
        if row is None:
            yield f"the request of {request.arrived:%T.%f} has no attempt"
        else:
            free.remove(row)
    for row in attempts:
        if row["outcome"] == "delivered" and not any(
            request.answered is not None and _covers(row, request.arrived) for request in requests
        ):
            yield f"attempt {row['attempt']} says delivered, and no such request was answered"


def _covers(row: asyncpg.Record, arrived: datetime) -> bool:
    """Whether this attempt was under way then; one whose worker was lost ended at the end of its lease."""
    lasted = timedelta(seconds=4) if row["duration_ms"] is None else timedelta(milliseconds=row["duration_ms"])
    started: datetime = row["started_at"]
    return started - CLOCK <= arrived <= started + lasted + CLOCK


def _evidence(
    alert: asyncpg.Record, attempts: Sequence[asyncpg.Record], requests: Sequence[Request], history: History
) -> list[str]:
    at: list[tuple[datetime, str]] = [(alert["created_at"], f"alert {dict(alert)}")]
    at += [(row["started_at"], f"attempt {_short(row)}") for row in attempts]
    at += [(request.arrived, f"request {request}") for request in requests]
    first, last = min(when for when, _ in at), max(when for when, _ in at) + SETTLE
    at += [(when, what) for when, what in history.events if first - LONGEST_RETRY <= when <= last]
    return [f"{when:%T.%f} {what}" for when, what in sorted(at, key=lambda entry: entry[0])]


def _short(row: asyncpg.Record) -> dict[str, Any]:
    return {key: row[key] for key in ("attempt", "outcome", "status", "error", "duration_ms")}
