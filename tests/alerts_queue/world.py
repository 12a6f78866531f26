"""The real thing beside the model: the queue's functions on PostgreSQL, the worker's settler, and moved instants."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar
from uuid import UUID, uuid4

import asyncpg

from app.alerts import service
from app.alerts.repository import channels, dead_letters, gate, queue, rounds
from app.alerts.repository.queue import TEST_EVENT, Claimed, Settlement
from app.core import clock
from app.core.db import Database
from app.core.jobs import arq_redis
from app.core.settings import Settings
from tests.alerts_queue.model import BREAKER, CHANNEL, LEASE, POLICY, PROBE_LEASE
from worker.channels.base import Outcome
from worker.receipts import Receipts
from worker.retry import ONCE, judge
from worker.settling import Done, Settler

SETTLE_SECONDS = 5.0
"""The settler tries for ever; a statement that never lands must fail here."""
T = TypeVar("T")

_EMPTY = """
DELETE FROM outbound_alert;
DELETE FROM channel_gate;
INSERT INTO channel_gate (channel) VALUES ('slack'), ('monday'), ('email');
"""
_ALERTS = """
SELECT a.*, d.status AS letter FROM outbound_alert a LEFT JOIN dead_letter_queue d ON d.alert_id = a.id
"""
_PASS = """
UPDATE outbound_alert SET next_attempt_at = next_attempt_at - $1::interval, lease_until = lease_until - $1::interval
"""
_PASS_GATE = """
UPDATE channel_gate SET open_until = open_until - $1::interval, blocked_until = blocked_until - $1::interval,
    probe_until = probe_until - $1::interval, trial_at = trial_at - $1::interval
