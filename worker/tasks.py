"""The functions that arq calls. They take names of channels, or of what else waits, and nothing else."""

from typing import Any

import structlog

from app.conversations.consents import OPT_INS
from app.conversations.unsubscribe import UNSUBSCRIBES, apply_all
from app.core.db import DATABASE_ERRORS
from app.privacy.opt_in import look_at_all
from worker.context import Context

_log = structlog.stdlib.get_logger(__name__)


async def deliver_alerts(ctx: dict[str, Any], channels: list[str]) -> None:
    """Wake the pumps of channels that a committed transaction rang for, and do at once what else it rang for."""
    context: Context = ctx["context"]
    context.delivery.wake(channels)
    errands = {
        UNSUBSCRIBES: lambda: apply_all(context.database, context.reach),
        OPT_INS: lambda: look_at_all(context.database, context.reach.keys),
    }
    for name in (name for name in errands if name in channels):
        try:
            await errands[name]()
        except DATABASE_ERRORS as error:
            _log.warning("errand_waits", errand=name, error=type(error).__name__)
