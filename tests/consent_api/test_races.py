"""Withdrawals against everything else at once, with real processes where a process is what matters."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest
import redis as redis_client

from app.consent.links import Link, make_token
from app.conversations.consents import Reach
from app.conversations.unsubscribe import apply_all
from app.core.db import Database
from app.core.keys import KeyRing
from tests.consent_api import people
from tests.consent_api.conftest import Texts
from tests.consent_api.test_addresses import subscriber, unsubscribe
from tests.delivery.receiver import YES, Answer, Receiver, Request
from tests.processes import eventually, worker
from tests.talk import capture_lead


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A remote that takes everything until it is told otherwise."""
    remote = Receiver()
    async with remote.listening():
        yield remote


@pytest.fixture
def environment(database_url: str, redis_url: str, receiver: Receiver) -> dict[str, str]:
    """A worker that knows Slack only and sends one message at a time."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SLACK_WEBHOOK_URL": receiver.url("slack"),
        "ALERT_SWEEP_SECONDS": "0.2",
        "ALERT_CONCURRENCY": "1",
    }


async def test_links_requests_grants_and_workers_at_once_leave_one_truth(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, database: Database, reach: Reach
) -> None:
    """An address in six conversations: no deadlock, one order, and the list agrees with the answers."""
    tokens = [await subscriber(client, texts) for _ in range(6)]
    links = [f"/u/{make_token(reach.keys, Link(await people.conversation(sql, token), uuid4()))}" for token in tokens]

    async def act(number: int) -> int:
        match number % 4:
            case 0:
                return (await client.post(links[number % 6])).status_code
            case 1:
                return (await people.put(client, tokens[number % 6], texts)).status_code
            case 2:
                return (await unsubscribe(client)).status_code
        await apply_all(database, reach)
        return 200

    for first in range(0, 48, 8):
        assert set(await asyncio.gather(*(act(first + number) for number in range(8)))) <= {200, 201, 202}
    await apply_all(database, reach)
    assert await people.chain_is_whole(sql)
    assert [event for event, *_ in await people.events(sql) if event.startswith("suppression")] == ["suppression.added"]
    assert await sql.fetchval("SELECT count(*) FROM suppression") == 1
    last = (
        "SELECT event FROM consent_audit_log l WHERE subject_ref = conversation_id AND event ~ 'consent' ORDER BY seq"
    )
    stale = f"SELECT count(*) FROM consent_state WHERE granted <> (({last} DESC LIMIT 1) = 'consent.granted')"
    assert await sql.fetchval(stale) == 0
    copies = "SELECT count(*) FROM chat_conversations JOIN consent_state ON conversation_id = id"
    assert await sql.fetchval(f"{copies} WHERE marketing_consent <> granted") == 0


async def test_after_a_withdrawal_nothing_more_is_claimed(
    client: httpx.AsyncClient,
    sql: asyncpg.Connection,
    environment: dict[str, str],
    receiver: Receiver,
    tmp_path: Path,
) -> None:
    """100 alerts about one person wait and one is being sent; once the withdrawal has committed nothing follows it."""
    token = await capture_lead(client)
    await sql.execute("DELETE FROM outbound_alert WHERE channel = 'monday'")
    await sql.execute(
        """
        INSERT INTO outbound_alert (id, event, channel, subject_id, conversation_id, dedupe_key, next_attempt_at)
        SELECT gen_random_uuid(), event, channel, subject_id, conversation_id, 'more:' || n, now() + n * interval '1 us'
        FROM outbound_alert, generate_series(1, 100) n
        """
    )
    gate = asyncio.Event()

    async def held(_request: Request) -> Answer:
        await gate.wait()
        return YES

    receiver.scripts["slack"] = held
    async with worker(environment, tmp_path / "worker.log"):
        await eventually(lambda: receiver.came(1))
        await asyncio.sleep(0.5)
        assert (await client.delete("/v1/consent/rodo", headers=token)).status_code == 204
        unclaimed = "SELECT count(*) FROM outbound_alert WHERE state = 'cancelled' AND attempts = 0"
        assert await sql.fetchval(unclaimed) >= 95
        gate.set()
        await eventually(lambda: _settled(sql))
        await asyncio.sleep(0.5)
    assert len(receiver.requests) == 1
    async with worker(environment, tmp_path / "next.log"):
        await asyncio.sleep(1)
    assert len(receiver.requests) == 1
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert WHERE state = 'delivered'") == 1


async def _settled(sql: asyncpg.Connection) -> bool:
    return not await sql.fetchval("SELECT count(*) FROM outbound_alert WHERE state IN ('pending', 'sending')")


async def test_a_worker_that_was_rung_for_lets_the_conversations_follow(
    client: httpx.AsyncClient,
    sql: asyncpg.Connection,
    texts: Texts,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    conversation_id = await people.conversation(sql, await subscriber(client, texts))
    async with worker(environment | {"ALERT_SWEEP_SECONDS": "600", "SCHEDULER_ENABLED": "false"}, tmp_path / "w.log"):
        await unsubscribe(client)
        await eventually(lambda: _refused(sql, conversation_id), seconds=3)


async def test_a_ring_that_nobody_heard_is_made_good(
    client: httpx.AsyncClient,
    sql: asyncpg.Connection,
    texts: Texts,
    environment: dict[str, str],
    redis_url: str,
    tmp_path: Path,
) -> None:
    """Nobody worked while the address came in, and Redis lost the ring."""
    conversation_id = await people.conversation(sql, await subscriber(client, texts))
    await unsubscribe(client)
    with redis_client.Redis.from_url(redis_url) as client_of_redis:
        client_of_redis.flushall()
    async with worker(environment, tmp_path / "worker.log"):
        await eventually(lambda: _refused(sql, conversation_id))


async def _refused(sql: asyncpg.Connection, conversation_id: object) -> bool:
    answer: bool = await sql.fetchval(
        "SELECT NOT granted FROM consent_state WHERE conversation_id = $1 AND purpose = 'marketing_email'",
        conversation_id,
    )
    return answer


async def test_a_crash_in_the_middle_of_following_loses_nothing(
    client: httpx.AsyncClient, sql: asyncpg.Connection, texts: Texts, database: Database, reach: Reach, keys: KeyRing
) -> None:
    """The transaction that lets conversations follow dies before its commit; the next one finds the work undone."""
    conversation_id = await people.conversation(sql, await subscriber(client, texts))
    await unsubscribe(client)
    blocker = sql.transaction()
    await blocker.start()
    await sql.execute("SELECT FROM consent_audit_head FOR UPDATE")
    following = asyncio.create_task(apply_all(database, reach))
    async with database.driver() as watcher:
        waits = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        await eventually(lambda: watcher.fetchval(waits))
        await watcher.execute(f"SELECT pg_terminate_backend(pid) FROM ({waits}) s")
    with pytest.raises(Exception, match=r"terminat|clos"):
        await following
    await blocker.rollback()
    assert await people.answer(sql, conversation_id) is True
    assert await apply_all(database, reach) == 1
    assert await people.answer(sql, conversation_id) is False
    assert await people.chain_is_whole(sql)
