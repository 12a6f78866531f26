"""The circuit breaker of one channel in this process: aiobreaker, led by the gate that all processes share.

The gate in PostgreSQL decides (`app.alerts.repository.gate`): it alone knows the other workers, survives restarts and
lets exactly one trial call through. aiobreaker is the fuse in front of the client: between the failure that trips it
and the moment the gate has heard of it, it keeps this process from sending what it claimed already. Its own clock and
its own half-open state are not relied on: it admits everyone when half open, and compares local with universal time
(docs/decisions/0005-delivery.md).
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from aiobreaker import CircuitBreaker, CircuitBreakerError
from aiobreaker.state import CircuitBreakerState

from worker.channels.base import Health, Outcome


class _RemoteFailedError(Exception):
    """Tells aiobreaker of a failure."""


class Fuse:
    """Counts the failures in a row of one process's calls to one channel and refuses calls after `fail_max`."""

    def __init__(self, *, fail_max: int, reset_timeout: timedelta) -> None:
        self._breaker = CircuitBreaker(fail_max=fail_max, timeout_duration=reset_timeout)

    @property
    def blown(self) -> bool:
        """Whether calls are refused."""
        return self._breaker.current_state is CircuitBreakerState.OPEN

    def follow_gate(self, *, trial: bool) -> None:
        """The gate let a claim through: as its one trial call, or because the breaker is closed."""
        if trial:
            self._breaker.half_open()
        elif self._breaker.current_state is not CircuitBreakerState.CLOSED:
            self._breaker.close()

    async def call(self, send: Callable[[], Awaitable[Outcome]]) -> Outcome | None:
        """What `send` came to; None when the fuse is blown and nothing was sent."""
        outcome: Outcome | None = None

        async def counted() -> None:
            nonlocal outcome
            outcome = await send()
            if outcome.remote_health is Health.FAILING:
                raise _RemoteFailedError

        try:
            await self._breaker.call_async(counted)
        except (_RemoteFailedError, CircuitBreakerError):  # the call that trips it raises the breaker's error
            return outcome
        return outcome
