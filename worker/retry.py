"""What to do after an attempt: pure decisions from an outcome, without a database or a clock."""

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from worker.channels.base import Outcome, OutcomeKind

GROWTH = (1, 3, 12, 48, 144)
"""Delays in units of the first one: 5 min, 15 min, 1 h, 4 h, 12 h by default. Later ones repeat the last."""
JITTER = 0.2
THROTTLE_SECONDS = 60.0
"""How long a channel rests when it asks for a rest without saying how long."""
DESTINATION_SECONDS = 300.0
"""How long a channel rests when its settings are wrong, before it is tried again."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a failed alert is tried again."""

    max_retries: int
    first_delay: timedelta

    @property
    def max_attempts(self) -> int:
        """The first attempt and every retry."""
        return 1 + self.max_retries


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an attempt means for its alert and its channel."""

    state: Literal["delivered", "pending", "failed"]
    delay_seconds: float = 0.0
    counts: bool = True
    """False: the attempt was not the alert's fault and is given back."""
    dead_letter: bool = False
    may_repeat: bool = False
    """The attempt may have arrived all the same."""
    hold_channel_seconds: float | None = None


def judge(outcome: Outcome, *, attempt: int, policy: RetryPolicy, rng: random.Random) -> Verdict:
    """The verdict on the `attempt`-th attempt, which came to `outcome`."""
    match outcome.kind:
        case OutcomeKind.DELIVERED:
            return Verdict("delivered")
        case OutcomeKind.THROTTLED:
            rest = outcome.retry_after.total_seconds() if outcome.retry_after else THROTTLE_SECONDS
            return Verdict("pending", delay_seconds=rest, counts=False, hold_channel_seconds=rest)
        case OutcomeKind.DESTINATION_PERMANENT:
            return Verdict(
                "pending",
                delay_seconds=DESTINATION_SECONDS,
                counts=False,
                dead_letter=True,
                hold_channel_seconds=DESTINATION_SECONDS,
            )
        case OutcomeKind.PAYLOAD_PERMANENT:
            return Verdict("failed", dead_letter=True)
        case OutcomeKind.NOT_SENT | OutcomeKind.AMBIGUOUS:
            may_repeat = outcome.kind is OutcomeKind.AMBIGUOUS
            if attempt >= policy.max_attempts:
                return Verdict("failed", dead_letter=True, may_repeat=may_repeat)
            delay = retry_delay(attempt, policy=policy, rng=rng)
            if outcome.retry_after:
                delay = max(delay, outcome.retry_after.total_seconds())
            return Verdict("pending", delay_seconds=delay, dead_letter=True, may_repeat=may_repeat)


def retry_delay(attempt: int, *, policy: RetryPolicy, rng: random.Random) -> float:
    """Seconds until the retry after the `attempt`-th attempt, spread by ±20 % so that retries do not come in a herd."""
    steps = GROWTH[min(attempt, len(GROWTH)) - 1]
    return policy.first_delay.total_seconds() * steps * rng.uniform(1 - JITTER, 1 + JITTER)
