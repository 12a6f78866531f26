"""Conversations as this process wrote them last, so that the next message of a visitor needs no reading.

Never the truth: a turn names the version of the row that it was computed from, and writes nothing when the row has
another by then (docs/decisions/0004-hot-path.md).
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

SIZE: Final = 4_000
"""Conversations that are remembered; the one written longest ago goes first."""
SECONDS: Final = 60.0
"""For how long after its last message. What is remembered is personal data, and nobody pauses so long in mid-talk."""


class Recent:
    """Rows by the hash of their conversation's token. For one event loop."""

    def __init__(self, *, size: int = SIZE, seconds: float = SECONDS) -> None:
        self._size = size
        self._seconds = seconds
        self._rows: dict[bytes, tuple[float, Mapping[str, Any]]] = {}
        """In the order in which they were written."""
        self._sweep: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._rows)

    def take(self, token_hash: bytes) -> Mapping[str, Any] | None:
        """The row, which is forgotten with that: of two messages at once one goes by it."""
        found = self._rows.pop(token_hash, None)
        return None if found is None else found[1]

    def keep(self, token_hash: bytes, row: Mapping[str, Any]) -> None:
        """Remember a row as it was just written."""
        loop = asyncio.get_running_loop()
        self._rows.pop(token_hash, None)
        self._rows[token_hash] = (loop.time(), row)
        while len(self._rows) > self._size:
            del self._rows[next(iter(self._rows))]
        if self._sweep is None and self._rows:
            self._sweep = loop.call_later(self._seconds, self._forget_old, loop)

    def _forget_old(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweep = None
        oldest = loop.time() - self._seconds
        for token_hash, (at, _) in list(self._rows.items()):
            if at > oldest:
                self._sweep = loop.call_later(at - oldest, self._forget_old, loop)
                break
            del self._rows[token_hash]
