"""A remote that hangs, asks for a rest, or knows our address no more."""

import asyncio
import math
import time
from collections import Counter
from email.utils import formatdate
from pathlib import Path

import asyncpg
import pytest

from app.devstack.sink.app import RunningSink
from app.devstack.sink.state import ChannelName
from tests.delivery import alerts
from tests.delivery.fleet import workers
from tests.delivery.receiver import REVOKED, YES, Answer, Receiver, Request
from tests.processes import eventually, worker


async def test_a_remote_that_never_answers_holds_up_neither_its_alert_nor_another_channel(
    environment: dict[str, str], monday: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    async def never(_request: Request) -> None:
        return None

    receiver.scripts["slack"] = never
    patient = environment | monday | {"ALERT_SEND_SECONDS": "2", "DLQ_RETRY_DELAY_MINUTES": "60"}
    await alerts.seed(sql, 1)
    async with worker(patient, tmp_path / "worker.log"):
        await eventually(lambda: receiver.came(1))
        await alerts.seed(sql, 5, first=2, channel="monday")
        await alerts.ring(patient["REDIS_URL"], "monday")
        await eventually(lambda: alerts.are(sql, retrying=1, delivered=5))
    (hanging,) = receiver.slack
    others = receiver.to("monday")
    assert len(others) == 5
    assert hanging.over_at is not None
    assert max(request.at for request in others) < hanging.over_at
    row = await sql.fetchrow("SELECT outcome, error, duration_ms FROM delivery_attempt WHERE error IS NOT NULL")
    assert row is not None
    assert (row["outcome"], row["error"]) == ("ambiguous", "total_timeout")
    assert 2000 <= row["duration_ms"] < 8000
    alert = await alerts.about(sql, "Lead 1")
    assert (alert["letter"], alert["ambiguous_since"] is not None) == ("pending", True)


REST_SECONDS = 3


@pytest.mark.parametrize(("status", "dated"), [(429, False), (429, True), (503, False)])
async def test_a_remote_that_asks_for_a_rest_hears_of_nobody_until_it_is_over(
    environment: dict[str, str],
    receiver: Receiver,
    sql: asyncpg.Connection,
    tmp_path: Path,
    status: int,
    dated: bool,
) -> None:
    earliest = 0.0

    async def tired_at_first(request: Request) -> Answer:
        nonlocal earliest
        if request.number > 1:
            return YES
        earliest = time.time() + REST_SECONDS
        if dated:
            earliest = float(math.ceil(earliest))
        wish = formatdate(earliest, usegmt=True) if dated else str(REST_SECONDS)
        return Answer(status, "rate_limited", {"Retry-After": wish})

    receiver.scripts["slack"] = tired_at_first

    async def blocked() -> bool:
        return (await alerts.gate(sql))["blocked_until"] is not None

    await alerts.seed(sql, 1)
    async with workers(2, environment | {"CB_FAIL_MAX": "2"}, tmp_path / "worker.log"):
        await eventually(blocked)
        first = await alerts.about(sql, "Lead 1")
        await alerts.seed(sql, 30, first=2)
        await alerts.ring(environment["REDIS_URL"], "slack")
        await eventually(lambda: alerts.are(sql, delivered=31))
    assert len(receiver.requests) == 1 + 31
    assert min(request.at for request in receiver.requests[1:]) >= earliest
    if status == 429:
        assert (first["state"], first["attempts"], first["letter"]) == ("pending", 0, None)
        assert await alerts.letters(sql) == {}
        gate = await alerts.gate(sql)
        assert (gate["failures"], gate["epoch"], gate["open_until"]) == (0, 0, None)
    else:
        assert (first["attempts"], first["letter"]) == (1, "pending")
        assert await alerts.letters(sql) == {"delivered": 1}


async def test_a_revoked_webhook_costs_no_alert_and_is_tried_until_it_is_mended(
    environment: dict[str, str],
    mail: dict[str, str],
    mailbox: RunningSink,
    receiver: Receiver,
    sql: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    at_once, concurrency = 8, 4
    all_there = asyncio.Event()

    async def revoked_at_first(request: Request) -> Answer:
        if request.number >= at_once:
            all_there.set()
        await all_there.wait()
        return REVOKED if request.number <= at_once + 1 else YES

    receiver.scripts["slack"] = revoked_at_first
    every_seconds = 2
    paged = environment | mail | {"ALERT_CONCURRENCY": str(concurrency), "DLQ_RETRY_MINUTES": str(every_seconds / 60)}

    async def paused() -> bool:
        return (await alerts.gate(sql))["paused_at"] is not None

    await alerts.seed(sql, 100)
    async with workers(at_once // concurrency, paged, tmp_path / "worker.log"):
        await eventually(paused)
        assert len(receiver.requests) == at_once
        gate = await alerts.gate(sql)
        assert (gate["paused_by"], gate["paused_reason"]) == ("worker", "no_service")
        await eventually(lambda: receiver.came(at_once + 1))
        assert receiver.requests[at_once].at >= gate["paused_at"].timestamp() + every_seconds
        assert await alerts.letters(sql) == {}
        assert await sql.fetchval("SELECT max(attempts) FROM outbound_alert WHERE channel = 'slack'") <= 1
        await eventually(lambda: alerts.are(sql, delivered=101))
    assert len(receiver.requests) == at_once + 1 + 100
    yes = Counter(request.who for request in receiver.requests[at_once + 1 :])
    assert yes == {f"Lead {n}": 1 for n in range(1, 101)}
    (notice,) = mailbox.state.of(ChannelName.EMAIL)
    assert "slack is paused: no_service" in notice.content["subject"]
    assert await alerts.letters(sql) == {}
    assert (await alerts.gate(sql))["paused_at"] is None
