"""How long the event loop kept everybody waiting: what blocks it, blocks every visitor."""

import asyncio
import time
from typing import Final

from prometheus_client import Gauge, Histogram

EVERY_SECONDS: Final = 0.05
WORST_OF_SECONDS: Final = 60.0

_BUCKETS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)

LAG = Histogram("event_loop_lag_seconds", "How late the event loop came to a timer.", buckets=_BUCKETS)
WORST = Gauge("event_loop_lag_worst_seconds", "The worst of the last one to two minutes.")
BLOCKED = Histogram(
    "event_loop_blocked_seconds",
    "Of that, what this process computed: the rest is a machine that is too busy.",
    buckets=_BUCKETS,
)


async def watch_loop() -> None:
    """Measure until cancelled."""
    loop = asyncio.get_running_loop()
    worst = before = 0.0
    turn = loop.time() + WORST_OF_SECONDS
    while True:
        due, used = loop.time() + EVERY_SECONDS, time.thread_time()
        await asyncio.sleep(EVERY_SECONDS)
        lag = max(0.0, loop.time() - due)
        LAG.observe(lag)
        BLOCKED.observe(min(lag, time.thread_time() - used))
        worst = max(worst, lag)
        WORST.set(max(worst, before))
        if loop.time() > turn:
            worst, before = 0.0, worst
            turn = loop.time() + WORST_OF_SECONDS
