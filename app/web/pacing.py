"""How fast one client is told no: a refusal costs the loop that serves everybody, so more than a few of them wait."""

import asyncio
from collections import OrderedDict
from typing import Final, Protocol, cast

from prometheus_client import Counter
from starlette.types import Scope

from app.web.client import SCOPE_KEY, Client

AT_ONCE: Final = 50
"""Refusals that a client gets without waiting, if it had none lately: a front end that errs notices nothing."""
PER_SECOND: Final = 250
"""Beyond that, a client gets so many a second."""
LONGEST_SECONDS: Final = 1.0
"""Nobody waits longer, however many connections a client has."""
MAX_CLIENTS: Final = 10_000
"""Clients that are remembered; the one refused longest ago goes first."""
CONNECTION_KEY: Final = "novahouse.connection"
"""Where a request's scope holds the Connection it came by."""

PACED = Counter("http_refusals_paced", "Refusals that had to wait, because their client had too many.")


class Connection(Protocol):
    """A connection, as far as waiting on it goes."""

    def rest(self) -> None:
        """Nothing is worked on: when there are too many connections, this one may be closed."""

    def resume(self) -> None:
        """An answer is on its way."""

    def stand(self) -> None:
        """The answer stays open, hence is the last one here."""


class Pace:
    """Delays refusals by the generic cell rate algorithm (ITU-T I.371): a burst of AT_ONCE, then PER_SECOND.

    A client that waits for its answers can then send no more requests in vain than that; one that does not wait
    fills its connections.
    """

    def __init__(self) -> None:
        self._even: OrderedDict[str, float] = OrderedDict()
        """When a client will have been refused no faster than PER_SECOND, in the loop's time."""

    def __len__(self) -> int:
        """How many clients are remembered."""
        return len(self._even)

    def delay(self, client: str, now: float) -> float:
        """Count one refusal of this client; gives the seconds it has to wait."""
        even = max(self._even.pop(client, now), now) + 1 / PER_SECOND
        even = min(even, now + AT_ONCE / PER_SECOND + LONGEST_SECONDS)
        self._even[client] = even
        if len(self._even) > MAX_CLIENTS:
            self._even.popitem(last=False)
        delay = max(0.0, even - now - AT_ONCE / PER_SECOND)
        if delay:
            PACED.inc()
        return delay

    async def wait(self, scope: Scope) -> None:
        """Count one refusal of whoever sent this request, and wait with it as long as has to be."""
        client: Client = scope[SCOPE_KEY]
        delay = self.delay(client.customer, asyncio.get_running_loop().time())
        if not delay:
            return
        connection = cast("Connection | None", scope.get(CONNECTION_KEY))
        if connection is not None:
            connection.rest()
        await asyncio.sleep(delay)
        if connection is not None:
            connection.resume()