"""


class _Still(random.Random):
    """Spreads nothing."""

    def uniform(self, a: float, b: float) -> float:
        """The middle."""
        return (a + b) / 2


class World:
    """Everything with a connection, run from a test without an event loop of its own."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self._runner = asyncio.Runner()
        self._redis = arq_redis(redis_url, timeout_seconds=1, max_connections=2)
        self.database = self._runner.run(_database(Settings(database_url=database_url).database_url))
        receipts = Receipts(self._redis)
        self._settler = Settler(database=self.database, receipts=receipts, rules=BREAKER, pagers=(), bell=_nobody)

    def close(self) -> None:
        """Give connections back."""
        self._runner.run(self.database.dispose())
        self._runner.run(self._redis.aclose(close_connection_pool=True))
        self._runner.close()

    def _ask(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        async def asked() -> T:
            async with self.database.driver() as connection:
                return await work(connection)

        return self._runner.run(asked())

    def empty(self) -> None:
        """As a migration leaves it."""
        self._ask(lambda sql: sql.execute(_EMPTY))

    def alerts(self) -> dict[UUID, asyncpg.Record]:
        """Every alert with its dead letter's status."""
        return {row["id"]: row for row in self._ask(lambda sql: sql.fetch(_ALERTS))}

    def forget(self, state: str) -> None:
        """Alerts in this state are erased."""
        self._ask(lambda sql: sql.execute("DELETE FROM outbound_alert WHERE state = $1", state))

    def gate(self) -> asyncpg.Record:
        """The channel's gate."""
        row = self._ask(lambda sql: sql.fetchrow("SELECT * FROM channel_gate WHERE channel = $1", CHANNEL))
        assert row is not None
        return row

    def record(self, event: str, subject_id: UUID) -> None:
        """The service records an alert."""

        async def recorded() -> None:
            async with self.database.transaction() as session:
                await service.record(
                    session, event=event, subject_id=subject_id, conversation_id=None, channels=[CHANNEL]
                )

        self._runner.run(recorded())

    def claim(self, token: UUID, limit: int) -> list[Claimed]:
        """A worker claims."""
        return self._ask(lambda sql: queue.claim(sql, CHANNEL, token=token, lease=LEASE, limit=limit, pace=None))

    def claim_suspect(self, token: UUID) -> Claimed | None:
        """A worker claims an alert that others died of."""
        return self._ask(lambda sql: queue.claim_suspect(sql, CHANNEL, token=token, lease=LEASE))

    def claim_probe(self, token: UUID) -> Claimed | None:
        """A worker claims the trial call."""
        return self._ask(lambda sql: queue.claim_probe(sql, CHANNEL, token=token, lease=LEASE, probe_lease=PROBE_LEASE))

    def pump(self) -> tuple[list[Claimed], Claimed | None]:
        """What `worker.pump` and the sweep claim when they are woken: everything, else the trial call."""
        claimed = self.claim(uuid4(), 50)
        while (suspect := self.claim_suspect(uuid4())) is not None:
            claimed.append(suspect)
        outlook = self._ask(lambda sql: queue.look(sql, CHANNEL, pace=None))
        if outlook is not None and outlook.trial and outlook.wait_seconds <= 0:
            return claimed, self.claim_probe(uuid4())
        return claimed, None

    def recover(self) -> set[UUID]:
        """The sweep finds lapsed claims."""
        lost = self._ask(lambda sql: queue.recover(sql, lease=LEASE, max_attempts=POLICY.max_attempts))
        return {alert.id for alert in lost}

    def release(self) -> int:
        """The scheduled job gives due dead letters back."""

        async def released() -> int:
            async with self.database.transaction() as session:
                return len(await dead_letters.release_due(session))

        return self._runner.run(released())

    def settle(self, batch: Sequence[Done]) -> None:
        """The worker's settler writes."""
        self._runner.run(asyncio.wait_for(self._settler.settle(CHANNEL, batch), SETTLE_SECONDS))

    def worker_starts(self) -> None:
        """A channel that the worker paused may be tried at once."""
        self._ask(lambda sql: gate.try_paused(sql, [CHANNEL]))

    def operator(self, action: str) -> None:
        """An operator pauses, resumes or resets."""

        async def acted() -> None:
            async with self.database.transaction() as session:
                if action == "pause":
                    await channels.pause(session, CHANNEL, by="anna", reason=None)
                elif action == "resume":
                    await channels.resume(session, CHANNEL)
                else:
                    await channels.reset(session, CHANNEL)

        self._runner.run(acted())

    def begin_round(self, alert_id: UUID) -> None:
        """An operator retries a dead letter."""

        async def begun() -> None:
            async with self.database.transaction() as session:
                await rounds.begin_round(session, alert_id)

        self._runner.run(begun())

    def time_passes(self, seconds: float) -> None:
        """Every instant of the queue and the gate moves into the past."""

        async def passed(sql: asyncpg.Connection) -> None:
            for statement in (_PASS, _PASS_GATE):
                await sql.execute(statement, timedelta(seconds=seconds))

        self._ask(passed)


async def _database(url: str) -> Database:
    return Database(url, pool_size=2)


async def _nobody(_channels: object) -> None:
    """Nobody listens."""


def over(claimed: Claimed, outcome: Outcome | None, *, trial: bool) -> Done:
    """A claim that ended so, as `worker.pump` settles it; without an outcome it is given back."""
    if outcome is None:
        return Done(claimed, Settlement(id=claimed.id, token=claimed.lease_token, attempt=claimed.attempt), trial)
    policy = ONCE if claimed.event == TEST_EVENT else POLICY
    verdict = judge(outcome, turn=claimed.turn, policy=policy, rng=_Still())
    settlement = Settlement(
        id=claimed.id,
        token=claimed.lease_token,
        attempt=claimed.attempt,
        state=verdict.state,
        refund=not verdict.counts,
        wait_seconds=verdict.delay_seconds,
        ambiguous=verdict.ambiguous,
        refused=verdict.refused,
        letter=verdict.letter,
        outcome=outcome.kind.value,
        error=outcome.error,
        started_at=clock.now(),
        duration_ms=1,
    )
    return Done(claimed, settlement, trial, outcome, verdict)
