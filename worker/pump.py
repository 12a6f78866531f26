"""One channel's share of the delivery in one process: claim, write past the guard, send, settle.

No transaction is open while a remote is asked, only the holder of a claim sends, and what became of a send is written
until it lands (DESIGN invariants 3 to 6). Any number of pumps in any number of processes may work on one channel.
"""

import asyncio
import random
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

import asyncpg
import structlog

from app.alerts.repository import gate, queue
from app.alerts.repository.queue import TEST_EVENT, Claimed, Pace, Settlement
from app.core import clock
from app.core.db import DATABASE_ERRORS, Database
from worker import metrics
from worker.breakers import Fuse
from worker.channels.base import Channel, Health, Message, Outcome, OutcomeKind
from worker.messages import Messages, Refusal
from worker.receipts import Receipts
from worker.retry import ONCE, RetryPolicy, judge
from worker.settling import BreakerRules, Done, Settler, receipts_of
from worker.solo import Solo

DATABASE_RETRY_SECONDS: Final = (0.05, 0.2, 1.0, 2.0, 5.0)
SHORTEST_WAIT_SECONDS: Final = 0.02
CLAIM_AHEAD: Final = 3
"""How many alerts are held for each that may be sent at once: one claim of many costs what a claim of one costs."""
STALE_SECONDS: Final = 0.2
"""A message that waited longer for its turn asks the guard again."""
RECEIPT_PATIENCE_SECONDS: Final = 0.05
"""When a settle takes longer, PostgreSQL may be away: what is delivered meanwhile gets its receipts at once."""
GIVE_BACK_SECONDS: Final = 2.0
"""How long an alert waits that the database kept from being written or asked about."""
CLAIM_PATIENCE_SECONDS: Final = 0.02
"""How long the next claim waits for the alerts in hand to become few."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rules:
    """How delivery behaves, the same for every channel."""

    lease: timedelta
    send_seconds: float
    """The longest that one send may take; a send begins only when its lease outlasts it."""
    concurrency: int
    """How many sends may be under way at once."""
    policy: RetryPolicy
    breaker: BreakerRules

    @property
    def probe_lease(self) -> timedelta:
        """After this a trial call whose worker is lost is given to another."""
        return timedelta(seconds=self.send_seconds + 6)


class Pump:
    """Delivers the alerts of one channel, `rules.concurrency` at once."""

    def __init__(
        self,
        channel: Channel,
        *,
        rules: Rules,
        pace: Pace | None,
        database: Database,
        messages: Messages,
        receipts: Receipts,
        settler: Settler,
        solo: Solo,
    ) -> None:
        self._channel = channel
        self._rules = rules
        self._pace = pace
        self._database = database
        self._messages = messages
        self._receipts = receipts
        self._settler = settler
        self._solo = solo
        self._fuse = Fuse(fail_max=rules.breaker.fail_max, reset_timeout=rules.breaker.reset_timeout)
        self._rng = random.Random()  # noqa: S311  spreads retries, protects nothing
        self._slots = asyncio.Semaphore(rules.concurrency)
        self._wake = asyncio.Event()
        self._stopping = False
        self._in_hand = 0
        self._rest_until = 0.0
        self._halts = 0
        self._halted_at = 0.0
        self._done: asyncio.Queue[Done] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """The channel's name."""
        return self._channel.name

    def wake(self) -> None:
        """Something may be due."""
        self._wake.set()

    def stop(self) -> None:
        """Claim nothing more; `run` ends when everything in flight is settled."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver until stopped, whatever happens to the database meanwhile."""
        settling = asyncio.create_task(self._settle_for_ever(), name=f"settle-{self.name}")
        failures = 0
        try:
            while not self._stopping:
                self._wake.clear()
                try:
                    wait = await self._claim_and_begin()
                    failures = 0
                except Exception as error:  # noqa: BLE001  a channel must not stand still until somebody restarts it
                    wait = DATABASE_RETRY_SECONDS[min(failures, len(DATABASE_RETRY_SECONDS) - 1)]
                    failures += 1
                    _log.warning(
                        "claim_failed",
                        channel=self.name,
                        error=type(error).__name__,
                        exc_info=None if isinstance(error, DATABASE_ERRORS) else error,
                    )
                await self._sleep(wait)
            while self._in_hand:
                self._wake.clear()
                await self._wake.wait()
        finally:
            settling.cancel()
            await asyncio.gather(settling, return_exceptions=True)

    async def send_suspect(self) -> bool:
        """Send one alert that workers died on with nothing else in flight; false when there is none."""
        async with self._solo.alone():
            began = time.monotonic()
            async with self._database.driver() as connection:
                claimed = await queue.claim_suspect(connection, self.name, token=uuid4(), lease=self._rules.lease)
            if claimed is None:
                return False
            _log.warning("suspect_alone", alert_id=str(claimed.id), channel=self.name, crashes=claimed.crashes)
            self._begin([claimed], trial=False, began=began)
            await self._solo.idle()
            return True

    async def _sleep(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _claim_and_begin(self) -> float | None:
        """Begin what is due; gives how long there is nothing to do, None for until woken."""
        free = self._rules.concurrency * CLAIM_AHEAD - self._in_hand
        if free <= 0:
            return None
        resting = self._rest_until - time.monotonic()
        if resting > 0:
            return resting
        await self._solo.begin()
        try:
            async with self._database.driver() as connection:
                return await self._claim(connection, free)
        finally:
            self._solo.end(1)

    async def _claim(self, connection: asyncpg.Connection, free: int) -> float | None:
        began, token, lease = time.monotonic(), uuid4(), self._rules.lease
        claimed = await queue.claim(connection, self.name, token=token, lease=lease, limit=free, pace=self._pace)
        if claimed:
            self._begin(claimed, trial=False, began=began)
        if len(claimed) == free or self._wake.is_set():
            return None
        outlook = await queue.look(connection, self.name, pace=self._pace)
        if outlook is None:
            return None
        if outlook.trial and outlook.wait_seconds <= 0:
            trial = await queue.claim_probe(
                connection, self.name, token=token, lease=lease, probe_lease=self._rules.probe_lease
            )
            if trial is not None:
                self._begin([trial], trial=True, began=began)
                return None
            await gate.trial_not_made(connection, self.name, token=token)
        return max(outlook.wait_seconds, SHORTEST_WAIT_SECONDS)

    def _begin(self, claimed: Sequence[Claimed], *, trial: bool, began: float) -> None:
        self._fuse.follow_gate(trial=trial)
        self._in_hand += len(claimed)
        self._solo.add(len(claimed))
        metrics.IN_FLIGHT.labels(self.name).set(self._in_hand)
        self._spawn(self._deliver(claimed, trial=trial, began=began))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("delivery_broke", channel=self.name, exc_info=error)

    async def _deliver(self, claimed: Sequence[Claimed], *, trial: bool, began: float) -> None:
        """Bring every one of `claimed` to an end, in any order."""
        receipts = await self._receipts.find([alert.id for alert in claimed if alert.crashes])
        for alert in claimed:
            if alert.id in receipts:
                metrics.REPEATS_AVOIDED.labels(self.name).inc()
                self._done.put_nowait(_by_receipt(alert, receipts[alert.id], trial=trial))
        unsent = [alert for alert in claimed if alert.id not in receipts]
        for alert, message in await self._write(unsent):
            if message is None:
                self._done.put_nowait(_given_back(alert, trial=trial, wait_seconds=GIVE_BACK_SECONDS))
            elif isinstance(message, Outcome):
                self._done.put_nowait(self._judged(alert, message, trial=trial, started_at=clock.now(), seconds=0.0))
            elif isinstance(message, Refusal):
                self._done.put_nowait(_refused(alert, message, trial=trial))
            else:
                self._spawn(self._send(alert, message, trial=trial, began=began))

    async def _write(self, alerts: Sequence[Claimed]) -> list[tuple[Claimed, Message | Refusal | Outcome | None]]:
        """Each alert with its message, with why there is none, or with None when the database could not be asked.

        Whatever goes wrong, every alert comes to an end: one that did not would keep its slot for ever. What breaks
        for a reason that nobody foresaw has had its attempt and is tried again like any other: it may pass.
        """
        try:
            written = await self._messages.write(alerts) if alerts else {}
        except DATABASE_ERRORS as error:
            _log.warning("prepare_failed", channel=self.name, error=type(error).__name__)
            return [(alert, None) for alert in alerts]
        except Exception as error:  # noqa: BLE001  a mistake about one alert must not hold up the others
            _log.exception("prepare_broke", channel=self.name, alerts=len(alerts))
            if len(alerts) == 1:
                broke = Outcome(OutcomeKind.NOT_SENT, error=f"bug:{type(error).__name__}", health=Health.UNKNOWN)
                return [(alerts[0], broke)]
            return [pair for alert in alerts for pair in await self._write([alert])]
        return [(alert, written.get(alert.id)) for alert in alerts]

    async def _send(self, alert: Claimed, message: Message, *, trial: bool, began: float) -> None:
        outcome, written = None, time.monotonic()
        async with self._slots:
            if time.monotonic() - written > STALE_SECONDS and (ended := await self._ended(alert, message, trial=trial)):
                self._done.put_nowait(ended)
                return
            started, started_at = time.monotonic(), clock.now()
            if self._may_send(began):
                outcome = await self._fuse.call(lambda: self._channel_sends(message))
        if outcome is None:
            self._done.put_nowait(_given_back(alert, trial=trial))
            return
        seconds = time.monotonic() - started
        self._done.put_nowait(self._judged(alert, outcome, trial=trial, started_at=started_at, seconds=seconds))

    def _judged(self, alert: Claimed, outcome: Outcome, *, trial: bool, started_at: datetime, seconds: float) -> Done:
        """How an attempt ends that took `seconds`, and what it means for what is sent next."""
        policy = ONCE if alert.event == TEST_EVENT else self._rules.policy
        verdict = judge(outcome, turn=alert.turn, policy=policy, rng=self._rng)
        if verdict.rest_seconds is not None:
            self._rest_until = max(self._rest_until, time.monotonic() + verdict.rest_seconds)
        halts = verdict.pause or self._fuse.blown
        self._halts += halts
        settlement = Settlement(
            id=alert.id,
            token=alert.lease_token,
            attempt=alert.attempt,
            state=verdict.state,
            refund=not verdict.counts,
            wait_seconds=verdict.delay_seconds,
            ambiguous=verdict.ambiguous,
            refused=verdict.refused,
            letter=verdict.letter,
            outcome=outcome.kind.value,
            status=outcome.status,
            error=outcome.error,
            remote_ref=outcome.remote_ref,
            started_at=started_at,
            duration_ms=round(seconds * 1000),
        )
        return Done(alert, settlement, trial, outcome, verdict, halts)

    async def _ended(self, alert: Claimed, message: Message, *, trial: bool) -> Done | None:
        """How a message that waited for its turn ended meanwhile: refused by the guard, or not to be asked now."""
        try:
            refusal = await self._messages.refusal(alert, message)
        except Exception as error:  # noqa: BLE001  what the guard cannot say yes to is not sent
            _log.warning(
                "guard_failed",
                channel=self.name,
                error=type(error).__name__,
                exc_info=None if isinstance(error, DATABASE_ERRORS) else error,
            )
            return _given_back(alert, trial=trial, wait_seconds=GIVE_BACK_SECONDS)
        return _refused(alert, refusal, trial=trial) if refusal else None

    def _may_send(self, claim_began: float) -> bool:
        """Whether a send may begin: its lease outlasts it, and its claim passed a gate that knew all that we know."""
        now = time.monotonic()
        outlasts = now + self._rules.send_seconds < claim_began + self._rules.lease.total_seconds()
        return outlasts and now >= self._rest_until and not self._halts and claim_began >= self._halted_at

    async def _channel_sends(self, message: Message) -> Outcome:
        try:
            return await self._channel.send(message)
        except Exception as error:  # noqa: BLE001  a mistake of ours in one message must not stop the others
            _log.exception("send_failed", channel=self.name, alert_id=str(message.envelope.alert_id))
            return Outcome(OutcomeKind.AMBIGUOUS, error=f"bug:{type(error).__name__}", health=Health.UNKNOWN)

    async def _settle_for_ever(self) -> None:
        """Settle what is done; what is done meanwhile waits and is settled together."""
        waiting: list[Done] = []
        while True:
            batch = waiting or [await self._done.get()]
            batch += self._drain_done()
            waiting = []
            settling = asyncio.ensure_future(self._settler.settle(self.name, batch))
            while not (await asyncio.wait({settling}, timeout=RECEIPT_PATIENCE_SECONDS))[0]:
                more = self._drain_done()
                await self._receipts.keep(receipts_of(more))
                waiting += more
            await settling
            if halts := sum(done.halts for done in batch):
                self._halts -= halts
                self._halted_at = time.monotonic()
            self._in_hand -= len(batch)
            self._solo.end(len(batch))
            metrics.IN_FLIGHT.labels(self.name).set(self._in_hand)
            if self._in_hand <= self._rules.concurrency:
                self._wake.set()
            else:
                asyncio.get_running_loop().call_later(CLAIM_PATIENCE_SECONDS, self._wake.set)

    def _drain_done(self) -> list[Done]:
        return [self._done.get_nowait() for _ in range(self._done.qsize())]


def _given_back(alert: Claimed, *, trial: bool, wait_seconds: float | None = None) -> Done:
    settlement = Settlement(id=alert.id, token=alert.lease_token, attempt=alert.attempt, wait_seconds=wait_seconds)
    return Done(alert, settlement, trial)


def _refused(alert: Claimed, refusal: Refusal, *, trial: bool) -> Done:
    if refusal.until is not None:
        wait = max((refusal.until - clock.now()).total_seconds(), SHORTEST_WAIT_SECONDS)
        later = Settlement(id=alert.id, token=alert.lease_token, attempt=alert.attempt, wait_seconds=wait)
        return Done(alert, later, trial)
    settlement = Settlement(
        id=alert.id,
        token=alert.lease_token,
        attempt=alert.attempt,
        state="failed" if refusal.failed else "cancelled",
        letter="failed" if refusal.failed else None,
        outcome="unwritable" if refusal.failed else "cancelled",
        error=refusal.reason,
    )
    return Done(alert, settlement, trial)


def _by_receipt(alert: Claimed, remote_ref: str | None, *, trial: bool) -> Done:
    settlement = Settlement(
        id=alert.id,
        token=alert.lease_token,
        attempt=alert.attempt,
        state="delivered",
        outcome="delivered",
        error="known_by_receipt",
        remote_ref=remote_ref,
    )
    return Done(alert, settlement, trial)
