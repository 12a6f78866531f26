"""The functions that arq calls. They take row ids and nothing else."""

from typing import Any
from uuid import UUID

from worker.context import Context


async def deliver_alerts(ctx: dict[str, Any], alert_ids: list[str]) -> None:
    """Deliver the alerts that a committed transaction rang for."""
    context: Context = ctx["context"]
    await context.delivery.deliver([UUID(alert_id) for alert_id in alert_ids])
