"""The functions that arq calls. They take names of channels, or of what else waits, and nothing else."""

from typing import Any

import structlog

from app.conversations.unsubscribe import UNSUBSCRIBES, apply_all
from app.core.db import DATABASE_ERRORS
from worker.context import Context

_log = structlog.stdlib.get_logger(__name__)


async def deliver_alerts(ctx: dict[str, Any], channels: list[str]) -> None:
    """Wake the pumps of channels that a committed transaction rang for, and let unsubscribed conversations follow."""
    context: Context = ctx["context"]
    context.delivery.wake(channels)
    if UNSUBSCRIBES in channels:
        try:
            await apply_all(context.database, context.reach)
        except DATABASE_ERRORS as error:
            _log.warning("unsubscribes_wait", error=type(error).__name__)
