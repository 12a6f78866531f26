"""The purge: what was kept for long enough goes, in small batches, while the service runs."""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self

import structlog

from app.alerts.repository import erasure
from app.core.db import Database
from app.core.settings import Settings
from app.operations import idempotency
from app.privacy.repository import retention
from app.privacy.repository.retention import Rule

BATCH: Final = 5_000
"""Rows of one batch, conversations together with their messages."""
BUDGET_SECONDS: Final = 20.0
"""Of one run; what is left waits for the next."""
BUSY_STATEMENTS: Final = 1
"""From so many statements of others on, the purge gives way."""
PAUSE_SECONDS: Final = 0.05
ALONE_SAMPLES: Final = 10
"""After so many looks in a row that saw nobody else it works at full size: one look misses short statements."""
BUSY_SHARE: Final = 50
"""How much smaller a batch is then."""
PROOF_KEPT: Final = timedelta(days=3 * 365)
"""What proves that requests were answered and what operators did (GDPR art. 5(2))."""
EXPIRED_KEPT: Final = timedelta(days=30)

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is kept."""

    chat: timedelta
    lead: timedelta
    evidence: timedelta
    alert: timedelta

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The periods that the environment says."""
        return cls(
            chat=timedelta(days=settings.retention_chat_days),
            lead=timedelta(days=settings.retention_lead_days),
            evidence=timedelta(days=settings.retention_evidence_days),
            alert=timedelta(days=settings.retention_alert_days),
        )

    @property
    def rules(self) -> tuple[tuple[Rule, timedelta], ...]:
        """Every kind of row and its period, in the order in which they go."""
        return (
            (retention.CHATS, self.chat),
            (retention.LEADS, self.lead),
            (retention.QUESTIONS, self.chat),
            (retention.EVIDENCE, self.evidence),
            (retention.ALERTS, self.alert),
            (retention.NOTICES, self.alert),
            (retention.ACTIONS, PROOF_KEPT),
            (retention.EXPIRED_REQUESTS, EXPIRED_KEPT),
            (retention.ANSWERED_REQUESTS, PROOF_KEPT),
            (retention.ERASURES, PROOF_KEPT),
            (retention.REPEATS, idempotency.KEPT),
        )


async def purge(
    database: Database, kept: Retention, *, budget_seconds: float = BUDGET_SECONDS, batch: int = BATCH
) -> dict[str, int]:
    """Delete what is too old, for `budget_seconds` at most; gives how many rows in all, by kind.

    Every batch is a transaction of its own. It begins with small ones; while others have statements under way batches
    stay small, and the purge rests between them.
    """
    deadline = time.monotonic() + budget_seconds
    counts: dict[str, int] = {}
    for rule, age in kept.rules:
        counts[rule.name] = await _purge(database, rule, age=age, batch=batch, deadline=deadline)
    async with database.transaction() as session:
        counts["remote_refs"] = await erasure.forget_remote_refs(session)
    if any(counts.values()):
        _log.info("purged", finished=time.monotonic() < deadline, **counts)
    return counts


async def _purge(database: Database, rule: Rule, *, age: timedelta, batch: int, deadline: float) -> int:
    total, alone, seen = 0, 0, False
    while time.monotonic() < deadline:
        limit = batch if alone >= ALONE_SAMPLES else max(batch // BUSY_SHARE, 1)
        async with database.transaction() as session:
            deleted, rows = await retention.delete_batch(session, rule, age=age, limit=limit)
            working = await retention.busy(session)
        total += rows
        if not deleted:
            break
        if working >= BUSY_STATEMENTS:
            alone, seen = 0, True
        else:
            alone += 1
        if seen and alone < ALONE_SAMPLES:
            await asyncio.sleep(PAUSE_SECONDS)
    return total


async def preview(database: Database, kept: Retention) -> dict[str, int]:
    """How many rows of each kind the purge would delete now, without what belongs to them. Changes nothing."""
    counts = {}
    async with database.transaction() as session:
        await session.connection(execution_options={"postgresql_readonly": True})
        for rule, age in kept.rules:
            counts[rule.name] = await retention.count(session, rule, age=age)
    return counts
