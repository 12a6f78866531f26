"""Knowledge that changes while the process runs: the files are looked at now and then, checked, and only then used."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

from app.engine import knowledge_files
from app.engine.engine import Engine
from app.engine.knowledge import KnowledgeError

_log = structlog.stdlib.get_logger(__name__)


class KnowledgeWatch:
    """Exchanges an engine's knowledge when its files have changed. A file that does not pass leaves it as it was."""

    def __init__(self, engine: Engine, directory: Path | None, *, every_seconds: float) -> None:
        """`engine` has just been loaded from `directory`."""
        self._engine = engine
        self._directory = directory
        self._every = every_seconds
        self._used = self._look()

    async def run(self) -> None:
        """Look until cancelled. Files are read once they have stayed the same for one round: somebody may be copying."""
        before = self._used
        while True:
            await asyncio.sleep(self._every)
            now = await asyncio.to_thread(self._look)
            if now != self._used and now == before:
                self._used = now
                await asyncio.to_thread(self._exchange)
            before = now

    def _look(self) -> str:
        try:
            return knowledge_files.fingerprint(self._directory)
        except OSError as error:
            return f"unreadable: {error.filename}"

    def _exchange(self) -> None:
        try:
            self._engine.learn(knowledge_files.load(self._directory))
        except KnowledgeError as error:
            _log.error("knowledge refused, the one before stays", reason=str(error))
        else:
            _log.info("knowledge exchanged")


@asynccontextmanager
async def watching(engine: Engine, directory: Path | None, *, every_seconds: float) -> AsyncIterator[None]:
    """Keep the engine's knowledge like its files until the block ends; with 0 seconds, leave it as it is."""
    if not every_seconds:
        yield
        return
    task = asyncio.create_task(KnowledgeWatch(engine, directory, every_seconds=every_seconds).run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
