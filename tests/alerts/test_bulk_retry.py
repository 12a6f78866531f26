"""Many dead letters at once: paced, oldest first, each one once."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from app.alerts import operator_service
from app.alerts.schemas import RetriedOut
from tests.alerts import rows
from tests.alerts.test_dead_letters import rung
from tests.conftest import OPERATOR

PATH = "/v1/dead-letters/retry"


async def retry(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    response = await client.post(PATH, json=body, headers=OPERATOR)
    assert response.status_code == 202, response.text
    RetriedOut.model_validate_json(response.content, strict=True)
    answer: dict[str, Any] = response.json()
    return answer


async def begun(sql: asyncpg.Connection) -> int:
    count: int = await sql.fetchval(
        "SELECT count(*) FROM outbound_alert WHERE state = 'pending' AND attempts = attempts_before"
    )
    return count


async def test_they_leave_oldest_first_five_a_second(
    client: httpx.AsyncClient, sql: asyncpg.Connection, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator_service, "BULK_BATCH", 4)
    alerts = [(await rows.dead_letter(sql, minutes_ago=60 - number))[1] for number in range(10)]
    answer = await retry(client)
    assert (answer["retried"], answer["channels"]) == (10, ["slack"])
    due = await sql.fetch(
        "SELECT id, round(extract(epoch FROM next_attempt_at - min(next_attempt_at) OVER ()) * 1000) AS ms, "
        "next_attempt_at FROM outbound_alert ORDER BY next_attempt_at"
    )
    assert [row["id"] for row in due] == alerts
    assert [row["ms"] for row in due] == [200 * number for number in range(10)]
    assert due[0]["next_attempt_at"] <= await sql.fetchval("SELECT now()")
    assert answer["last_attempt_at"] == due[-1]["next_attempt_at"].isoformat().replace("+00:00", "Z")
    assert rung(redis_url) == [["slack"]]
    assert await rows.actions(sql) == [("key:admin", "dead_letter.retry_many", "all", None, 10)]


async def test_only_what_was_asked_for_is_retried(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    await rows.dead_letter(sql, channel="monday")
    await rows.dead_letter(sql, minutes_ago=60)
    await rows.dead_letter(sql, status="discarded")
    since = (await sql.fetchval("SELECT now() - interval '30 minutes'")).isoformat()
    assert (await retry(client, channel="slack", since=since))["retried"] == 0
    assert (await retry(client, channel="slack", since=since, statuses=["discarded"]))["retried"] == 1
    assert (await retry(client, channel="slack"))["retried"] == 1
    assert await retry(client) | {"last_attempt_at": None} == {
        "retried": 1,
        "channels": ["monday"],
        "last_attempt_at": None,
    }
    assert [action[2] for action in await rows.actions(sql)] == ["slack", "slack", "all"]


async def test_what_is_under_way_or_settled_is_left_alone(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    for status, state in (("pending", "sending"), ("delivered", None), ("cancelled", None), ("discarded", None)):
        await rows.dead_letter(sql, status=status, state=state)
    before = await sql.fetch("SELECT * FROM outbound_alert ORDER BY id")
    assert await retry(client) == {"retried": 0, "channels": [], "last_attempt_at": None}
    assert await sql.fetch("SELECT * FROM outbound_alert ORDER BY id") == before
    assert await rows.actions(sql) == []


async def test_repeating_it_puts_nothing_off_and_counts_nothing_twice(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    for _ in range(3):
        await rows.dead_letter(sql, last_outcome="payload_permanent")
    assert (await retry(client))["retried"] == 3
    due = await sql.fetch("SELECT id, next_attempt_at, generation FROM outbound_alert ORDER BY id")
    assert (await retry(client))["retried"] == 0
    assert await sql.fetch("SELECT id, next_attempt_at, generation FROM outbound_alert ORDER BY id") == due
    assert {row["generation"] for row in due} == {2}


async def test_several_at_once_share_the_rows_out(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    for _ in range(40):
        await rows.dead_letter(sql)
    answers = await asyncio.gather(*(retry(client) for _ in range(8)))
    assert sum(answer["retried"] for answer in answers) == 40
    assert await begun(sql) == 40
    assert sum(action[4] for action in await rows.actions(sql)) == 40


async def test_it_does_not_wait_for_a_worker_and_leaves_its_row_to_it(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    _, held = await rows.dead_letter(sql)
    await rows.dead_letter(sql)
    async with sql.transaction():
        await sql.execute("SELECT FROM outbound_alert WHERE id = $1 FOR UPDATE", held)
        assert (await retry(client))["retried"] == 1
    assert (await retry(client))["retried"] == 1


async def test_thousands_are_one_transaction(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    await sql.execute(
        """
        WITH alerts AS (
            INSERT INTO outbound_alert (id, event, channel, subject_id, dedupe_key, state, attempts)
            SELECT gen_random_uuid(), 'lead.captured', 'slack', gen_random_uuid(), n::text, 'failed', 6
            FROM generate_series(1, 2500) n RETURNING id)
        INSERT INTO dead_letter_queue (id, alert_id, channel, status, reason, closed_at)
        SELECT gen_random_uuid(), id, 'slack', 'failed', 'http_500', now() FROM alerts
        """
    )
    assert (await retry(client))["retried"] == 2500
    assert await sql.fetchval("SELECT count(DISTINCT xmin::text) FROM outbound_alert") == 1
    assert await sql.fetchval("SELECT count(DISTINCT next_attempt_at) FROM outbound_alert") == 2500


@pytest.mark.parametrize(
    "body",
    [
        {"statuses": []},
        {"statuses": ["delivered"]},
        {"statuses": ["failed"] * 4},
        {"channel": "fax"},
        {"since": "yesterday"},
        {"since": 10**30},
        {"since": "0001-01-01T00:00:00+14:00"},
        {"everything": True},
    ],
    ids=str,
)
async def test_nonsense_is_refused(client: httpx.AsyncClient, body: dict[str, object]) -> None:
    assert (await client.post(PATH, json=body, headers=OPERATOR)).status_code in {400, 422}
