"""The life of a dead letter: made, retried, given up, told of, forgotten."""

from pathlib import Path

import asyncpg
import pytest

from app.devstack.sink.app import RunningSink
from app.devstack.sink.state import ChannelName
from tests.delivery import alerts
from tests.delivery.receiver import BROKEN, YES, Answer, Receiver, Request
from tests.processes import eventually, worker

FIRST_DELAY_SECONDS = 0.6
LEAST = 0.8
"""Delays are spread by ±20 %."""


async def broken(_request: Request) -> Answer:
    return BROKEN


async def test_a_failed_alert_becomes_a_dead_letter_that_is_retried_later_and_later_and_given_up(
    environment: dict[str, str],
    mail: dict[str, str],
    receiver: Receiver,
    sql: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    receiver.scripts["slack"] = broken
    patient = environment | mail | {"DLQ_MAX_RETRIES": "2", "DLQ_RETRY_DELAY_MINUTES": str(FIRST_DELAY_SECONDS / 60)}
    await alerts.seed(sql, 1)
    async with worker(patient, tmp_path / "worker.log"):

        async def is_a_dead_letter() -> bool:
            return await alerts.letters(sql) == {"pending": 1}

        await eventually(is_a_dead_letter)
        await eventually(lambda: alerts.are(sql, failed=1, delivered=1))
    first, second, third = receiver.requests
    assert second.at - first.at >= LEAST * FIRST_DELAY_SECONDS
    assert third.at - second.at >= LEAST * FIRST_DELAY_SECONDS * 3
    ended = await alerts.about(sql, "Lead 1")
    assert (ended["attempts"], ended["letter"], ended["reason"]) == (3, "failed", "http_500")
    assert [attempt for attempt, _, _ in await alerts.attempts(sql)] == [1, 2, 3]


async def _runs_of_the_cron(sql: asyncpg.Connection) -> object:
    return await sql.fetchval("SELECT succeeded_at FROM scheduled_job WHERE name = 'retry_dead_letters'")


async def _wait_for_runs(sql: asyncpg.Connection, count: int) -> None:
    for _ in range(count):
        before = await _runs_of_the_cron(sql)

        async def again(before: object = before) -> bool:
            return await _runs_of_the_cron(sql) not in {None, before}

        await eventually(again)


async def test_several_that_failed_are_told_of_in_one_mail_and_never_again(
    environment: dict[str, str],
    mail: dict[str, str],
    mailbox: RunningSink,
    receiver: Receiver,
    sql: asyncpg.Connection,
    tmp_path: Path,
) -> None:
    receiver.scripts["slack"] = broken
    hopeless = environment | mail | {"DLQ_MAX_RETRIES": "0"}
    await alerts.seed(sql, 3)
    async with worker(hopeless | {"SCHEDULER_ENABLED": "false"}, tmp_path / "first.log"):
        await eventually(lambda: alerts.are(sql, failed=3))
    assert not mailbox.state.messages
    async with worker(hopeless, tmp_path / "second.log"):
        await eventually(lambda: alerts.are(sql, failed=3, delivered=1))
        await _wait_for_runs(sql, 2)
        (letter,) = mailbox.state.of(ChannelName.EMAIL)
        assert "3 alerts could not be delivered" in letter.content["subject"]
        await alerts.seed(sql, 1, first=4)
        await eventually(lambda: alerts.are(sql, failed=4, delivered=2))
    _, another = mailbox.state.of(ChannelName.EMAIL)
    assert "1 alert could not be delivered" in another.content["subject"]
    assert mailbox.state.tallies[ChannelName.EMAIL].requests == 2
    assert len(receiver.requests) == 4


@pytest.mark.parametrize(("status", "days", "left"), [("delivered", 31, 0), ("delivered", 29, 1), ("failed", 31, 1)])
async def test_only_delivered_dead_letters_are_forgotten_and_only_when_they_are_old(
    environment: dict[str, str],
    receiver: Receiver,
    sql: asyncpg.Connection,
    tmp_path: Path,
    status: str,
    days: int,
    left: int,
) -> None:
    await alerts.seed(sql, 1)
    await sql.execute(
        "UPDATE outbound_alert SET state = $1::text, delivered_at = CASE WHEN $1 = 'delivered' THEN now() END", status
    )
    await sql.execute(
        """
        WITH told AS (
            INSERT INTO operator_notice (id, kind) VALUES (gen_random_uuid(), 'notice.dead_letters') RETURNING id)
        INSERT INTO dead_letter_queue (id, alert_id, channel, status, reason, closed_at, escalation_id)
        SELECT gen_random_uuid(), a.id, channel, state, 'http_500', now() - $1 * interval '1 day', told.id
        FROM outbound_alert a, told
        """,
        days,
    )

    async def cleaned() -> object:
        return await sql.fetchval("SELECT succeeded_at FROM scheduled_job WHERE name = 'forget_dead_letters'")

    async with worker(environment | {"DLQ_CLEANUP_DAYS": "30"}, tmp_path / "worker.log"):
        await eventually(cleaned)
    assert await alerts.letters(sql) == ({status: 1} if left else {})
    assert await alerts.states(sql) == {status: 1}
    assert receiver.requests == []


async def test_without_the_scheduler_dead_letters_wait_while_fresh_alerts_leave(
    environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    async def breaks_once(request: Request) -> Answer:
        return BROKEN if request.number == 1 else YES

    receiver.scripts["slack"] = breaks_once
    await alerts.seed(sql, 1)
    async with worker(environment | {"SCHEDULER_ENABLED": "false"}, tmp_path / "worker.log"):
        await eventually(lambda: alerts.are(sql, retrying=1))
        await sql.execute("UPDATE outbound_alert SET next_attempt_at = now() - interval '1 hour'")
        for first in (2, 4, 6):
            await alerts.seed(sql, 2, first=first)
            await eventually(lambda first=first: alerts.are(sql, retrying=1, delivered=first))  # type: ignore[misc]
    assert len(receiver.requests) == 1 + 6
    assert await alerts.letters(sql) == {"pending": 1}
    assert await sql.fetchval("SELECT count(*) FROM scheduled_job") == 0


async def test_consent_withdrawn_after_a_failure_cancels_the_retry(
    environment: dict[str, str], receiver: Receiver, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    receiver.scripts["slack"] = broken
    await alerts.seed(sql, 1)
    async with worker(environment | {"SCHEDULER_ENABLED": "false"}, tmp_path / "first.log"):
        await eventually(lambda: alerts.are(sql, retrying=1))
    await sql.execute("UPDATE consent_state SET granted = false WHERE purpose = 'rodo'")
    async with worker(environment, tmp_path / "second.log"):
        await eventually(lambda: alerts.are(sql, cancelled=1))
    cancelled = await alerts.about(sql, "Lead 1")
    assert (cancelled["last_error"], cancelled["letter"]) == ("consent_refused", "cancelled")
    assert len(receiver.requests) == 1
