"""Whatever happens to alerts, workers, remotes and operators, in any order: the queue and the gate do as the model."""

from collections.abc import Iterable
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.alerts.repository.queue import TEST_EVENT, Claimed
from app.alerts.repository.rounds import REFUSALS
from app.leads.service import LEAD_CAPTURED
from tests.alerts_queue.model import CHANNEL, UNIT, Alert, Model
from tests.alerts_queue.world import World, over
from worker.channels.base import Outcome, OutcomeKind
from worker.settling import Done

OUTCOMES: Final = (
    None,
    Outcome(OutcomeKind.DELIVERED),
    Outcome(OutcomeKind.NOT_SENT, error="connect_failed"),
    Outcome(OutcomeKind.AMBIGUOUS, error="http_500"),
    Outcome(OutcomeKind.AMBIGUOUS, error="http_503"),
    Outcome(OutcomeKind.THROTTLED),
    Outcome(OutcomeKind.PAYLOAD_PERMANENT, error="invalid_blocks"),
    Outcome(OutcomeKind.DESTINATION_PERMANENT, error="no_service"),
)
CALM_TURNS: Final = 12
OPEN: Final = {"pending", "sending", "retrying"}
some = st.integers(0, 99)
outcomes = st.sampled_from(OUTCOMES)


class Queue(RuleBasedStateMachine):
    """One channel, any number of workers, a clock that jumps."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.model = Model()
        self.held: list[tuple[Claimed, bool]] = []
        """Claims that some worker has not settled, lapsed ones too; and whether they are trial calls."""
        self.delivered: dict[UUID, Any] = {}
        world.empty()

    @initialize(count=st.integers(2, 8))
    def leads_come(self, count: int) -> None:
        for _ in range(count):
            self.record(LEAD_CAPTURED, twice=False)

    @rule(event=st.sampled_from((LEAD_CAPTURED, LEAD_CAPTURED, TEST_EVENT)), twice=st.booleans())
    def record(self, event: str, twice: bool) -> None:
        subject = uuid4()
        for _ in range(1 + twice):
            self.world.record(event, subject)
        (new,) = self.world.alerts().keys() - self.model.alerts.keys()
        self.model.alerts[new] = Alert(event, due=self.model.now)

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        free = self.model.claimable(suspect=False)
        claimed = self.world.claim(uuid4(), limit)
        assert {alert.id for alert in claimed} <= free.keys()
        assert len(claimed) == min(limit, len(free))
        self._took(claimed, trial=False)

    @rule(trial=st.booleans())
    def claim_one(self, trial: bool) -> None:
        """A trial call, or an alert that workers died of."""
        free = self.model.probeable() if trial else self.model.claimable(suspect=True)
        claimed = self.world.claim_probe(uuid4()) if trial else self.world.claim_suspect(uuid4())
        self._took_one(claimed, free, trial=trial)

    @rule(limit=st.integers(1, 4), outcome=outcomes)
    def send(self, limit: int, outcome: Outcome | None) -> None:
        before = len(self.held)
        self.claim(limit)
        while len(self.held) > before:
            self._settle([self._over(-1, outcome)])

    def _took_one(self, claimed: Claimed | None, free: dict[UUID, Alert], *, trial: bool) -> None:
        assert (claimed is not None) == bool(free)
        if claimed is not None:
            assert claimed.id in free
            self._took([claimed], trial=trial)

    def _took(self, claimed: Iterable[Claimed], *, trial: bool) -> None:
        for alert in claimed:
            assert alert.epoch == self.model.gate.epoch
            self.model.claim(alert.id, alert.lease_token, trial=trial)
            self.held.append((alert, trial))

    @precondition(lambda self: self.held)
    @rule(which=some, outcome=outcomes)
    def settle(self, which: int, outcome: Outcome | None) -> None:
        self._settle([self._over(which, outcome)])

    @precondition(lambda self: len(self.held) > 1)
    @rule(latest=st.integers(2, 6), outcome=outcomes)
    def settle_together(self, latest: int, outcome: Outcome | None) -> None:
        """Lapsed claims among them, even of the same alert."""
        self._settle([self._over(-1, outcome) for _ in range(min(latest, len(self.held)))])

    def _over(self, which: int, outcome: Outcome | None) -> Done:
        claimed, trial = self.held.pop(which % len(self.held))
        return over(claimed, outcome, trial=trial)

    def _settle(self, batch: list[Done]) -> None:
        self.world.settle(batch)
        self.model.settle(batch)

    @rule(units=st.integers(1, 4))
    def time_passes(self, units: int) -> None:
        self.world.time_passes(units * UNIT)
        self.model.now += units * UNIT

    @rule()
    def workers_hang(self) -> None:
        self.time_passes(1)
        self.recover()

    def recover(self) -> None:
        assert self.world.recover() == self.model.recover()

    @precondition(lambda self: any(alert.state == "retrying" for alert in self.model.alerts.values()))
    @rule()
    def release_dead_letters(self) -> None:
        due = [alert for alert in self.model.alerts.values() if alert.state == "retrying"]
        due = [alert for alert in due if self.model.over(alert.due)]
        assert self.world.release() == len(due)
        for alert in due:
            alert.state = "pending"

    @property
    def retryable(self) -> list[Any]:
        """Failed for good, and not at work again because somebody who was late gave it back."""
        return [
            key for key, alert in self.model.alerts.items() if alert.letter == "failed" and alert.state != "sending"
        ]

    @precondition(lambda self: self.retryable)
    @rule(which=some)
    def operator_retries(self, which: int) -> None:
        key = self.retryable[which % len(self.retryable)]
        refused = self.world.alerts()[key]["last_outcome"] in REFUSALS
        self.world.begin_round(key)
        alert = self.model.alerts[key]
        alert.state, alert.letter, alert.token, alert.due = "pending", "pending", None, self.model.now
        alert.before, alert.crashes, alert.generation = alert.attempts, 0, alert.generation + refused

    @rule(action=st.sampled_from(("pause", "resume", "reset")))
    def operator_acts(self, action: str) -> None:
        self.world.operator(action)
        if action == "reset":
            self.model.reset()
        else:
            self.model.gate.paused_by = "anna" if action == "pause" else None

    @precondition(lambda self: self.model.gate.paused_by == "worker")
    @rule()
    def worker_starts(self) -> None:
        self.world.worker_starts()
        self.model.gate.trial_at = self.model.now

    def forget(self, state: str) -> None:
        """Not a rule: alerts in this state were erased."""
        self.world.forget(state)
        self.model.alerts = {key: alert for key, alert in self.model.alerts.items() if alert.state != state}

    @invariant()
    def alerts_are_as_the_model_says(self) -> None:
        rows = self.world.alerts()
        assert rows.keys() == self.model.alerts.keys()
        for key, alert in self.model.alerts.items():
            row = rows[key]
            assert (row["state"], row["attempts"], row["crashes"]) == (alert.state, alert.attempts, alert.crashes)
            assert (row["generation"], row["letter"]) == (alert.generation, alert.letter)
            assert (row["lease_token"], row["lease_until"] is None) == (alert.token, alert.lease_until is None)
            assert (row["ambiguous_since"] is not None) is alert.ambiguous
            if alert.state == "delivered":
                assert row["delivered_at"] == self.delivered.setdefault(key, row["delivered_at"])
        assert self.delivered.keys() == {key for key, alert in self.model.alerts.items() if alert.state == "delivered"}

    @invariant()
    def the_gate_is_as_the_model_says(self) -> None:
        row, gate = self.world.gate(), self.model.gate
        assert (row["epoch"], row["failures"], row["probe_token"]) == (gate.epoch, gate.failures, gate.probe_token)
        assert (row["open_until"] is None, row["paused_by"]) == (gate.open_until is None, gate.paused_by)

    def teardown(self) -> None:
        """Workers die, an operator ends his pause, time passes and every send succeeds: nothing is stuck."""
        if self.model.gate.paused_by == "anna":
            self.operator_acts("resume")
        for _ in range(CALM_TURNS):
            self.time_passes(24)
            self.recover()
            self.release_dead_letters()
            claimed, trial = self.world.pump()
            self._took(claimed, trial=False)
            self._took([trial] if trial else [], trial=True)
            self._settle([over(alert, OUTCOMES[1], trial=False) for alert in claimed])
            self._settle([over(trial, OUTCOMES[1], trial=True)] if trial else [])
        stuck = [alert for alert in self.model.alerts.values() if alert.state in OPEN]
        assert not stuck, (stuck, self.model.gate, CHANNEL)
        self.alerts_are_as_the_model_says()


def test_the_queue_and_the_gate_do_as_the_model(world: World) -> None:
    run_state_machine_as_test(
        partial(Queue, world),  # type: ignore[arg-type]
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
