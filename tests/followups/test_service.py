"""Writing a follow-up: once, with consent, into the chat and for the mail, all in one transaction."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from app.consent.suppression import suppress
from app.conversations.desk import ConversationUnknownError
from app.core.db import Database
from app.followups import service
from app.followups.mail_repository import follow_alerts
from app.followups.service import (
    ConsentMissingError,
    FollowupClosedError,
    FollowupDiffersError,
    Followups,
    Written,
)
from tests.followups.people import ANNA, DAY, NOON, alert, visitor, written


async def write(database: Database, followups: Followups, **what: object) -> Written:
    async with database.transaction() as session:
        return await service.write(session, followups, **({"number": 1, "message": None, "author": "schedule"} | what))  # type: ignore[arg-type]


async def test_a_followup_is_in_the_chat_and_waits_for_its_mail(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    chat = await visitor(sql, quiet_since=NOON - DAY)
    done = await write(database, followups, conversation_id=chat, now=NOON)
    assert not done.replayed
    assert (done.row.state, done.row.channel, done.row.message_seq) == ("pending", "email", 3)
    bubble = await sql.fetchrow("SELECT * FROM chat_messages WHERE conversation_id = $1 AND seq = 3", chat)
    assert bubble is not None
    assert (bubble["role"], bubble["type"], bubble["text"]) == ("bot", "followup", done.row.message)
    row = await sql.fetchrow("SELECT last_seq, last_message_at FROM chat_conversations WHERE id = $1", chat)
    assert row is not None
    assert tuple(row) == (3, NOON - DAY)
    found = await alert(sql)
    assert (found["subject_id"], found["conversation_id"], found["state"]) == (done.row.id, chat, "pending")


async def test_the_same_number_again_is_the_same_followup(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    chat = await visitor(sql, quiet_since=NOON - DAY)
    first = await write(database, followups, conversation_id=chat, message="Dzień dobry!", author="key:crm")
    for message in ("Dzień dobry!", None):
        again = await write(database, followups, conversation_id=chat, message=message)
        assert again.replayed
        assert again.row.id == first.row.id
    with pytest.raises(FollowupDiffersError):
        await write(database, followups, conversation_id=chat, message="Do widzenia!")
    assert len(await written(sql)) == 1
    assert await sql.fetchval("SELECT count(*) FROM chat_messages") == 3


async def test_eight_at_once_write_one(sql: asyncpg.Connection, database: Database, followups: Followups) -> None:
    chat = await visitor(sql, quiet_since=NOON - DAY)
    done = await asyncio.gather(*(write(database, followups, conversation_id=chat) for _ in range(8)))
    assert sorted(one.replayed for one in done) == [False] + [True] * 7
    assert len({one.row.id for one in done}) == 1
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert") == 1


@pytest.mark.parametrize("why", ["never asked", "refused", "rodo refused", "suppressed", "no address we could check"])
async def test_without_consent_nothing_is_written(
    why: str, sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    consent = {"never asked": None, "refused": False}.get(why, True)
    email = "nobody at all" if why == "no address we could check" else ANNA
    chat = await visitor(sql, quiet_since=NOON - DAY, consent=consent, email=email)
    if why == "rodo refused":
        await sql.execute("INSERT INTO consent_state VALUES ($1, 'rodo', false, 2, now())", chat)
    if why == "suppressed":
        async with database.transaction() as session:
            await suppress(
                session, address=ANNA, keys=followups.keys, reason="link", surface="link", subject_ref=uuid4()
            )
    with pytest.raises(ConsentMissingError):
        await write(database, followups, conversation_id=chat)
    assert await written(sql) == []
    assert await sql.fetchval("SELECT last_seq FROM chat_conversations") == 2


async def test_an_unknown_conversation_is_one_error(database: Database, followups: Followups) -> None:
    with pytest.raises(ConversationUnknownError):
        await write(database, followups, conversation_id=uuid4())
    async with database.transaction() as session:
        with pytest.raises(ConversationUnknownError):
            await service.preview(session, followups, conversation_id=uuid4(), number=1)


async def test_without_an_address_it_is_in_the_chat_and_done(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    chat = await visitor(sql, quiet_since=NOON - DAY, email=None, phone="+48691222333")
    done = await write(database, followups, conversation_id=chat, now=NOON)
    assert (done.row.state, done.row.channel, done.row.closed_at) == ("sent", None, NOON)
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert") == 0


async def test_a_cancelled_followup_takes_its_mail_with_it_and_no_other(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    chat = await visitor(sql, quiet_since=NOON - DAY)
    first = await write(database, followups, conversation_id=chat, number=1)
    second = await write(database, followups, conversation_id=chat, number=2)
    for _ in range(2):
        async with database.transaction() as session:
            row = await service.cancel(session, first.row.id, reason="operator")
        assert (row.state, row.reason) == ("cancelled", "operator")
    states = await sql.fetch("SELECT subject_id, state FROM outbound_alert")
    assert {row["subject_id"]: row["state"] for row in states} == {first.row.id: "cancelled", second.row.id: "pending"}
    async with database.transaction() as session:
        assert await service.cancel_waiting(session, [chat], reason="erased") == 1
    assert {state for _, _, state, _ in await written(sql)} == {"cancelled"}
    async with database.transaction() as session:
        with pytest.raises(service.FollowupUnknownError):
            await service.cancel(session, uuid4(), reason="operator")


async def test_what_was_sent_cannot_be_cancelled_and_says_so_before_anybody_settled_it(
    sql: asyncpg.Connection, database: Database, followups: Followups
) -> None:
    chat = await visitor(sql, quiet_since=NOON - DAY)
    done = await write(database, followups, conversation_id=chat)
    await sql.execute("UPDATE outbound_alert SET state = 'delivered', delivered_at = now()")
    async with database.transaction() as session:
        assert [row.state for row in await service.page(session, state="sent", before=None, limit=9)] == ["sent"]
        assert not await service.page(session, state="pending", before=None, limit=9)
        with pytest.raises(FollowupClosedError):
            await service.cancel(session, done.row.id, reason="operator")
    await follow_alerts(sql, [done.row.id])
    assert [state for _, _, state, _ in await written(sql)] == ["sent"]


async def test_pages_are_newest_first(sql: asyncpg.Connection, database: Database, followups: Followups) -> None:
    chat = await visitor(sql, quiet_since=NOON - DAY)
    for number in (1, 2, 3):
        await write(database, followups, conversation_id=chat, number=number, now=NOON + timedelta(hours=number))
    async with database.transaction() as session:
        first = await service.page(session, state=None, before=None, limit=2)
        last = await service.page(session, state=None, before=(first[1].created_at, first[1].id), limit=2)
    assert [row.followup_number for row in (*first, *last)] == [3, 2, 1]


@pytest.mark.parametrize(
    ("says", "alert", "state"),
    [
        ("pending", "failed", "failed"),
        ("pending", "cancelled", "cancelled"),
        ("failed", "pending", "pending"),
        ("failed", "discarded", "cancelled"),
        ("failed", "delivered", "sent"),
        ("cancelled", "cancelled", "cancelled"),
        ("sent", "delivered", "sent"),
    ],
)
async def test_a_page_of_one_state_goes_by_the_mail_where_its_row_lags(
    sql: asyncpg.Connection, database: Database, followups: Followups, says: str, alert: str, state: str
) -> None:
    chat = await visitor(sql, quiet_since=NOON - DAY)
    async with database.transaction() as session:
        await service.write(session, followups, conversation_id=chat, number=1, message=None, author="schedule")
    await sql.execute(
        "UPDATE followup_event SET state = $1::text, closed_at = CASE WHEN $1::text <> 'pending' THEN now() END", says
    )
    await sql.execute(
        "UPDATE outbound_alert SET state = $1::text, delivered_at = CASE WHEN $1::text = 'delivered' THEN now() END",
        alert,
    )
    shown = {}
    async with database.transaction() as session:
        for asked in ("pending", "sent", "cancelled", "failed"):
            shown[asked] = [row.state for row in await service.page(session, state=asked, before=None, limit=5)]
    assert {asked: rows for asked, rows in shown.items() if rows} == {state: [state]}
