"""Workers by the number."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.processes import Running, worker


@asynccontextmanager
async def workers(count: int, environment: Mapping[str, str], log: Path) -> AsyncIterator[list[Running]]:
    """So many workers, all ready. Each has a log of its own beside `log`."""
    async with AsyncExitStack() as stack:
        starting = [
            stack.enter_async_context(worker(environment, log.with_stem(f"{log.stem}-{number}")))
            for number in range(count)
        ]
        yield await asyncio.gather(*starting)
