"""The functions that arq calls. They take names of channels and nothing else."""

from typing import Any

from worker.context import Context


async def deliver_alerts(ctx: dict[str, Any], channels: list[str]) -> None:
    """Wake the pumps of channels that a committed transaction rang for."""
    context: Context = ctx["context"]
    context.delivery.wake(channels)
