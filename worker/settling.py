"""Writing down what became of claims: the alert, its attempt, its dead letter and its channel's gate, together."""

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from app.alerts.repository import gate, queue
from app.alerts.repository.queue import Claimed, Settlement
from app.core import clock
from app.core.db import DATABASE_ERRORS, Database, Ring
from app.followups.mail_repository import FOLLOWUP_DUE, follow_alerts
from worker import metrics
from worker.channels.base import Health, Outcome, OutcomeKind
from worker.receipts import Receipts
from worker.retry import Verdict

RETRY_SECONDS: Final = (0.05, 0.2, 1.0, 2.0, 5.0)

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """One claim that is over, and how. Without an outcome nothing was sent."""

    claimed: Claimed
    settlement: Settlement
    trial: bool
    outcome: Outcome | None = None
    verdict: Verdict | None = None
    halts: bool = False
    """Nothing that was claimed before the gate hears of this may be sent."""

    @property
    def health(self) -> Health:
        """What it says about the remote."""
        return Health.UNKNOWN if self.outcome is None else self.outcome.remote_health

    @property
    def reason(self) -> str:
        """The class of what went wrong."""
        return (self.outcome and (self.outcome.error or self.outcome.kind.value)) or "unknown"


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When a channel is held back, and for how long."""

    fail_max: int
    reset_timeout: timedelta
    trial_every: timedelta
    """How often a channel whose remote refuses our settings is tried."""


class Settler:
    """Settles for every channel of this process."""

    def __init__(
        self,
        *,
        database: Database,
        receipts: Receipts,
        rules: BreakerRules,
        pagers: Sequence[str],
        bell: Ring,
    ) -> None:
        self._database = database
        self._receipts = receipts
        self._rules = rules
        self._pagers = pagers
        self._bell = bell

    async def settle(self, channel: str, batch: Sequence[Done]) -> None:
        """Write until it lands: what became of a send must not be forgotten because the database was away."""
        await self._receipts.keep(receipts_of(batch))
        for tried in itertools.count():
            try:
                ours = await self._write(channel, batch)
            except Exception as error:  # noqa: BLE001  giving up would leave its slots taken for ever
                _log.warning(
                    "settle_failed",
                    channel=channel,
                    tried=tried + 1,
                    error=type(error).__name__,
                    exc_info=None if isinstance(error, DATABASE_ERRORS) else error,
                )
                await asyncio.sleep(RETRY_SECONDS[min(tried, len(RETRY_SECONDS) - 1)])
            else:
                break
        for done in batch:
            _tell(done, ours=done.claimed.id in ours)

    async def _write(self, channel: str, batch: Sequence[Done]) -> set[UUID]:
        runs = [
            (health, epoch, trial, list(run))
            for (health, epoch, trial), run in itertools.groupby(
                batch, key=lambda done: (done.health, done.claimed.epoch, done.trial)
            )
        ]
        async with self._database.driver() as connection:
            followed = [done.claimed.subject_id for done in batch if done.claimed.event == FOLLOWUP_DUE]
            if len(runs) == 1 and not followed and not _needs_gate(batch):
                return await _settle_run(connection, channel, *runs[0])
            ours: set[UUID] = set()
            paged = False
            async with connection.transaction():
                for health, epoch, trial, run in runs:
                    ours |= await _settle_run(connection, channel, health, epoch, trial, run)
                    await self._tell_breaker(connection, channel, health, epoch, trial, run)
                    paged |= await self._hold(connection, channel, run)
                if followed:
                    await follow_alerts(connection, followed)
        if paged:
            await self._bell(self._pagers)
        return ours

    async def _tell_breaker(
        self, connection: asyncpg.Connection, channel: str, health: Health, epoch: int, trial: bool, run: list[Done]
    ) -> None:
        rules, last = self._rules, run[-1]
        if trial:
            token = last.claimed.lease_token
            if health is Health.ALIVE:
                taken = last.settlement.state == "delivered"
                await gate.trial_answered(connection, channel, token=token, taken=taken, trial_every=rules.trial_every)
            elif health is Health.FAILING:
                await gate.trial_failed(
                    connection,
                    channel,
                    token=token,
                    reset_timeout=rules.reset_timeout,
                    reason=last.reason,
                    trial_every=rules.trial_every,
                )
            else:
                await gate.trial_not_made(connection, channel, token=token)
        elif health is Health.FAILING and await gate.count_failures(
            connection,
            channel,
            epoch=epoch,
            failures=len(run),
            fail_max=rules.fail_max,
            reset_timeout=rules.reset_timeout,
            reason=last.reason,
        ):
            metrics.BREAKER_OPENED.labels(channel).inc()
            _log.error("breaker_opened", channel=channel, reason=last.reason)

    async def _hold(self, connection: asyncpg.Connection, channel: str, run: Iterable[Done]) -> bool:
        """Block or pause as the remote demands; true when somebody is paged."""
        paged = False
        for done in run:
            if done.verdict is not None and done.verdict.rest_seconds is not None:
                wait = timedelta(seconds=done.verdict.rest_seconds)
                await gate.block(connection, channel, wait=wait, reason=done.reason)
            if done.verdict is not None and done.verdict.pause:
                pager = next((name for name in self._pagers if name != channel), None)
                if await gate.pause(
                    connection, channel, reason=done.reason, trial_every=self._rules.trial_every, pager=pager
                ):
                    paged = pager is not None
                    _log.error("channel_paused", channel=channel, reason=done.reason, paged=pager)
        return paged


def receipts_of(batch: Iterable[Done]) -> dict[UUID, str | None]:
    """The alerts among these that were delivered, with the remote's own ids where it gave some."""
    return {
        done.claimed.id: done.outcome.remote_ref
        for done in batch
        if done.outcome is not None and done.outcome.kind is OutcomeKind.DELIVERED
    }


async def _settle_run(
    connection: asyncpg.Connection, channel: str, health: Health, epoch: int, trial: bool, run: list[Done]
) -> set[UUID]:
    healed = (channel, epoch) if health is Health.ALIVE and not trial else None
    return await queue.settle(connection, [done.settlement for done in run], healed=healed)


def _needs_gate(batch: Iterable[Done]) -> bool:
    return any(
        done.trial
        or done.health is Health.FAILING
        or (done.verdict is not None and (done.verdict.pause or done.verdict.rest_seconds is not None))
        for done in batch
    )


def _tell(done: Done, *, ours: bool) -> None:
    """Count and log one settlement."""
    claimed, settlement, channel = done.claimed, done.settlement, done.claimed.channel
    if not ours:
        metrics.FENCED.labels(channel).inc()
    if done.outcome is not None:
        metrics.ATTEMPTS.labels(channel, done.outcome.kind.value).inc()
    elif settlement.state == "cancelled":
        metrics.CANCELLED.labels(channel, settlement.error or "unknown").inc()
    elif settlement.state == "pending":
        metrics.RELEASED.labels(channel).inc()
    if settlement.state == "delivered" and ours:
        metrics.END_TO_END.labels(channel).observe((clock.now() - claimed.created_at).total_seconds())
    _log.info(
        "alert_settled" if ours else "alert_fenced",
        alert_id=str(claimed.id),
        channel=channel,
        event_kind=claimed.event,
        attempt=claimed.attempt,
        state=settlement.state,
        outcome=settlement.outcome,
        error=settlement.error,
        ms=settlement.duration_ms,
        request_id=claimed.request_id,
        trace_id=claimed.trace_id,
    )
