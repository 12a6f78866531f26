"""Dead letters over HTTP: seen, retried, discarded, each change once and on record."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import httpx
import orjson
import pytest
import redis as redis_client

from app.alerts.schemas import DeadLetterDetailOut, DeadLetterOut, DeadLettersOut
from tests.alerts import rows
from tests.conftest import OPERATOR

NOBODY = "00000000-0000-4000-8000-000000000000"
PATH = "/v1/dead-letters"


def rung(redis_url: str) -> list[list[str]]:
    """The channels of every ring that waits in Redis."""
    with redis_client.Redis.from_url(redis_url) as redis:
        queued = redis.zrange("arq:queue", 0, -1)
        jobs = [orjson.loads(redis.get(b"arq:job:" + job_id)) for job_id in queued]
    return [job["a"][0] for job in jobs]


async def alert_row(sql: asyncpg.Connection, alert_id: UUID) -> asyncpg.Record:
    row = await sql.fetchrow("SELECT *, next_attempt_at <= now() AS due FROM outbound_alert WHERE id = $1", alert_id)
    assert row is not None
    return row


async def test_a_dead_letter_is_listed_with_what_an_operator_decides_by(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    letter_id, alert_id = await rows.dead_letter(sql, status="pending", due_in_minutes=5)
    response = await client.get(PATH, headers=OPERATOR)
    DeadLettersOut.model_validate_json(response.content, strict=True)
    (item,) = response.json()["items"]
    assert (item["id"], item["alert_id"]) == (str(letter_id), str(alert_id))
    assert (item["event"], item["channel"], item["status"]) == ("lead.captured", "slack", "pending")
    assert (item["reason"], item["attempts"], item["possible_repeat"]) == ("http_500", 6, True)
    assert item["next_attempt_at"] is not None
    assert item["closed_at"] is None
    assert item["escalated"] is False
    assert item["subject_id"]


@pytest.mark.parametrize("status", ["failed", "delivered", "cancelled", "discarded"])
async def test_a_closed_dead_letter_has_no_next_attempt(
    client: httpx.AsyncClient, sql: asyncpg.Connection, status: str
) -> None:
    await rows.dead_letter(sql, status=status)
    (item,) = (await client.get(PATH, headers=OPERATOR)).json()["items"]
    assert item["next_attempt_at"] is None
    assert item["closed_at"] is not None


async def test_the_list_is_narrowed_by_status_channel_and_time(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    old, _ = await rows.dead_letter(sql, minutes_ago=60)
    new, _ = await rows.dead_letter(sql, channel="monday")
    waiting, _ = await rows.dead_letter(sql, status="pending", minutes_ago=30)
    half_an_hour_ago = (await sql.fetchval("SELECT now() - interval '30 minutes'")).isoformat()

    async def listed(**params: str) -> list[str]:
        response = await client.get(PATH, params=params, headers=OPERATOR)
        assert response.status_code == 200, response.text
        return [item["id"] for item in response.json()["items"]]

    assert await listed() == [str(new), str(waiting), str(old)]
    assert await listed(status="failed") == [str(new), str(old)]
    assert await listed(channel="slack") == [str(waiting), str(old)]
    assert await listed(since=half_an_hour_ago) == [str(new)]
    created = (await sql.fetchval("SELECT created_at FROM dead_letter_queue WHERE id = $1", waiting)).isoformat()
    assert await listed(since=created, status="pending") == [str(waiting)]


async def test_pages_follow_each_other_without_gap_or_repeat_while_new_ones_arrive(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    written = [(await rows.dead_letter(sql, minutes_ago=number // 3))[0] for number in range(1, 11)]
    await sql.execute("UPDATE dead_letter_queue SET created_at = date_trunc('minute', created_at)")
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": "3", **({"cursor": cursor} if cursor else {})}
        page = (await client.get(PATH, params=params, headers=OPERATOR)).json()
        seen += [item["id"] for item in page["items"]]
        await rows.dead_letter(sql)
        if (cursor := page["next_cursor"]) is None:
            break
    assert len(seen) == len(set(seen)) == 10
    assert set(seen) == {str(letter_id) for letter_id in written}


async def test_one_dead_letter_shows_its_attempts_and_what_operators_did(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    letter_id, alert_id = await rows.dead_letter(sql)
    for number in (1, 2):
        await rows.attempt(sql, alert_id, number)
    await client.post(f"{PATH}/{letter_id}/discard", json={"reason": "Called instead."}, headers=OPERATOR)
    response = await client.get(f"{PATH}/{letter_id}", headers=OPERATOR)
    DeadLetterDetailOut.model_validate_json(response.content, strict=True)
    found = response.json()
    assert [item["attempt"] for item in found["attempts_made"]] == [1, 2]
    assert found["attempts_made"][0]["error"] == "http_500"
    assert found["attempts_made"][0]["duration_ms"] == 12
    (action,) = found["actions"]
    assert (action["actor"], action["action"], action["reason"]) == (
        "key:admin",
        "dead_letter.discard",
        "Called instead.",
    )


@pytest.mark.parametrize("status", ["pending", "failed", "discarded"])
async def test_a_retry_begins_a_new_round_now(
    client: httpx.AsyncClient, sql: asyncpg.Connection, redis_url: str, status: str
) -> None:
    letter_id, alert_id = await rows.dead_letter(sql, status=status, due_in_minutes=60)
    notice = await sql.fetchval(
        "INSERT INTO operator_notice (id, kind) VALUES (gen_random_uuid(), 'notice.dead_letters') RETURNING id"
    )
    await sql.execute("UPDATE dead_letter_queue SET escalation_id = $1", notice)

    response = await client.post(
        f"{PATH}/{letter_id}/retry", headers={**OPERATOR, "X-Request-ID": "the-request-of-this-test"}
    )

    assert response.status_code == 202, response.text
    DeadLetterOut.model_validate_json(response.content, strict=True)
    assert (response.json()["status"], response.json()["escalated"]) == ("pending", False)
    assert response.json()["closed_at"] is None
    alert = await alert_row(sql, alert_id)
    assert (alert["state"], alert["due"], alert["lease_token"]) == ("pending", True, None)
    assert (alert["attempts"], alert["attempts_before"], alert["crashes"]) == (6, 6, 0)
    assert alert["generation"] == 1
    assert alert["ambiguous_since"] is not None
    assert rung(redis_url) == [["slack"]]
    assert await rows.actions(sql) == [("key:admin", "dead_letter.retry", str(letter_id), None, 1)]
    assert await sql.fetchval("SELECT request_id FROM operator_action") == "the-request-of-this-test"


@pytest.mark.parametrize("outcome", ["payload_permanent", "destination_permanent"])
async def test_what_the_remote_refused_is_sent_again_under_a_new_key(
    client: httpx.AsyncClient, sql: asyncpg.Connection, outcome: str
) -> None:
    letter_id, alert_id = await rows.dead_letter(sql, last_outcome=outcome)
    for _ in range(3):
        assert (await client.post(f"{PATH}/{letter_id}/retry", headers=OPERATOR)).status_code == 202
    assert (await alert_row(sql, alert_id))["generation"] == 2


async def test_a_replay_of_a_replay_works(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    letter_id, alert_id = await rows.dead_letter(sql)
    await client.post(f"{PATH}/{letter_id}/retry", headers=OPERATOR)
    await sql.execute("UPDATE outbound_alert SET state = 'failed', attempts = 9")
    await sql.execute("UPDATE dead_letter_queue SET status = 'failed', closed_at = now()")
    assert (await client.post(f"{PATH}/{letter_id}/retry", headers=OPERATOR)).status_code == 202
    assert (await alert_row(sql, alert_id))["attempts_before"] == 9
    assert len(await rows.actions(sql)) == 2


async def test_a_retry_hastens_a_round_that_a_bulk_retry_put_off(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    letter_id, alert_id = await rows.dead_letter(sql, last_outcome="payload_permanent")
    await client.post(f"{PATH}/retry", headers=OPERATOR)
    await sql.execute("UPDATE outbound_alert SET next_attempt_at = now() + interval '1 hour'")
    assert (await client.post(f"{PATH}/{letter_id}/retry", headers=OPERATOR)).status_code == 202
    alert = await alert_row(sql, alert_id)
    assert (alert["due"], alert["generation"], alert["attempts_before"]) == (True, 2, 6)


async def test_twenty_retries_at_once_begin_one_round(
    client: httpx.AsyncClient, sql: asyncpg.Connection, redis_url: str
) -> None:
    letter_id, alert_id = await rows.dead_letter(sql, last_outcome="payload_permanent")
    responses = await asyncio.gather(*(client.post(f"{PATH}/{letter_id}/retry", headers=OPERATOR) for _ in range(20)))
    assert {response.status_code for response in responses} == {202}
    assert len({response.content for response in responses}) == 1
    alert = await alert_row(sql, alert_id)
    assert (alert["attempts_before"], alert["generation"]) == (6, 2)
    assert len(await rows.actions(sql)) == 1
    assert set(map(tuple, rung(redis_url))) == {("slack",)}


async def test_a_retry_waits_for_whoever_settles_and_then_sees_what_became_of_it(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    letter_id, alert_id = await rows.dead_letter(sql, status="pending", state="pending")
    async with sql.transaction():
        await sql.execute("UPDATE outbound_alert SET state = 'delivered', delivered_at = now() WHERE id = $1", alert_id)
        asked = asyncio.create_task(client.post(f"{PATH}/{letter_id}/retry", headers=OPERATOR))
        await asyncio.sleep(0.2)
        assert not asked.done()
        await sql.execute("UPDATE dead_letter_queue SET status = 'delivered', closed_at = now()")
    assert (await asked).json()["code"] == "dead-letter-delivered"


CONFLICTS = [
    ("delivered", "delivered", "dead-letter-delivered"),
    ("cancelled", "cancelled", "dead-letter-cancelled"),
    ("pending", "sending", "alert-in-flight"),
]


@pytest.mark.parametrize(("status", "state", "code"), CONFLICTS)
@pytest.mark.parametrize("verb", ["retry", "discard"])
async def test_what_cannot_be_acted_on_says_why_and_stays(
    client: httpx.AsyncClient, sql: asyncpg.Connection, redis_url: str, verb: str, status: str, state: str, code: str
) -> None:
    letter_id, alert_id = await rows.dead_letter(sql, status=status, state=state)
    before = await alert_row(sql, alert_id)
    response = await client.post(f"{PATH}/{letter_id}/{verb}", json={"reason": "x"}, headers=OPERATOR)
    assert response.status_code == 409
    assert response.json()["code"] == code
    assert response.json()["detail"]
    assert await alert_row(sql, alert_id) == before
    assert await rows.actions(sql) == []
    assert rung(redis_url) == []


async def test_a_discard_closes_it_and_repeating_changes_nothing(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    letter_id, alert_id = await rows.dead_letter(sql, status="pending", state="pending")
    first = await client.post(f"{PATH}/{letter_id}/discard", json={"reason": "Called."}, headers=OPERATOR)
    again = await client.post(f"{PATH}/{letter_id}/discard", json={"reason": "Twice."}, headers=OPERATOR)
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert (first.json()["status"], first.json()["next_attempt_at"]) == ("discarded", None)
    assert (await alert_row(sql, alert_id))["state"] == "discarded"
    assert (await alert_row(sql, alert_id))["lease_token"] is None
    assert await rows.actions(sql) == [("key:admin", "dead_letter.discard", str(letter_id), "Called.", 1)]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", PATH),
        ("GET", f"{PATH}/{NOBODY}"),
        ("POST", f"{PATH}/{NOBODY}/retry"),
        ("POST", f"{PATH}/{NOBODY}/discard"),
        ("POST", f"{PATH}/retry"),
        ("GET", f"/v1/alerts/{NOBODY}"),
        ("GET", "/v1/channels"),
        ("POST", "/v1/channels/slack/pause"),
        ("POST", "/v1/channels/slack/resume"),
        ("POST", "/v1/channels/slack/reset"),
        ("POST", "/v1/channels/slack/test"),
        ("GET", "/v1/operator-actions"),
        ("GET", "/v1/status"),
    ],
)
async def test_nothing_is_for_strangers(
    client: httpx.AsyncClient, sql: asyncpg.Connection, method: str, path: str
) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        response = await client.request(method, path, headers=headers)
        assert response.status_code == 401, path
        assert response.json()["code"] == "unauthenticated"
    assert await rows.actions(sql) == []


@pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("POST", "/retry"), ("POST", "/discard")])
async def test_an_unknown_dead_letter_is_404_and_no_id_is_422(
    client: httpx.AsyncClient, method: str, tail: str
) -> None:
    body = {"reason": "x"} if tail == "/discard" else None
    unknown = await client.request(method, f"{PATH}/{uuid4()}{tail}", json=body, headers=OPERATOR)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "dead-letter-not-found")
    assert (await client.request(method, f"{PATH}/1%00{tail}", json=body, headers=OPERATOR)).status_code == 422


async def test_an_alert_is_shown_with_its_attempts(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    letter_id, alert_id = await rows.dead_letter(sql)
    await rows.attempt(sql, alert_id, 1)
    found = (await client.get(f"/v1/alerts/{alert_id}", headers=OPERATOR)).json()
    assert (found["id"], found["dead_letter_id"], found["state"]) == (str(alert_id), str(letter_id), "failed")
    (made,) = found["attempts_made"]
    assert (made["attempt"], made["outcome"], made["status"], made["error"]) == (1, "ambiguous", 500, "http_500")

    alone = (await client.get(f"/v1/alerts/{await rows.alert(sql)}", headers=OPERATOR)).json()
    assert (alone["dead_letter_id"], alone["attempts_made"]) == (None, [])
    unknown = await client.get(f"/v1/alerts/{uuid4()}", headers=OPERATOR)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "alert-not-found")


HOSTILE = [
    {"cursor": "%"},
    {"cursor": "A" * 32},
    {"cursor": "A" * 101},
    {"limit": "101"},
    {"limit": "0"},
    {"limit": "9" * 400},
    {"status": "x"},
    {"channel": "\0"},
    {"since": "\0"},
    {"since": "2026-01-01T00:00:00"},
    {"since": "0001-01-01T00:00:00+14:00"},
    {"since": "9999-12-31T23:59:59-14:00"},
]


@pytest.mark.parametrize("params", HOSTILE, ids=str)
async def test_hostile_parameters_are_refused(client: httpx.AsyncClient, params: dict[str, str]) -> None:
    response = await client.get(PATH, params=params, headers=OPERATOR)
    assert response.status_code == (200 if params == {"cursor": "A" * 32} else 422), response.text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": ""},
        {"reason": "  "},
        {"reason": "a\0b"},
        {"reason": "\ud800"},
        {"reason": "x" * 501},
        {"reason": 5},
        {"reason": "x", "more": 1},
    ],
    ids=lambda body: ascii(body)[:40],
)
async def test_a_reason_is_text_that_can_be_kept(
    client: httpx.AsyncClient, sql: asyncpg.Connection, body: dict[str, object]
) -> None:
    letter_id, _ = await rows.dead_letter(sql)
    content = orjson.dumps(body) if body.get("reason") != "\ud800" else b'{"reason": "\\ud800"}'
    response = await client.post(
        f"{PATH}/{letter_id}/discard", content=content, headers={**OPERATOR, "Content-Type": "application/json"}
    )
    assert response.status_code in {400, 422}, response.text
    assert await rows.actions(sql) == []
