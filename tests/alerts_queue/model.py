"""What the queue and the gate promise, as plain Python: one channel, its alerts, and a clock that is set by hand."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from app.alerts.repository.queue import SUSPECT_CRASHES, TEST_EVENT
from worker.channels.base import Health
from worker.retry import RetryPolicy
from worker.settling import BreakerRules, Done

UNIT = 100.0
"""Every wait is so many seconds or a multiple: far more than a test takes, so that only the model's clock counts."""
CHANNEL = "slack"
LEASE = timedelta(seconds=UNIT)
PROBE_LEASE = timedelta(seconds=2 * UNIT)
POLICY = RetryPolicy(max_retries=2, first_delay=timedelta(seconds=UNIT))
BREAKER = BreakerRules(fail_max=2, reset_timeout=timedelta(seconds=2 * UNIT), trial_every=timedelta(seconds=3 * UNIT))


@dataclass(slots=True)
class Alert:
    """One alert."""

    event: str
    due: float
    state: str = "pending"
    attempts: int = 0
    before: int = 0
    crashes: int = 0
    generation: int = 1
    ambiguous: bool = False
    letter: str | None = None
    token: UUID | None = None
    lease_until: float | None = None

    @property
    def is_test(self) -> bool:
        """An operator's test, which passes a pause."""
        return self.event == TEST_EVENT


@dataclass(slots=True)
class Gate:
    """What holds the channel back."""

    epoch: int = 0
    failures: int = 0
    open_until: float | None = None
    probe_token: UUID | None = None
    probe_until: float | None = None
    blocked_until: float | None = None
    paused_by: str | None = None
    trial_at: float | None = None
    """Counts only while `worker` holds the pause."""


@dataclass(slots=True)
class Model:
    """The channel."""

    now: float = 0.0
    alerts: dict[UUID, Alert] = field(default_factory=dict)
    gate: Gate = field(default_factory=Gate)

    def over(self, until: float | None) -> bool:
        """Whether a wait is over; one that never began is."""
        return until is None or until <= self.now

    def due(self) -> dict[UUID, Alert]:
        """Everything whose time has come, whatever holds it back."""
        return {key: alert for key, alert in self.alerts.items() if alert.state == "pending" and self.over(alert.due)}

    def claimable(self, *, suspect: bool) -> dict[UUID, Alert]:
        """What a claim may take now."""
        gate = self.gate
        if gate.open_until is not None or not self.over(gate.blocked_until):
            return {}
        return {
            key: alert
            for key, alert in self.due().items()
            if (alert.crashes >= SUSPECT_CRASHES) is suspect and (gate.paused_by is None or alert.is_test)
        }

    def probeable(self) -> dict[UUID, Alert]:
        """What the one trial call may take now; nothing while another is under way or an operator's pause lasts."""
        gate = self.gate
        half_open = gate.open_until is not None and self.over(gate.open_until)
        may_try = (
            half_open
            if gate.paused_by is None
            else gate.paused_by == "worker" and self.over(gate.trial_at) and self.over(gate.open_until)
        )
        free = self.over(gate.probe_until) and self.over(gate.blocked_until)
        return self.due() if may_try and free else {}

    def claim(self, key: UUID, token: UUID, *, trial: bool) -> None:
        """This alert was claimed."""
        alert = self.alerts[key]
        assert alert.state == "pending"
        assert self.over(alert.lease_until), "two claims at once"
        alert.state, alert.token, alert.lease_until = "sending", token, self.now + LEASE.total_seconds()
        alert.attempts += 1
        assert 1 <= alert.attempts - alert.before <= POLICY.max_attempts
        if trial:
            assert self.over(self.gate.probe_until), "two trial calls at once"
            self.gate.probe_token, self.gate.probe_until = token, self.now + PROBE_LEASE.total_seconds()

    def recover(self) -> set[UUID]:
        """Lapsed claims are given back or given up."""
        lapsed = {key for key, alert in self.alerts.items() if alert.lease_until is not None and self._lapsed(alert)}
        for key in lapsed:
            alert = self.alerts[key]
            spent = alert.attempts - alert.before >= POLICY.max_attempts
            alert.state = "failed" if spent or alert.is_test else "pending"
            if alert.state == "failed" and not alert.is_test:
                alert.letter = "failed"
            alert.lease_until, alert.ambiguous = None, True
            alert.crashes += 1
        return lapsed

    def _lapsed(self, alert: Alert) -> bool:
        return alert.state == "sending" and self.over(alert.lease_until)

    def settle(self, batch: Sequence[Done]) -> None:
        """Claims are over; one that somebody else holds by now changes nothing but the gate."""
        for health, epoch, trial, run in _runs(batch):
            for done in run:
                self._settle_one(done)
            if trial:
                self._trial_over(run[-1], health)
            elif epoch == self.gate.epoch and health is not Health.UNKNOWN:
                self._count(health, len(run))
            for done in run:
                self._hold(done)

    def _settle_one(self, done: Done) -> None:
        alert, settlement = self.alerts[done.claimed.id], done.settlement
        if alert.token != settlement.token:
            return
        assert alert.state != "delivered"
        alert.state, alert.token, alert.lease_until = settlement.state, None, None
        alert.attempts -= settlement.refund
        alert.generation += settlement.refused
        alert.ambiguous |= settlement.ambiguous
        alert.crashes = alert.crashes if settlement.outcome is None else 0
        if settlement.wait_seconds is not None:
            alert.due = self.now + settlement.wait_seconds
        if settlement.letter is not None:
            alert.letter = settlement.letter
        elif alert.letter is not None and alert.state == "delivered":
            alert.letter = alert.state

    def _trial_over(self, last: Done, health: Health) -> None:
        gate = self.gate
        if gate.probe_token != last.claimed.lease_token:
            return
        gate.probe_token = gate.probe_until = None
        ours = gate.paused_by == "worker"
        if health is Health.ALIVE:
            gate.open_until, gate.failures = None, 0
            gate.epoch += 1
            if ours and last.settlement.state == "delivered":
                gate.paused_by = gate.trial_at = None
        elif health is Health.FAILING:
            gate.open_until = self.now + BREAKER.reset_timeout.total_seconds()
            gate.failures += 1
        if health is not Health.UNKNOWN and gate.paused_by == "worker":
            gate.trial_at = self.now + BREAKER.trial_every.total_seconds()

    def _count(self, health: Health, calls: int) -> None:
        gate = self.gate
        if health is Health.ALIVE:
            gate.failures = 0
        elif gate.open_until is None:
            gate.failures += calls
            if gate.failures >= BREAKER.fail_max:
                gate.open_until = self.now + BREAKER.reset_timeout.total_seconds()
                gate.epoch += 1

    def _hold(self, done: Done) -> None:
        gate, verdict = self.gate, done.verdict
        if verdict is not None and verdict.rest_seconds is not None:
            gate.blocked_until = max(gate.blocked_until or 0.0, self.now + verdict.rest_seconds)
        if verdict is not None and verdict.pause and gate.paused_by is None:
            gate.paused_by, gate.trial_at = "worker", self.now + BREAKER.trial_every.total_seconds()

    def reset(self) -> None:
        """An operator forgets everything but a pause."""
        gate = self.gate
        self.gate = Gate(epoch=gate.epoch + 1, paused_by=gate.paused_by, trial_at=gate.trial_at)


def _runs(batch: Sequence[Done]) -> Iterator[tuple[Health, int, bool, list[Done]]]:
    for (health, epoch, trial), run in itertools.groupby(
        batch, key=lambda done: (done.health, done.claimed.epoch, done.trial)
    ):
        yield health, epoch, trial, list(run)
