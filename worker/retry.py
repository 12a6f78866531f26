"""What to do after an attempt: pure decisions from an outcome, without a database or a clock."""

import random
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from worker.channels.base import Outcome, OutcomeKind

GROWTH = (1, 3, 12, 48, 144)
"""Delays in units of the first one: 5 min, 15 min, 1 h, 4 h, 12 h by default. Later ones repeat the last."""
JITTER = 0.2
THROTTLE_SECONDS = 60.0
"""How long a channel rests when it asks for a rest without saying how long."""
SHORTEST_REST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a failed alert is tried again."""

    max_retries: int
    first_delay: timedelta

    @property
    def max_attempts(self) -> int:
        """The first attempt and every retry."""
        return 1 + self.max_retries


ONCE = RetryPolicy(max_retries=0, first_delay=timedelta(0))
"""For an operator's test: its failure is its answer."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an attempt means for its alert and its channel."""

    state: Literal["delivered", "pending", "retrying", "failed"]
    delay_seconds: float | None = None
    """Until the alert is due again; None: it stays due, and its channel is what holds it back."""
    counts: bool = True
    """False: the attempt was not the alert's fault and is given back."""
    letter: Literal["pending", "failed"] | None = None
    """The dead letter that this leaves."""
    ambiguous: bool = False
    """The attempt may have arrived all the same."""
    refused: bool = False
    """The remote proved that it created nothing."""
    rest_seconds: float | None = None
    """How long the whole channel must wait."""
    pause: bool = False
    """The whole channel waits for a person."""


def judge(outcome: Outcome, *, turn: int, policy: RetryPolicy, rng: random.Random) -> Verdict:
    """The verdict on the `turn`-th attempt of a round, which came to `outcome`."""
    match outcome.kind:
        case OutcomeKind.DELIVERED:
            return Verdict("delivered")
        case OutcomeKind.THROTTLED:
            rest = THROTTLE_SECONDS if outcome.retry_after is None else outcome.retry_after.total_seconds()
            created_nothing = outcome.error != "idempotency_conflict"  # then a twin of this very request is at work
            rest = max(rest, SHORTEST_REST_SECONDS)
            verdict = Verdict("pending", counts=False, refused=created_nothing, rest_seconds=rest)
        case OutcomeKind.DESTINATION_PERMANENT:
            verdict = Verdict("pending", counts=False, refused=True, pause=True)
        case OutcomeKind.PAYLOAD_PERMANENT:
            verdict = Verdict("failed", refused=True, letter="failed")
        case OutcomeKind.NOT_SENT | OutcomeKind.AMBIGUOUS:
            verdict = _try_again(outcome, turn=turn, policy=policy, rng=rng)
    return replace(verdict, state="failed", counts=True, letter=None) if policy is ONCE else verdict


def _try_again(outcome: Outcome, *, turn: int, policy: RetryPolicy, rng: random.Random) -> Verdict:
    ambiguous = outcome.kind is OutcomeKind.AMBIGUOUS
    if turn >= policy.max_attempts:
        return Verdict("failed", letter="failed", ambiguous=ambiguous)
    rest = outcome.retry_after.total_seconds() if outcome.retry_after else None
    delay = max(retry_delay(turn, policy=policy, rng=rng), rest or 0.0)
    return Verdict("retrying", delay_seconds=delay, letter="pending", ambiguous=ambiguous, rest_seconds=rest)


def retry_delay(turn: int, *, policy: RetryPolicy, rng: random.Random) -> float:
    """Seconds until the retry after the `turn`-th attempt, spread by ±20 % so that retries do not come in a herd."""
    steps = GROWTH[min(turn, len(GROWTH)) - 1]
    return policy.first_delay.total_seconds() * steps * rng.uniform(1 - JITTER, 1 + JITTER)
