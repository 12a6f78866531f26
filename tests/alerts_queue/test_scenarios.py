"""Orders of events that chance finds too seldom, walked by hand through the same machine, which checks each step."""

from tests.alerts_queue.model import BREAKER
from tests.alerts_queue.test_model import Queue
from tests.alerts_queue.world import World
from worker.channels.base import Outcome, OutcomeKind

NOT_SENT = Outcome(OutcomeKind.NOT_SENT, error="connect_failed")
REFUSED = Outcome(OutcomeKind.DESTINATION_PERMANENT, error="no_service")
ALL = 9


def queue_of(world: World, alerts: int) -> Queue:
    machine = Queue(world)
    machine.leads_come(alerts)
    return machine


def open_breaker(machine: Queue) -> None:
    for _ in range(BREAKER.fail_max):
        machine.claim(1)
        machine.settle(-1, NOT_SENT)
        check(machine)
    assert machine.model.gate.open_until is not None


def check(machine: Queue) -> None:
    machine.alerts_are_as_the_model_says()
    machine.the_gate_is_as_the_model_says()


def test_a_lapsed_claim_and_the_present_one_of_an_alert_are_settled_together(world: World) -> None:
    machine = queue_of(world, 1)
    machine.claim(1)
    machine.workers_hang()
    machine.workers_hang()
    machine.claim(1)
    machine.settle_together(2, NOT_SENT)
    check(machine)
    machine.teardown()


def test_a_breaker_does_not_stay_open_because_only_suspects_wait(world: World) -> None:
    machine = queue_of(world, 1)
    for _ in range(2):
        machine.claim(1)
        machine.workers_hang()
    machine.leads_come(BREAKER.fail_max)
    open_breaker(machine)
    machine.forget("retrying")
    machine.teardown()


def test_a_second_trial_call_is_not_made_beside_the_first_and_is_made_when_its_worker_is_lost(world: World) -> None:
    machine = queue_of(world, ALL)
    open_breaker(machine)
    machine.claim_one(trial=True)
    assert not machine.held
    machine.time_passes(2)
    machine.claim_one(trial=True)
    machine.claim_one(trial=True)
    assert len(machine.held) == 1
    machine.time_passes(2)
    machine.claim_one(trial=True)
    assert len(machine.held) == 2
    check(machine)
    machine.teardown()


def test_failures_of_sends_from_before_a_reset_do_not_count(world: World) -> None:
    machine = queue_of(world, ALL)
    machine.claim(ALL)
    machine.operator_acts("reset")
    while machine.held:
        machine.settle(0, NOT_SENT)
        check(machine)
    assert machine.model.gate.failures == 0
    machine.teardown()


def test_an_operators_pause_after_a_workers_lets_no_trial_call_through(world: World) -> None:
    machine = queue_of(world, ALL)
    machine.claim(1)
    machine.settle(0, REFUSED)
    machine.operator_acts("resume")
    machine.operator_acts("pause")
    machine.time_passes(4)
    machine.claim_one(trial=True)
    assert not machine.held
    machine.teardown()
