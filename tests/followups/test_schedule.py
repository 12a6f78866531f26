"""The schedule: whom it writes to and when, however often, late or many at once it runs."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from app.alerts import service as alerts
from app.conversations import sessions
from app.conversations.sessions import Patience
from app.core.db import Database
from app.core.settings import Settings
from app.followups import quiet, schedule, service
from app.followups.calendar import WARSAW
from app.followups.service import Followups
from tests.followups.people import ANNA, DAY, NOON, visitor, writes, written

MINUTE = timedelta(minutes=1)


async def due(database: Database, followups: Followups, now: datetime) -> list[tuple[object, int]]:
    """What the dry run lists."""
    async with database.transaction() as session:
        found = await service.due(session, followups, now=now, limit=100)
    assert all(at <= now for _, _, at in found)
    return [(chat, number) for chat, number, _ in found]


async def send_all(sql: asyncpg.Connection, at: datetime) -> None:
    """Every mail that waits arrives at this instant."""
    await sql.execute("UPDATE outbound_alert SET state = 'delivered', delivered_at = $1 WHERE state = 'pending'", at)


async def test_two_schedules_at_once_write_each_number_once(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    chats = [await visitor(sql, quiet_since=NOON - DAY, email=f"p{n}@example.com") for n in range(12)]
    counts = await asyncio.gather(*(schedule.run(database, followups, now=NOON) for _ in range(3)))
    assert sum(counts) == len(chats)
    assert {(chat, number) for chat, number, *_ in await written(sql)} == {(chat, 1) for chat in chats}
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert") == len(chats)
    assert await sql.fetchval("SELECT count(*) FROM chat_messages WHERE type = 'followup'") == len(chats)
    assert await schedule.run(database, followups, now=NOON) == 0


async def test_it_writes_exactly_what_the_dry_run_lists(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    chat = await visitor(sql, quiet_since=NOON - DAY)
    assert await due(database, followups, NOON - MINUTE) == []
    assert await schedule.run(database, followups, now=NOON - MINUTE) == 0
    assert await due(database, followups, NOON) == [(chat, 1)]
    assert await written(sql) == []
    assert await schedule.run(database, followups, now=NOON) == 1


@pytest.mark.parametrize(
    "but",
    [
        "UPDATE consent_state SET granted = false",
        "DELETE FROM consent_state",
        "INSERT INTO consent_state SELECT id, 'rodo', false, 1, now() FROM chat_conversations",
        "UPDATE leads SET status = 'contacted'",
        "UPDATE chat_conversations SET state = 'handoff'",
        "UPDATE chat_conversations SET email = NULL",
        "UPDATE chat_conversations SET last_message_at = last_message_at - interval '60 days'",
    ],
)
async def test_who_must_not_be_written_to_is_not(
    but: str, sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    await visitor(sql, quiet_since=NOON - DAY)
    await sql.execute(but)
    assert await due(database, followups, NOON) == []
    assert await schedule.run(database, followups, now=NOON) == 0


async def test_a_chat_that_was_closed_because_nobody_spoke_is_written_to(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    chat = await visitor(sql, quiet_since=NOON - DAY)
    await sessions.run(database, followups.engine, Patience.of(Settings()), now=NOON - DAY + 31 * MINUTE)
    assert await sql.fetchval("SELECT state FROM chat_conversations") == "closed"
    assert await due(database, followups, NOON) == [(chat, 1)]
    assert await schedule.run(database, followups, now=NOON) == 1


async def test_a_nudge_moves_no_follow_up(sql: asyncpg.Connection, database: Database, followups: Followups) -> None:
    chat = await visitor(sql, quiet_since=NOON - DAY)
    assert await sessions.run(database, followups.engine, Patience.of(Settings()), now=NOON - DAY + 20 * MINUTE) == 1
    assert await schedule.run(database, followups, now=NOON - MINUTE) == 0
    assert await due(database, followups, NOON) == [(chat, 1)]


async def test_a_suppressed_address_is_neither_listed_nor_written_to(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    await visitor(sql, quiet_since=NOON - DAY)
    digest = followups.keys.digest("address", ANNA.encode())
    await sql.execute("INSERT INTO suppression VALUES ($1, $2, 'marketing', 'link')", digest, followups.keys.current)
    assert await due(database, followups, NOON) == []
    assert await schedule.run(database, followups, now=NOON) == 0
    assert await written(sql) == []


async def test_a_late_schedule_catches_up_one_a_day_and_in_order(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    await visitor(sql, quiet_since=NOON - 9 * DAY)
    wrote = []
    for minutes in range(0, 4 * 24 * 60, 60):
        now = NOON + timedelta(minutes=minutes)
        if await schedule.run(database, followups, now=now):
            wrote.append(now)
            await send_all(sql, now)
    assert [number for _, number, *_ in await written(sql)] == [1, 2, 3]
    assert wrote == [NOON, NOON + DAY, NOON + 2 * DAY]


async def test_nothing_new_is_written_while_the_last_one_waits_to_leave(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    await visitor(sql, quiet_since=NOON - 9 * DAY)
    await schedule.run(database, followups, now=NOON)
    assert await schedule.run(database, followups, now=NOON + DAY) == 0
    await send_all(sql, NOON + DAY)
    assert await schedule.run(database, followups, now=NOON + DAY + MINUTE) == 0
    assert await schedule.run(database, followups, now=NOON + 2 * DAY + MINUTE) == 1


async def test_one_person_with_two_conversations_gets_one_a_day(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    for email in (ANNA, ANNA.upper(), ANNA):
        await visitor(sql, quiet_since=NOON - DAY, email=email)
    assert len(await due(database, followups, NOON)) == 1
    counts = await asyncio.gather(*(schedule.run(database, followups, now=NOON) for _ in range(3)))
    assert sum(counts) == 1
    await send_all(sql, NOON)
    assert await schedule.run(database, followups, now=NOON + DAY - MINUTE) == 0
    assert await schedule.run(database, followups, now=NOON + DAY) == 1


async def test_a_second_schedule_waits_for_the_first_to_finish_with_a_person(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    chats = [await visitor(sql, quiet_since=NOON - DAY) for _ in range(2)]
    async with database.transaction() as session:
        assert await schedule.write_one(session, followups, chats[0], now=NOON)
        second = asyncio.create_task(schedule.run(database, followups, now=NOON))
        done, _ = await asyncio.wait([second], timeout=0.3)
        assert not done
    assert await second == 0
    assert [chat for chat, *_ in await written(sql)] == [chats[0]]


async def test_a_second_schedule_passes_by_a_conversation_that_the_first_is_at(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    chats = [await visitor(sql, quiet_since=NOON - DAY, email=f"p{n}@example.com") for n in range(2)]
    async with database.transaction() as session:
        assert await schedule.write_one(session, followups, chats[0], now=NOON)
        async with asyncio.timeout(3):
            assert await schedule.run(database, followups, now=NOON) == 1
    assert {chat for chat, *_ in await written(sql)} == set(chats)


async def test_a_mail_that_a_withdrawal_ended_holds_nothing_back(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    await visitor(sql, quiet_since=NOON - 9 * DAY)
    await schedule.run(database, followups, now=NOON)
    await sql.execute("UPDATE outbound_alert SET state = 'cancelled', last_error = 'consent_refused'")
    assert await schedule.run(database, followups, now=NOON + DAY) == 1
    assert [row[1:] for row in await written(sql)] == [(1, "cancelled", "consent_refused"), (2, "pending", None)]


async def test_the_same_phone_number_is_the_same_person(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    for _ in range(2):
        await visitor(sql, quiet_since=NOON - DAY, email=None, phone="+48691222333")
    assert await schedule.run(database, followups, now=NOON) == 1
    assert await schedule.run(database, followups, now=NOON + DAY) == 1


async def test_a_visitor_who_writes_starts_the_silence_anew(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    chat = await visitor(sql, quiet_since=NOON - DAY)
    await schedule.run(database, followups, now=NOON)
    await send_all(sql, NOON)
    await writes(sql, chat, NOON + DAY)
    assert await schedule.run(database, followups, now=NOON + 2 * DAY) == 0
    monday = datetime(2026, 11, 30, 12, tzinfo=WARSAW)
    assert await schedule.run(database, followups, now=monday - MINUTE) == 0
    assert await schedule.run(database, followups, now=monday) == 1
    assert [number for _, number, *_ in await written(sql)] == [1, 2]


@pytest.mark.parametrize(
    ("quiet_since", "first_run"),
    [
        ((2026, 11, 25, 21), (2026, 11, 27, 9)),
        ((2026, 11, 27, 19, 59), (2026, 11, 28, 19, 59)),
        ((2026, 11, 28, 12), (2026, 11, 30, 9)),
        ((2026, 3, 27, 19, 30), (2026, 3, 28, 19, 30)),
        ((2026, 3, 28, 12), (2026, 3, 30, 9)),
        ((2026, 10, 24, 23, 30), (2026, 10, 26, 9)),
    ],
)
async def test_it_keeps_to_the_hours_across_summer_time_and_on_sunday(
    quiet_since: tuple[int, ...],
    first_run: tuple[int, ...],
    sql: asyncpg.Connection,
    database: Database,
    followups: Followups,
) -> None:
    since = datetime(*quiet_since, tzinfo=WARSAW)  # type: ignore[misc, arg-type]
    expected = datetime(*first_run, tzinfo=WARSAW)  # type: ignore[misc, arg-type]
    await visitor(sql, quiet_since=since)
    now = since
    while not await schedule.run(database, followups, now=now):
        now += timedelta(minutes=30)
        assert now - since < 4 * DAY
    assert expected <= now < expected + timedelta(minutes=30)


async def test_a_late_run_at_night_writes_nothing(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    await visitor(sql, quiet_since=NOON - 3 * DAY)
    for hour in (20, 23):
        night = NOON.replace(hour=hour)
        assert await due(database, followups, night) == []
        assert await schedule.run(database, followups, now=night) == 0


async def test_a_clock_that_goes_back_repeats_nothing(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    await visitor(sql, quiet_since=NOON - DAY)
    assert await schedule.run(database, followups, now=NOON) == 1
    await send_all(sql, NOON)
    for now in (NOON - timedelta(hours=2), NOON, NOON + DAY):
        assert await schedule.run(database, followups, now=now) == 0


async def test_a_run_that_dies_midway_is_finished_by_the_next(
    sql: asyncpg.Connection, database: Database, followups: Followups, monkeypatch: pytest.MonkeyPatch
) -> None:
    chats = [await visitor(sql, quiet_since=NOON - DAY, email=f"p{n}@example.com") for n in range(5)]
    record, calls = alerts.record, 0

    async def dies(*arguments: Any, **named: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise asyncio.CancelledError
        await record(*arguments, **named)

    monkeypatch.setattr(alerts, "record", dies)
    with pytest.raises(asyncio.CancelledError):
        await schedule.run(database, followups, now=NOON)
    assert len(await written(sql)) == 2
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert") == 2
    assert await sql.fetchval("SELECT count(*) FROM chat_messages WHERE type = 'followup'") == 2
    monkeypatch.undo()
    assert await schedule.run(database, followups, now=NOON) == 3
    assert {chat for chat, *_ in await written(sql)} == set(chats)


async def test_one_that_cannot_be_composed_stops_no_other(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    odd = await visitor(sql, quiet_since=NOON - 2 * DAY, email="odd@example.com")
    await sql.execute("UPDATE chat_conversations SET package = 'no such package' WHERE id = $1", odd)
    chat = await visitor(sql, quiet_since=NOON - DAY)
    assert await schedule.run(database, followups, now=NOON) == 1
    assert [row[0] for row in await written(sql)] == [chat]


async def test_more_than_a_batch_is_written_in_one_run(
    sql: asyncpg.Connection, database: Database, followups: Followups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet, "BATCH", 4)
    for number in range(11):
        await visitor(sql, quiet_since=NOON - DAY, email=f"p{number}@example.com")
    assert len(await due(database, followups, NOON)) == 11
    assert await schedule.run(database, followups, now=NOON) == 11
