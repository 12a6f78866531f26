"""A lead that becomes hot is told of once in its life, by Slack alone, if its visitor agreed to be contacted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.conftest import ADMIN_KEY, OPERATOR
from tests.consent_api.people import put
from tests.delivery.receiver import Receiver
from tests.processes import api, eventually, worker
from tests.talk import CONSENT, open_session, say

HOT = "lead.hot"
SIX_FACTS = "Nazywam się Jan Kowalski, mam 52 m2 w Warszawie, pakiet Premium, budżet 120 tys, tel. 691 222 333"
"""70 points, and one for each message."""
ALL_FACTS = f"{SIX_FACTS}, jan.kowalski@example.com"
Texts = Mapping[tuple[str, str], Mapping[str, object]]


@pytest.fixture
async def texts(client: httpx.AsyncClient) -> Texts:
    """The published texts by purpose and locale."""
    items = (await client.get("/v1/consent/texts")).json()["items"]
    return {(item["purpose"], item["locale"]): item for item in items}


async def told(sql: asyncpg.Connection, event: str = HOT) -> list[tuple[str, str]]:
    """Every alert of an event as channel and state."""
    rows = await sql.fetch("SELECT channel, state FROM outbound_alert WHERE event = $1 ORDER BY channel", event)
    return [tuple(row) for row in rows]


async def score(sql: asyncpg.Connection) -> int:
    """The score of the one lead."""
    found: int = await sql.fetchval("SELECT score FROM leads")
    return found


async def test_a_hot_lead_is_told_to_slack_when_consent_comes_in_words(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await open_session(client)
    await say(client, token, ALL_FACTS)
    assert await score(sql) == 81
    assert await told(sql) == []
    await say(client, token, CONSENT)
    assert await told(sql) == [("slack", "pending")]
    assert await told(sql, "lead.captured") == [("monday", "pending"), ("slack", "pending")]


async def test_a_hot_lead_is_told_when_consent_comes_by_the_api(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts
) -> None:
    token = await open_session(client)
    await say(client, token, ALL_FACTS)
    assert (await put(client, token, texts, "rodo", "refused")).status_code == 201
    assert await told(sql) == []
    assert (await put(client, token, texts, "rodo")).status_code == 201
    lead = await sql.fetchval("SELECT id FROM leads")
    assert await sql.fetchval("SELECT dedupe_key FROM outbound_alert WHERE event = $1", HOT) == f"{HOT}:{lead}:slack"


async def test_a_later_fact_makes_a_lead_hot(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    await say(client, token, SIX_FACTS)
    await say(client, token, CONSENT)
    assert (await score(sql), await told(sql)) == (72, [])
    await say(client, token, "mój mail to jan.kowalski@example.com")
    assert (await score(sql), await told(sql)) == (83, [("slack", "pending")])


async def test_a_message_that_tells_nothing_new_may_be_the_one_that_makes_a_lead_hot(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await open_session(client)
    await say(client, token, SIX_FACTS)
    await say(client, token, CONSENT)
    for _ in range(7):
        await say(client, token, "jakie macie godziny otwarcia?")
    assert await told(sql) == []
    await say(client, token, "jakie macie godziny otwarcia?")
    assert (await score(sql), await told(sql)) == (80, [("slack", "pending")])


async def test_the_fact_and_the_consent_at_once_tell_once(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts
) -> None:
    for number in range(8):
        token = await open_session(client)
        await say(client, token, SIX_FACTS)
        said, decided = await asyncio.gather(
            say(client, token, "mój mail to jan.kowalski@example.com"), put(client, token, texts, "rodo")
        )
        assert (said.status_code, decided.status_code) == (201, 201)
        assert len(await told(sql)) == number + 1


async def test_a_score_that_falls_and_rises_again_tells_once(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    token = await open_session(client)
    await say(client, token, ALL_FACTS)
    await say(client, token, CONSENT)
    await sql.execute("UPDATE outbound_alert SET state = 'delivered', delivered_at = now()")
    for package in (None, "comfort", None, "premium"):
        await sql.execute("UPDATE chat_conversations SET package = $1", package)
        await say(client, token, "mam jednak 60 m2" if package is None else "mam jednak 61 m2")
    assert await told(sql) == [("slack", "delivered")]


async def test_what_sales_does_with_a_lead_tells_nobody(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = await open_session(client)
    await say(client, token, ALL_FACTS)
    lead = await sql.fetchval("SELECT id FROM leads")
    for status in ("contacted", "new", "qualified"):
        changed = await client.patch(f"/v1/leads/{lead}", json={"status": status}, headers=OPERATOR)
        assert changed.status_code == 200
    assert await told(sql) == []


async def test_who_withdraws_and_agrees_again_before_sales_heard_is_told_once(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts
) -> None:
    token = await open_session(client)
    await say(client, token, ALL_FACTS)
    for _ in range(2):
        await put(client, token, texts, "rodo")
        assert await told(sql) == [("slack", "pending")]
        await client.delete("/v1/consent/rodo", headers=token)
        assert await told(sql) == [("slack", "cancelled")]


Start = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
def environment(database_url: str, redis_url: str, receiver: Receiver, monday: dict[str, str]) -> dict[str, str]:
    """A service that knows both channels of sales."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "ADMIN_API_KEY": ADMIN_KEY,
        "SLACK_WEBHOOK_URL": receiver.url("slack"),
        "ALERT_SWEEP_SECONDS": "0.2",
        "SCHEDULER_ENABLED": "false",
        **monday,
    }


