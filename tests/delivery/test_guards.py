"""What cannot be said does not keep its neighbours from being said."""

from pathlib import Path

import asyncpg

from tests.delivery import alerts
from tests.delivery.receiver import Receiver
from tests.processes import eventually, worker


async def test_an_unknown_event_and_an_erased_lead_stop_no_neighbour(
    environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    await alerts.seed(sql, 7)
    await sql.execute(
        "UPDATE outbound_alert SET event = 'lead.unheard_of' FROM leads l WHERE l.id = subject_id AND name = 'Lead 2'"
    )
    await sql.execute("DELETE FROM leads WHERE name = 'Lead 3'")
    async with worker(environment | {"SCHEDULER_ENABLED": "false"}, tmp_path / "worker.log"):
        await eventually(lambda: alerts.are(sql, delivered=5, failed=1, cancelled=1))
    assert sorted(request.who for request in receiver.requests) == [f"Lead {n}" for n in (1, 4, 5, 6, 7)]
    unknown = await alerts.about(sql, "Lead 2")
    assert (unknown["letter"], unknown["reason"]) == ("failed", "unknown_event")
    erased = "SELECT last_error FROM outbound_alert WHERE state = 'cancelled'"
    assert await sql.fetchval(erased) == "subject_erased"
    assert await alerts.letters(sql) == {"failed": 1}


async def test_a_lead_whose_package_left_the_offer_is_told_without_a_total(
    environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    await alerts.seed(sql, 2)
    await sql.execute("UPDATE leads SET package = 'no_such_package' WHERE name = 'Lead 1'")
    await sql.execute("UPDATE leads SET area_m2 = 3 WHERE name = 'Lead 2'")
    async with worker(environment | {"SCHEDULER_ENABLED": "false"}, tmp_path / "worker.log"):
        await eventually(lambda: alerts.are(sql, delivered=2))
    assert sorted(request.who for request in receiver.requests) == ["Lead 1", "Lead 2"]


async def test_what_breaks_the_reading_of_one_alert_stops_no_neighbour_and_is_tried_again(
    environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    patient = {"ALERT_CONCURRENCY": "1", "DLQ_MAX_RETRIES": "1", "DLQ_RETRY_DELAY_MINUTES": "60"}
    await alerts.seed(sql, 8)
    await sql.execute("UPDATE leads SET created_at = '20000-01-01' WHERE name IN ('Lead 2', 'Lead 3', 'Lead 4')")
    async with worker(environment | patient, tmp_path / "worker.log"):
        await eventually(lambda: alerts.are(sql, delivered=5, retrying=3))
        assert await alerts.letters(sql) == {"pending": 3}
        await sql.execute("UPDATE leads SET created_at = now() WHERE name = 'Lead 2'")
        await sql.execute("UPDATE outbound_alert SET next_attempt_at = now() WHERE state = 'retrying'")
        await eventually(lambda: alerts.are(sql, delivered=6, failed=2))
    assert sorted(request.who for request in receiver.requests) == [f"Lead {n}" for n in (1, 2, 5, 6, 7, 8)]
    broken = await alerts.about(sql, "Lead 3")
    assert (broken["attempts"], broken["letter"], broken["reason"]) == (2, "failed", "bug:OverflowError")
    assert (await alerts.gate(sql))["failures"] == 0
