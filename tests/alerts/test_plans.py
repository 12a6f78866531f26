"""Every query of operators finds its rows by an index, shown on tables with far more closed rows than open ones."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from alembic import command
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import channel_service, operator_service
from app.core import clock
from app.core.db import Database
from app.core.settings import Settings
from app.devstack.postgres import EmbeddedPostgres
from app.operations import service as journal
from tests.conftest import alembic_config, new_database, run_sql

ROWS = 20_000
LETTER = UUID("8f14e45f-ceea-167a-5a36-dedd4bea2543")  # md5 of 7: a dead letter that failed
ALERT = UUID("5708013f-256e-ea31-6ae7-37ed5191452c")
SMALL = frozenset({"channel_gate", "scheduled_job", "rate_limit"})
"""Tables that hold a handful of rows: reading them whole is right."""

_FILL = f"""
INSERT INTO outbound_alert (id, event, channel, subject_id, dedupe_key, state, attempts, delivered_at)
SELECT md5('alert' || n)::uuid, 'lead.captured', 'slack', md5('lead' || n)::uuid, n::text, state, 6,
       CASE WHEN state = 'delivered' THEN now() END
FROM (SELECT n, CASE n % 2000 WHEN 7 THEN 'failed' WHEN 8 THEN 'retrying' WHEN 9 THEN 'pending' ELSE 'delivered' END
      AS state FROM generate_series(1, {ROWS}) n) alerts;
INSERT INTO delivery_attempt (alert_id, attempt, outcome, started_at, duration_ms)
SELECT md5('alert' || n)::uuid, 1, 'delivered', now(), 5 FROM generate_series(1, {ROWS}) n;
INSERT INTO dead_letter_queue (id, alert_id, channel, reason, status, created_at, closed_at)
SELECT md5(n::text)::uuid, md5('alert' || n)::uuid, 'slack', 'http_500', status, now() - n * interval '1 minute',
       CASE WHEN status <> 'pending' THEN now() END
FROM (SELECT n, CASE n % 2000 WHEN 7 THEN 'failed' WHEN 8 THEN 'pending' WHEN 9 THEN 'pending' ELSE 'delivered' END
      AS status FROM generate_series(1, {ROWS}) n) letters;
INSERT INTO operator_action (id, actor, action, target)
SELECT gen_random_uuid(), 'key:admin', 'dead_letter.retry', md5(n::text)::uuid::text FROM generate_series(1, {ROWS}) n;
INSERT INTO operator_notice (id, kind) SELECT gen_random_uuid(), 'notice.test' FROM generate_series(1, {ROWS}) n;
"""

Query = Callable[[AsyncSession], Awaitable[Any]]


@pytest.fixture(scope="module")
def crowded_url(postgres: EmbeddedPostgres) -> str:
    """A database with many rows of everything and fresh statistics."""
    url = new_database(postgres, "crowded")
    command.upgrade(alembic_config(url), "head")
    run_sql(url, _FILL, "VACUUM ANALYZE")
    return url


@pytest.fixture
async def crowded(crowded_url: str) -> AsyncIterator[Database]:
    """The service's way into that database."""
    own = Database(Settings(database_url=crowded_url).database_url, pool_size=2)
    yield own
    await own.dispose()


async def _pages(session: AsyncSession) -> None:
    for status in (None, "failed"):
        for before in (None, (clock.now(), uuid4())):
            await operator_service.page(
                session, status=status, channel="slack", since=clock.now(), before=before, limit=50
            )


async def _retry_many(session: AsyncSession) -> None:
    for channel in (None, "slack"):
        await operator_service.retry_many(
            session, channel=channel, since=None, statuses=("pending", "failed"), per_second=5, actor="x"
        )


QUERIES: dict[str, Query] = {
    "pages of dead letters": _pages,
    "one dead letter": lambda s: operator_service.detail(s, LETTER),
    "one alert": lambda s: operator_service.alert(s, ALERT),
    "retry": lambda s: operator_service.retry(s, LETTER, actor="x"),
    "discard": lambda s: operator_service.discard(s, LETTER, actor="x", reason="x"),
    "retry many": _retry_many,
    "status": lambda s: channel_service.status(
        s, configured=(), scheduler_enabled=True, rate_limits={"chat": "1 per day"}
    ),
    "test": lambda s: channel_service.send_test(s, "slack", configured=("slack",), actor="x"),
    "journal": lambda s: journal.actions(s, target=None, before=(clock.now(), uuid4()), limit=50),
    "journal of one": lambda s: journal.actions(s, target=str(LETTER), limit=50),
}


async def _plans(database: Database, query: Query) -> list[str]:
    """The plans of every statement that `query` makes."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        statements.append((statement, parameters))

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        async with database.transaction() as session:
            await query(session)
            await session.rollback()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    async with database.driver() as connection:
        return [
            "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {statement}", *parameters))
            for statement, parameters in statements
        ]


@pytest.mark.parametrize("name", QUERIES)
async def test_no_query_of_operators_reads_a_growing_table_whole(crowded: Database, name: str) -> None:
    plans = await _plans(crowded, QUERIES[name])
    assert plans
    for plan in plans:
        scanned = set(re.findall(r"Seq Scan on (\w+)", plan))
        assert scanned <= SMALL, plan
