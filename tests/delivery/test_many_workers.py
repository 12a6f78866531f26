"""Several workers on the same rows at the same time."""

from collections import Counter
from pathlib import Path

import asyncpg

from tests.delivery import alerts
from tests.delivery.fleet import workers
from tests.delivery.receiver import Receiver
from tests.processes import eventually


async def test_three_workers_with_overlapping_crons_and_sweeps_send_500_alerts_once_each(
    environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    async with workers(3, environment | {"ALERT_SWEEP_SECONDS": "0.05"}, tmp_path / "worker.log"):
        async with sql.transaction():
            await alerts.seed(sql, 500)
            await sql.execute(_HALF_ARE_DEAD_LETTERS)
        for _ in range(5):
            await alerts.ring(environment["REDIS_URL"], "slack")
        await eventually(lambda: alerts.are(sql, delivered=500), seconds=40)
    assert Counter(request.who for request in receiver.requests) == {f"Lead {n}": 1 for n in range(1, 501)}
    assert await alerts.letters(sql) == {"delivered": 250}
    assert await sql.fetchval("SELECT max(attempts) FROM outbound_alert WHERE state = 'delivered'") == 2


_HALF_ARE_DEAD_LETTERS = """
WITH half AS (
    UPDATE outbound_alert SET state = 'retrying', attempts = 1, last_outcome = 'ambiguous', last_error = 'http_500'
    WHERE id IN (SELECT id FROM outbound_alert ORDER BY next_attempt_at LIMIT 250)
    RETURNING id)
INSERT INTO dead_letter_queue (id, alert_id, channel, reason)
SELECT gen_random_uuid(), id, 'slack', 'http_500' FROM half
"""
