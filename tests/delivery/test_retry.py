"""The verdicts: what each outcome means for the alert and for its channel."""

import random
from datetime import timedelta

import pytest

from worker.channels.base import Outcome, OutcomeKind
from worker.retry import JITTER, ONCE, RetryPolicy, Verdict, judge, retry_delay

POLICY = RetryPolicy(max_retries=5, first_delay=timedelta(minutes=5))
RNG = random.Random(7)  # noqa: S311  spreads retries, protects nothing


def verdict(kind: OutcomeKind, *, turn: int = 1, policy: RetryPolicy = POLICY, wait: float | None = None) -> Verdict:
    outcome = Outcome(kind, error="http_0", retry_after=None if wait is None else timedelta(seconds=wait))
    return judge(outcome, turn=turn, policy=policy, rng=RNG)


def test_a_yes_is_the_end() -> None:
    assert verdict(OutcomeKind.DELIVERED) == Verdict("delivered")


@pytest.mark.parametrize(("wait", "rest"), [(3, 3), (0, 1), (None, 60), (86_400, 86_400)])
def test_a_request_to_wait_rests_the_channel_and_costs_the_alert_nothing(wait: float | None, rest: float) -> None:
    assert verdict(OutcomeKind.THROTTLED, turn=6, wait=wait) == Verdict(
        "pending", counts=False, refused=True, rest_seconds=rest
    )


def test_a_twin_at_work_keeps_its_idempotency_key() -> None:
    outcome = Outcome(OutcomeKind.THROTTLED, error="idempotency_conflict")
    assert not judge(outcome, turn=1, policy=POLICY, rng=RNG).refused


def test_a_refused_destination_pauses_the_channel_and_costs_the_alert_nothing() -> None:
    expected = Verdict("pending", counts=False, refused=True, pause=True)
    assert verdict(OutcomeKind.DESTINATION_PERMANENT, turn=6) == expected


def test_a_refused_message_fails_at_once() -> None:
    assert verdict(OutcomeKind.PAYLOAD_PERMANENT) == Verdict("failed", refused=True, letter="failed")


@pytest.mark.parametrize(("kind", "ambiguous"), [(OutcomeKind.NOT_SENT, False), (OutcomeKind.AMBIGUOUS, True)])
@pytest.mark.parametrize("turn", [1, 5, 6, 7])
def test_a_failure_is_tried_again_until_its_attempts_are_spent(kind: OutcomeKind, ambiguous: bool, turn: int) -> None:
    came_to = verdict(kind, turn=turn)
    spent = turn >= POLICY.max_attempts
    assert (came_to.state, came_to.letter) == (("failed", "failed") if spent else ("retrying", "pending"))
    assert (came_to.ambiguous, came_to.counts, came_to.refused) == (ambiguous, True, False)
    assert (came_to.delay_seconds is None) == spent


@pytest.mark.parametrize(("turn", "minutes"), [(1, 5), (2, 15), (3, 60), (4, 240), (5, 720), (6, 720), (20, 720)])
def test_delays_grow_and_are_spread_by_a_fifth(turn: int, minutes: float) -> None:
    delays = [retry_delay(turn, policy=POLICY, rng=RNG) / 60 for _ in range(1000)]
    assert minutes * (1 - JITTER) <= min(delays) < minutes * 0.85
    assert minutes * 1.15 < max(delays) <= minutes * (1 + JITTER)


@pytest.mark.parametrize(("wait", "least"), [(1, 240), (7200, 7200)])
def test_a_failure_with_a_wish_to_wait_waits_for_the_longer_of_both(wait: float, least: float) -> None:
    came_to = verdict(OutcomeKind.AMBIGUOUS, wait=wait)
    assert came_to.delay_seconds is not None
    assert came_to.delay_seconds >= least
    assert came_to.rest_seconds == wait


@pytest.mark.parametrize("kind", list(OutcomeKind))
def test_an_operators_test_is_tried_once_and_leaves_no_dead_letter(kind: OutcomeKind) -> None:
    came_to = verdict(kind, policy=ONCE)
    assert came_to.state == ("delivered" if kind is OutcomeKind.DELIVERED else "failed")
    assert came_to.letter is None
    assert came_to.counts
