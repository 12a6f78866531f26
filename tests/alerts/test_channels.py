"""Channels over HTTP: what holds them back is shown by the database's clock, and every change is made once."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from app.alerts.channel_schemas import ChannelOut, ChannelsOut
from app.operations.api_keys import Door
from tests.alerts import rows
from tests.alerts.test_dead_letters import rung
from tests.conftest import OPERATOR

PATH = "/v1/channels"


async def channel(client: httpx.AsyncClient, name: str = "slack") -> dict[str, Any]:
    response = await client.get(PATH, headers=OPERATOR)
    assert response.status_code == 200, response.text
    ChannelsOut.model_validate_json(response.content, strict=True)
    found: dict[str, Any] = next(item for item in response.json()["items"] if item["name"] == name)
    return found


async def post(client: httpx.AsyncClient, tail: str, body: dict[str, Any] | None = None) -> httpx.Response:
    return await client.post(f"{PATH}/{tail}", json=body, headers=OPERATOR)


async def test_every_channel_is_there_in_order_and_says_whether_it_is_configured(client: httpx.AsyncClient) -> None:
    items = (await client.get(PATH, headers=OPERATOR)).json()["items"]
    assert [(item["name"], item["configured"]) for item in items] == [
        ("slack", True),
        ("monday", True),
        ("email", False),
    ]
    assert items[0] == {
        "name": "slack",
        "configured": True,
        "breaker": {"state": "closed", "failures": 0, "reason": None, "opened_at": None, "retry_at": None},
        "blocked_until": None,
        "blocked_reason": None,
        "paused": False,
        "paused_at": None,
        "paused_by": None,
        "paused_reason": None,
        "trial_at": None,
        "backlog": {"pending": 0, "sending": 0, "retrying": 0, "failed": 0},
        "oldest_pending_seconds": None,
    }


@pytest.mark.parametrize(
    ("columns", "state", "retries"),
    [
        ("failures = 4", "closed", False),
        ("open_until = now() + interval '30 s', opened_at = now(), open_reason = 'http_500'", "open", True),
        ("open_until = now() - interval '1 s', opened_at = now(), open_reason = 'http_500'", "half_open", False),
        (
            "open_until = now(), probe_token = gen_random_uuid(), probe_until = now() + interval '9 s'",
            "half_open",
            False,
        ),
    ],
)
async def test_the_breaker_is_told_in_words(
    client: httpx.AsyncClient, sql: asyncpg.Connection, columns: str, state: str, retries: bool
) -> None:
    await sql.execute(f"UPDATE channel_gate SET {columns} WHERE channel = 'slack'")
    breaker = (await channel(client))["breaker"]
    assert breaker["state"] == state
    assert (breaker["retry_at"] is not None) == retries
    assert (await channel(client, "monday"))["breaker"]["state"] == "closed"


async def test_a_wait_is_told_while_it_lasts(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    wait = "UPDATE channel_gate SET blocked_until = now() + $1 * interval '1 s', blocked_reason = 'http_429'"
    await sql.execute(wait, 30.0)
    assert (await channel(client))["blocked_reason"] == "http_429"
    await sql.execute(wait, -1.0)
    assert ((await channel(client))["blocked_until"], (await channel(client))["blocked_reason"]) == (None, None)


async def test_the_backlog_is_counted_by_channel_and_state(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    for _ in range(3):
        await rows.alert(sql, channel="monday")
    await rows.dead_letter(sql, channel="monday", status="pending")
    await rows.dead_letter(sql, channel="monday", status="pending", state="sending")
    for status in ("failed", "failed", "delivered", "cancelled", "discarded"):
        await rows.dead_letter(sql, channel="monday", status=status)
    await rows.alert(sql)
    monday = await channel(client, "monday")
    assert monday["backlog"] == {"pending": 3, "sending": 1, "retrying": 1, "failed": 2}
    assert (await channel(client))["backlog"] == {"pending": 1, "sending": 0, "retrying": 0, "failed": 0}


async def test_the_age_of_the_backlog_counts_from_when_it_was_due(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    await rows.alert(sql)
    await sql.execute("UPDATE outbound_alert SET next_attempt_at = now() + interval '1 hour'")
    assert (await channel(client))["oldest_pending_seconds"] is None
    await rows.alert(sql)
    await sql.execute(
        "UPDATE outbound_alert SET next_attempt_at = now() - interval '90 s' WHERE next_attempt_at <= now()"
    )
    assert 90 <= (await channel(client))["oldest_pending_seconds"] < 100


async def test_a_pause_is_kept_as_the_first_one_made_it(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    first = await post(client, "slack/pause", {"reason": "Moving house."})
    again = await post(client, "slack/pause", {"reason": "Something else."})
    assert first.status_code == again.status_code == 200
    ChannelOut.model_validate_json(first.content, strict=True)
    assert first.json() == again.json()
    assert (first.json()["paused"], first.json()["paused_by"]) == (True, "key:admin")
    assert first.json()["paused_reason"] == "Moving house."
    assert (await channel(client, "monday"))["paused"] is False
    assert await rows.actions(sql) == [("key:admin", "channel.pause", "slack", "Moving house.", 1)]


async def test_a_pause_needs_no_body(client: httpx.AsyncClient) -> None:
    paused = await client.post(f"{PATH}/slack/pause", headers=OPERATOR)
    assert (paused.json()["paused"], paused.json()["paused_reason"]) == (True, None)


async def test_resume_takes_back_any_pause_and_rings(
    client: httpx.AsyncClient, sql: asyncpg.Connection, redis_url: str
) -> None:
    await sql.execute("UPDATE channel_gate SET paused_at = now(), paused_by = 'worker', paused_reason = 'http_403'")
    for _ in range(2):
        resumed = await post(client, "monday/resume")
        assert resumed.status_code == 200
        assert (resumed.json()["paused"], resumed.json()["paused_by"]) == (False, None)
    assert (await channel(client))["paused"] is True
    assert ["monday"] in rung(redis_url)
    assert await rows.actions(sql) == [("key:admin", "channel.resume", "monday", None, 1)]


async def test_reset_forgets_breaker_and_wait_and_leaves_the_pause(
    client: httpx.AsyncClient, sql: asyncpg.Connection, redis_url: str
) -> None:
    await sql.execute(
        "UPDATE channel_gate SET epoch = 7, failures = 5, open_until = now() + interval '1 h', opened_at = now(), "
        "open_reason = 'http_500', probe_token = gen_random_uuid(), probe_until = now() + interval '1 h', "
        "blocked_until = now() + interval '1 h', blocked_reason = 'http_429', paused_at = now(), paused_by = 'x'"
    )
    reset = (await post(client, "slack/reset")).json()
    assert reset["breaker"] == {"state": "closed", "failures": 0, "reason": None, "opened_at": None, "retry_at": None}
    assert (reset["blocked_until"], reset["blocked_reason"], reset["paused"]) == (None, None, True)
    gate = await sql.fetchrow("SELECT * FROM channel_gate WHERE channel = 'slack'")
    assert gate is not None
    assert (gate["epoch"], gate["probe_token"], gate["probe_until"]) == (8, None, None)
    assert await sql.fetchval("SELECT epoch FROM channel_gate WHERE channel = 'monday'") == 7
    assert rung(redis_url) == [["slack"]]
    assert await rows.actions(sql) == [("key:admin", "channel.reset", "slack", None, 1)]


async def test_a_test_is_an_alert_of_its_own_whose_result_can_be_read(
    client: httpx.AsyncClient, sql: asyncpg.Connection, redis_url: str
) -> None:
    response = await post(client, "slack/test")
    assert response.status_code == 202
    alert_id = response.json()["alert_id"]
    found = (await client.get(f"/v1/alerts/{alert_id}", headers=OPERATOR)).json()
    assert (found["event"], found["channel"], found["state"]) == ("notice.test", "slack", "pending")
    notice = await sql.fetchrow("SELECT * FROM operator_notice WHERE id = $1", UUID(found["subject_id"]))
    assert notice is not None
    assert (notice["kind"], notice["channel"]) == ("notice.test", "slack")
    assert await sql.fetchval("SELECT conversation_id FROM outbound_alert") is None
    assert rung(redis_url) == [["slack"]]
    assert await rows.actions(sql) == [("key:admin", "channel.test", "slack", None, 1)]


async def test_a_channel_that_is_off_cannot_be_tested(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    response = await post(client, "email/test")
    assert (response.status_code, response.json()["code"]) == (409, "channel-off")
    assert response.json()["detail"]
    assert await sql.fetchval("SELECT count(*) FROM operator_notice") == 0
    assert await rows.actions(sql) == []


@pytest.mark.parametrize("name", ["fax", "Slack", "%00", "sl%C3%A4ck"])
@pytest.mark.parametrize("verb", ["pause", "resume", "reset", "test"])
async def test_an_unknown_channel_is_422(client: httpx.AsyncClient, name: str, verb: str) -> None:
    assert (await post(client, f"{name}/{verb}")).status_code == 422


@pytest.mark.parametrize("body", [{"reason": "a\0b"}, {"reason": ""}, {"reason": "x" * 501}, {"because": "x"}])
async def test_a_pause_takes_a_reason_that_can_be_kept(
    client: httpx.AsyncClient, sql: asyncpg.Connection, body: dict[str, str]
) -> None:
    assert (await post(client, "slack/pause", body)).status_code == 422
    assert await sql.fetchval("SELECT paused_at FROM channel_gate WHERE channel = 'slack'") is None


async def test_pausing_at_once_is_journaled_once(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    responses = await asyncio.gather(*(post(client, "slack/pause") for _ in range(10)))
    assert {response.status_code for response in responses} == {200}
    assert len(await rows.actions(sql)) == 1


async def test_status_tells_jobs_dead_letters_and_channels(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    for status in ("pending", "failed", "failed", "delivered"):
        await rows.dead_letter(sql, status=status)
    await sql.execute(
        """
        INSERT INTO scheduled_job (name, every, started_at, succeeded_at, failed_at, last_error, last_count) VALUES
            ('a_fine', '5 min', now(), now() - interval '9 min', NULL, NULL, 3),
            ('b_late', '5 min', now(), now() - interval '11 min', now(), 'TimeoutError', 0),
            ('c_never', '5 min', now(), NULL, now(), 'TimeoutError', NULL),
            ('d_first', '5 min', now(), NULL, NULL, NULL, NULL),
            ('e_hangs', '5 min', now() - interval '11 min', NULL, NULL, NULL, NULL)
        """
    )
    response = await client.get("/v1/status", headers=OPERATOR)
    assert response.status_code == 200, response.text
    status = response.json()
    assert status["scheduler_enabled"] is True
    assert status["dead_letters"] == {"pending": 1, "failed": 2}
    assert [item["name"] for item in status["channels"]] == ["slack", "monday", "email"]
    assert [(job["name"], job["overdue"]) for job in status["jobs"]] == [
        ("a_fine", False),
        ("b_late", True),
        ("c_never", True),
        ("d_first", False),
        ("e_hangs", True),
    ]
    assert (status["jobs"][0]["every_seconds"], status["jobs"][0]["last_count"]) == (300, 3)
    assert status["jobs"][1]["last_error"] == "TimeoutError"


async def test_the_journal_is_paged_and_narrowed_by_target(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    for verb in ("pause", "resume", "pause", "resume", "pause"):
        await post(client, f"slack/{verb}")
    await post(client, "monday/pause")
    path = "/v1/operator-actions"
    assert len((await client.get(path, headers=OPERATOR)).json()["items"]) == 6
    seen: list[str] = []
    cursor = None
    while True:
        params = {"target": "slack", "limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await client.get(path, params=params, headers=OPERATOR)).json()
        seen += [item["action"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == ["channel.pause", "channel.resume"] * 2 + ["channel.pause"]
    for hostile in ({"target": "a\0b"}, {"target": "x" * 101}, {"cursor": "%"}, {"limit": "101"}):
        assert (await client.get(path, params=hostile, headers=OPERATOR)).status_code == 422, hostile


async def test_without_an_admin_key_nobody_is_an_operator(app: FastAPI, client: httpx.AsyncClient) -> None:
    app.state.door = Door(app.state.database, admin_key=None)
    for headers in (OPERATOR, {"Authorization": "Bearer "}, {}):
        assert (await client.post(f"{PATH}/slack/pause", headers=headers)).status_code == 401
