"""Unanswered questions for Prometheus: read from the table at each scrape."""

from prometheus_client.core import GaugeMetricFamily
from sqlalchemy.ext.asyncio import AsyncSession

from app.conversations import questions_repository as repository


async def families(session: AsyncSession) -> list[GaugeMetricFamily]:
    """Open questions by language."""
    totals = {row.language: row.total for row in await repository.count_open(session)}
    gauge = GaugeMetricFamily("questions_open", "Questions that nobody has decided on.", labels=("language",))
    for language in ("pl", "en"):
        gauge.add_metric([language], totals.get(language, 0))
    return [gauge]
