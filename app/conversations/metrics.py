"""Conversations for Prometheus: read from the tables at each scrape, so true with every worker dead."""

from typing import Final, get_args

from prometheus_client.core import GaugeMetricFamily
from sqlalchemy.ext.asyncio import AsyncSession

from app.conversations import feedback_repository as repository
from app.conversations.feedback import Rating

DAYS: Final = 7
"""How far back a scrape counts, which bounds what it costs."""


async def families(session: AsyncSession) -> list[GaugeMetricFamily]:
    """Ratings of messages, and visitors who wait for a person."""
    ratings = GaugeMetricFamily(
        "message_feedback", f"Messages that were rated in the last {DAYS} days.", labels=("rating",)
    )
    found = await repository.counts(session, days=DAYS)
    for rating in get_args(Rating):
        ratings.add_metric([rating], found.get(rating, 0))
    waiting = GaugeMetricFamily(
        "handoffs_waiting",
        "Visitors who asked for a person and were not answered yet.",
        value=await repository.waiting_handoffs(session),
    )
    return [ratings, waiting]
