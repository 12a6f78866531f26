"""Delivering alerts: claim, commit, render from current rows past the guard, send, settle.

No transaction is open while a remote is asked, and only the holder of a claim sends (DESIGN invariants 3 to 6).
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import repository as alerts
from app.alerts.repository import Claimed
from app.consent.service import reason_not_to_send
from app.conversations import repository as conversations
from app.core import clock
from app.core.db import Database
from app.engine.engine import Engine
from app.leads import repository as leads
from worker.cards import lead_alert
from worker.channels.base import Channel, LeadAlert, Outcome
from worker.retry import RetryPolicy, Verdict, judge

SWEEP_LIMIT = 200
CHUNK = 50
CONTACT_PURPOSE = "rodo"
_DATABASE_RETRY_SECONDS = (0.05, 0.2, 1.0, 2.0, 5.0)
_TRIES = 4

_T = TypeVar("_T")

_log = structlog.stdlib.get_logger(__name__)


class Delivery:
    """One process's share of the delivery. Any number of them may run at once: the claims decide who sends."""

    def __init__(
        self,
        *,
        database: Database,
        engine: Engine,
        channels: Mapping[str, Channel],
        lease: timedelta,
        policy: RetryPolicy,
        concurrency: int,
    ) -> None:
        self._database = database
        self._engine = engine
        self._channels = channels
        self._lease = lease
        self._policy = policy
        self._slots = asyncio.Semaphore(concurrency)
        self._rng = random.Random()  # noqa: S311  spreads retries, protects nothing
        self._sending: set[asyncio.Task[None]] = set()

    async def deliver(self, alert_ids: Sequence[UUID]) -> int:
        """Deliver those of `alert_ids` that are due and free; gives how many this call claimed."""

        async def claim(session: AsyncSession) -> list[Claimed]:
            return await alerts.claim(
                session, alert_ids=alert_ids, lease=self._lease, max_attempts=self._policy.max_attempts
            )

        claimed = await self._transact(claim, tries=_TRIES)
        if not claimed:
            return 0
        cards, refusals = await self._transact(lambda session: self._prepare(session, claimed), tries=_TRIES)
        tasks = []
        for alert in claimed:
            reason = refusals.get(alert.id)
            job = self._cancel(alert, reason) if reason else self._send(alert, cards[alert.id])
            task = asyncio.create_task(job)
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            tasks.append(task)
        # shielded: arq may cancel the job that called us, and a send that began must be settled
        await asyncio.shield(asyncio.gather(*tasks))
        return len(claimed)

    async def sweep(self) -> int:
        """Deliver what nobody was rung for or whose worker died; gives how many were claimed."""
        async with self._database.transaction() as session:
            crashed = await alerts.bury_crashed(session, max_attempts=self._policy.max_attempts)
            due = await alerts.due(session, limit=SWEEP_LIMIT)
        if crashed:
            _log.error("alerts_given_up", reason="crash_loop", alerts=[str(alert_id) for alert_id in crashed])
        chunks = (due[start : start + CHUNK] for start in range(0, len(due), CHUNK))
        return sum(await asyncio.gather(*(self.deliver(chunk) for chunk in chunks)))

    async def sweep_for_ever(self, seconds: float) -> None:
        """Sweep now and every so many seconds, whatever happens to the database meanwhile."""
        while True:
            try:
                while await self.sweep() >= SWEEP_LIMIT:
                    pass
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                _log.warning("sweep_failed", error=type(error).__name__)
            await asyncio.sleep(seconds)

    async def finish(self) -> None:
        """Wait until everything that is being sent has been settled."""
        while self._sending:
            await asyncio.gather(*self._sending, return_exceptions=True)

    async def _prepare(
        self, session: AsyncSession, claimed: Iterable[Claimed]
    ) -> tuple[dict[UUID, LeadAlert], dict[UUID, str]]:
        """What to say of each alert, from current rows, and why some may not be sent."""
        claimed = list(claimed)
        subjects = await leads.many(session, [alert.subject_id for alert in claimed])
        words = await conversations.last_words(session, [row.conversation_id for row in subjects.values()])
        cards: dict[UUID, LeadAlert] = {}
        refusals: dict[UUID, str] = {}
        for alert in claimed:
            lead = subjects.get(alert.subject_id)
            refusal = await reason_not_to_send(session, conversation_id=alert.conversation_id, purpose=CONTACT_PURPOSE)
            if refusal is None and lead is None:
                refusal = "subject_erased"
            if refusal is None and alert.channel not in self._channels:
                refusal = "channel_off"
            if refusal is not None:
                refusals[alert.id] = refusal
            elif lead is not None:
                cards[alert.id] = lead_alert(
                    alert, lead, engine=self._engine, last_words=words.get(lead.conversation_id, ""), now=clock.now()
                )
        return cards, refusals

    async def _send(self, alert: Claimed, card: LeadAlert) -> None:
        async with self._slots:
            started_at, started = clock.now(), time.perf_counter()
            outcome = await self._channels[alert.channel].send(card)
            duration_ms = round((time.perf_counter() - started) * 1000)
        verdict = judge(outcome, attempt=alert.attempt, policy=self._policy, rng=self._rng)

        async def write(session: AsyncSession) -> bool:
            if not await self._settle(session, alert, outcome, verdict):
                return False
            await alerts.add_attempt(
                session,
                alert,
                outcome=outcome.kind.value,
                status=outcome.status,
                error=outcome.error,
                started_at=started_at,
                duration_ms=duration_ms,
            )
            return True

        settled = await self._transact(write)
        _log.info(
            "alert_attempted" if settled else "alert_fenced",
            alert_id=str(alert.id),
            channel=alert.channel,
            attempt=alert.attempt,
            outcome=outcome.kind.value,
            error=outcome.error,
            ms=duration_ms,
        )

    async def _settle(self, session: AsyncSession, alert: Claimed, outcome: Outcome, verdict: Verdict) -> bool:
        values: dict[str, Any] = {
            "last_outcome": outcome.kind.value,
            "last_error": outcome.error,
            "remote_ref": outcome.remote_ref,
            "possible_repeat": alert.possible_repeat or verdict.may_repeat,
        }
        if verdict.state == "pending":
            values["next_attempt_at"] = clock.now() + timedelta(seconds=verdict.delay_seconds)
        if not verdict.counts:
            values["attempts"] = alert.attempt - 1
        if not await alerts.settle(session, alert, state=verdict.state, **values):
            return False
        if verdict.state == "delivered":
            await alerts.close_dead_letter(session, alert.id, status="delivered")
        elif verdict.dead_letter:
            reason = outcome.error or outcome.kind.value
            await alerts.open_dead_letter(session, alert, status=verdict.state, reason=reason)
        if verdict.hold_channel_seconds is not None:
            await alerts.hold_channel(
                session,
                alert.channel,
                seconds=verdict.hold_channel_seconds,
                reason=outcome.error or outcome.kind.value,
            )
        return True

    async def _cancel(self, alert: Claimed, reason: str) -> None:
        async def write(session: AsyncSession) -> bool:
            if not await alerts.settle(
                session,
                alert,
                state="cancelled",
                last_outcome="cancelled",
                last_error=reason,
                attempts=alert.attempt - 1,
            ):
                return False
            await alerts.close_dead_letter(session, alert.id, status="cancelled")
            return True

        await self._transact(write)
        _log.info("alert_cancelled", alert_id=str(alert.id), channel=alert.channel, reason=reason)

    async def _transact(self, work: Callable[[AsyncSession], Awaitable[_T]], *, tries: int | None = None) -> _T:
        """Do `work` in a transaction of its own, again when the database went away meanwhile.

        Without `tries` it goes on for as long as the database is away: what became of a send must be written down.
        """
        tried = 0
        while True:
            try:
                async with self._database.transaction() as session:
                    return await work(session)
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                tried += 1
                if tries is not None and tried >= tries:
                    raise
                _log.warning("database_retry", error=type(error).__name__, tried=tried)
                await asyncio.sleep(_DATABASE_RETRY_SECONDS[min(tried, len(_DATABASE_RETRY_SECONDS)) - 1])