@pytest.fixture
async def start(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Start]:
    """Starts the HTTP process with further settings, and gives its client."""
    numbers = count(1)
    async with AsyncExitStack() as stack:

        async def started(**more: str) -> httpx.AsyncClient:
            log = tmp_path / f"api-{next(numbers)}.log"
            _, client = await stack.enter_async_context(api(environment | more, log))
            return client

        yield started


def hot(receiver: Receiver) -> list[str]:
    """What came to Slack about hot leads."""
    return [str(request.body) for request in receiver.slack if "Gorący lead" in str(request.body)]


async def test_slack_hears_once_why_and_how_soon_and_the_board_nothing_more(
    start: Start, environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    client = await start()
    token = await open_session(client)
    await say(client, token, ALL_FACTS)
    await say(client, token, CONSENT)
    async with worker(environment, tmp_path / "worker.log"):
        await eventually(lambda: _all_are(sql, "delivered"))
        await say(client, token, "mam jednak 60 m2")
        assert (await client.post("/v1/channels/slack/test", headers=OPERATOR)).status_code == 202
        await eventually(lambda: _all_are(sql, "delivered"))
    (said,) = hot(receiver)
    assert "Zadzwoń w ciągu godziny" in said
    assert "82/100" in said
    assert "imię, telefon, e-mail, miasto, metraż, pakiet, budżet" in said
    assert len([request for request in receiver.slack if "Kowalski" in str(request.body)]) == 2
    assert len([request for request in receiver.to("monday") if "create_item(" in str(request.body)]) == 1


@pytest.mark.parametrize("how", ["withdrawn", "erased"])
async def test_who_said_no_or_was_erased_before_it_left_is_not_told_of(
    how: str,
    start: Start,
    environment: dict[str, str],
    receiver: Receiver,
    sql: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    client = await start()
    token = await open_session(client)
    await say(client, token, ALL_FACTS)
    await say(client, token, CONSENT)
    assert await told(sql) == [("slack", "pending")]
    path = "/v1/consent/rodo" if how == "withdrawn" else "/v1/chat"
    assert (await client.delete(path, headers=token)).status_code in {200, 204}
    await sql.execute("UPDATE outbound_alert SET state = 'pending' WHERE state = 'cancelled'")
    async with worker(environment, tmp_path / "worker.log"):
        await eventually(lambda: _all_are(sql, "cancelled"))
    assert receiver.requests == []


async def test_processes_with_different_thresholds_tell_once(
    start: Start, receiver: Receiver, sql: asyncpg.Connection, environment: dict[str, str], tmp_path: Path
) -> None:
    strict, usual = await start(HIGH_SCORE_LEAD_THRESHOLD="90"), await start()
    token = await open_session(strict)
    await say(strict, token, ALL_FACTS)
    await say(strict, token, CONSENT)
    assert await told(sql) == []
    for client, area in ((usual, 60), (strict, 61), (usual, 62)):
        await say(client, token, f"mam jednak {area} m2")
        assert await told(sql) == [("slack", "pending")]
    async with worker(environment | {"HIGH_SCORE_LEAD_THRESHOLD": "100"}, tmp_path / "worker.log"):
        await eventually(lambda: _all_are(sql, "delivered"))
    assert len(hot(receiver)) == 1


async def _all_are(sql: asyncpg.Connection, state: str) -> bool:
    states = await sql.fetch("SELECT DISTINCT state FROM outbound_alert")
    return [row["state"] for row in states] == [state]
