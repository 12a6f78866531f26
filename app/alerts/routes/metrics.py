"""HTTP of the numbers, for Prometheus."""

from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog
from fastapi import Request, Response
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import DATABASE_ERRORS, Database
from app.web.routing import Router

Provider = Callable[[AsyncSession], Awaitable[Sequence[Metric]]]
"""A feature's numbers, read from its tables for one scrape."""

router = Router(tags=["health"])

_log = structlog.stdlib.get_logger(__name__)


class _Snapshot:
    """This process's own counters, and what was read from the tables for this scrape."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """What prometheus_client asks a registry for."""
        yield from REGISTRY.collect()
        yield from self._families


@router.get("/metrics", include_in_schema=False)
async def get_metrics(request: Request) -> Response:
    """Numbers without personal data. When PostgreSQL is away, `database_up` is 0 and its part is left out."""
    database: Database = request.app.state.database
    providers: Sequence[Provider] = request.app.state.metrics
    up = GaugeMetricFamily("database_up", "1 when PostgreSQL answered this scrape.")
    families: list[Metric] = [up]
    try:
        async with database.transaction() as session:
            for provider in providers:
                families += await provider(session)
        up.add_metric([], 1)
    except DATABASE_ERRORS as error:
        up.add_metric([], 0)
        _log.warning("metrics_without_database", error=type(error).__name__)
    return Response(generate_latest(_Snapshot(families)), media_type=CONTENT_TYPE_LATEST)
