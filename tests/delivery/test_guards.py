"""What cannot be said does not keep its neighbours from being said."""

from pathlib import Path

import asyncpg

from tests.delivery import alerts
from tests.delivery.receiver import Receiver
from tests.processes import eventually, worker


async def test_an_unknown_event_and_an_unwritable_alert_stop_no_neighbour(
    environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    await alerts.seed(sql, 7)
    await sql.execute("UPDATE leads SET package = 'no such package' WHERE name = 'Lead 1'")
    await sql.execute(
        "UPDATE outbound_alert SET event = 'lead.unheard_of' FROM leads l WHERE l.id = subject_id AND name = 'Lead 2'"
    )
    await sql.execute("DELETE FROM leads WHERE name = 'Lead 3'")
    async with worker(environment | {"SCHEDULER_ENABLED": "false"}, tmp_path / "worker.log"):
        await eventually(lambda: alerts.are(sql, delivered=4, failed=2, cancelled=1))
    assert sorted(request.who for request in receiver.requests) == ["Lead 4", "Lead 5", "Lead 6", "Lead 7"]
    unwritable, unknown = await alerts.about(sql, "Lead 1"), await alerts.about(sql, "Lead 2")
    assert (unwritable["letter"], unwritable["reason"].partition(":")[0]) == ("failed", "unwritable")
    assert (unknown["letter"], unknown["reason"]) == ("failed", "unknown_event")
    erased = "SELECT last_error FROM outbound_alert WHERE state = 'cancelled'"
    assert await sql.fetchval(erased) == "subject_erased"
    assert await alerts.letters(sql) == {"failed": 2}
