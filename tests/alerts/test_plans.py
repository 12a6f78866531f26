"""Every query of operators finds its rows by an index, shown on tables with far more closed rows than open ones."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import channel_service, operator_service
from app.core import clock
from app.core.db import Database
from app.devstack.postgres import EmbeddedPostgres
from app.operations import service as journal
from tests.plans import Query, assert_reads_by_index, filled_database, in_session, opened

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


@pytest.fixture(scope="module")
def crowded_url(postgres: EmbeddedPostgres) -> str:
    """A database with many rows of everything and fresh statistics."""
    return filled_database(postgres, "crowded", _FILL)


@pytest.fixture
async def crowded(crowded_url: str) -> AsyncIterator[Database]:
    """The service's way into that database."""
    async with opened(crowded_url) as own:
        yield own


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


@pytest.mark.parametrize("name", QUERIES)
async def test_no_query_of_operators_reads_a_growing_table_whole(crowded: Database, name: str) -> None:
    await assert_reads_by_index(crowded, await in_session(crowded, QUERIES[name]), small=SMALL)
