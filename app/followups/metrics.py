"""Follow-ups for Prometheus: read from the table at each scrape, so true with every worker dead."""

from typing import Final

from prometheus_client.core import GaugeMetricFamily
from sqlalchemy.ext.asyncio import AsyncSession

from app.followups import metrics_repository as repository

DAYS: Final = 7
"""How far back a scrape counts, which bounds what it costs."""


async def families(session: AsyncSession) -> list[GaugeMetricFamily]:
    """Follow-ups by number and state, and the longest waiting one."""
    counts = GaugeMetricFamily("followups", f"Follow-ups written in the last {DAYS} days.", labels=("number", "state"))
    for row in await repository.counts(session, days=DAYS):
        counts.add_metric([str(row.followup_number), row.state], row.total)
    waiting = await repository.oldest_pending_seconds(session)
    oldest = GaugeMetricFamily(
        "followups_oldest_pending_seconds", "Age of the oldest follow-up that has not left.", value=waiting
    )
    return [counts, oldest]
