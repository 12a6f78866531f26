"""From the written follow-up to the mailbox: past the guard at the last moment, within the hours, and once."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from app.alerts import service as alerts
from app.alerts.repository import queue
from app.consent.links import read_token
from app.consent.suppression import suppress
from app.conversations import consents
from app.core.db import Database
from app.core.keys import KeyRing
from app.core.settings import Settings
from app.devstack.sink.app import RunningSink, running_sink
from app.devstack.sink.settings import SinkSettings
from app.devstack.sink.state import OBEDIENT, Behaviour, ChannelName, Mode, Stage
from app.engine.engine import Engine
from app.followups import service
from app.followups.calendar import WARSAW
from app.followups.service import Followups
from app.followups.timing import Timing
from tests.followups.conftest import SetClock
from tests.followups.people import ANNA, DAY, NOON, alert, visitor, writes, written
from tests.processes import eventually
from worker import context
from worker.channels.base import PersonalMail
from worker.messages import Messages

Sql = asyncpg.Connection
HOUR = timedelta(hours=1)


@pytest.fixture
async def mailbox() -> AsyncIterator[RunningSink]:
    """A mail server."""
    async with running_sink(SinkSettings()) as sink:
        yield sink


@pytest.fixture
def mailing(settings: Settings, mailbox: RunningSink) -> Settings:
    """A worker with mail that tries again soon. Its own schedule is off."""
    return settings.model_copy(
        update={
            "slack_webhook_url": None,
            "monday_api_key": None,
            "smtp_url": SecretStr(mailbox.smtp_url),
            "mail_from": "NovaHouse <czat@novahouse.example>",
            "public_base_url": "https://chat.novahouse.example",
            "scheduler_enabled": False,
            "alert_sweep_seconds": 0.1,
            "cb_fail_max": 1000,
            "dlq_retry_delay_minutes": 0.001,
        }
    )


@asynccontextmanager
async def delivering(settings: Settings) -> AsyncIterator[None]:
    """A worker in this process, without arq: it sweeps."""
    started = await context.start(settings)
    try:
        yield
    finally:
        await started.aclose()


@pytest.fixture
async def followup(sql: Sql, database: Database, followups: Followups, set_clock: SetClock) -> service.Written:
    """Anna's first follow-up, written on Thursday at noon, which it is now."""
    set_clock(NOON)
    return await write(sql, database, followups)


async def write(sql: Sql, database: Database, followups: Followups, **more: Any) -> service.Written:
    """Write one to Anna."""
    chat = await visitor(sql, quiet_since=NOON - DAY)
    values = {"number": 1, "message": None, "author": "schedule", "now": NOON} | more
    async with database.transaction() as session:
        return await service.write(session, followups, conversation_id=chat, **values)


def is_now(sql: Sql, state: str, reason: str | None = None) -> Callable[[], Awaitable[bool]]:
    """Whether the one follow-up is in this state."""

    async def asked() -> bool:
        return [row[2:] for row in await written(sql)] == [(state, reason)]

    return asked


def received(mailbox: RunningSink) -> list[dict[str, Any]]:
    """The mails in the mailbox, oldest first."""
    return [message.content for message in sorted(mailbox.state.of(ChannelName.EMAIL), key=lambda mail: mail.id)]


async def test_where_it_went_is_kept_before_it_leaves_and_its_link_acts_on_that(
    sql: Sql, client: httpx.AsyncClient, mailing: Settings, mailbox: RunningSink, followup: service.Written
) -> None:
    """Anna gives another address when her mail has left."""
    other, keys = "nowa.anna@example.com", KeyRing.of(mailing)
    mailbox.state.command(ChannelName.EMAIL, Behaviour(Mode.STATUS, status=451, at=Stage.DATA), times=1)
    async with delivering(mailing):
        await eventually(lambda: due_again(sql))
        assert await sql.fetchval("SELECT count(*) FROM mailed_address") == 1, "before anything has left"
        await eventually(is_now(sql, "sent"))
    await sql.execute("UPDATE chat_conversations SET email = $1", other)
    [mail] = received(mailbox)
    assert mail["to"] == ANNA
    row = await sql.fetchrow("SELECT message_id, conversation_id, address_hmac, key_id FROM mailed_address")
    digest = keys.digest("address", ANNA.encode())
    assert tuple(row or ()) == (followup.row.id, followup.row.conversation_id, digest, keys.current)
    path = "/u/" + mail["headers"]["List-Unsubscribe"].strip("<>").rpartition("/")[2]
    assert (await client.post(path, content=b"List-Unsubscribe=One-Click")).status_code == 200
    assert [row[0] for row in await sql.fetch("SELECT address_hmac FROM suppression")] == [digest]


async def test_a_mail_that_waits_its_turn_while_its_reader_moves_is_written_anew(
    sql: Sql, database: Database, engine: Engine, mailing: Settings, followup: service.Written, set_clock: SetClock
) -> None:
    set_clock(NOON)
    messages = Messages(
        database=database,
        engine=engine,
        keys=KeyRing.of(mailing),
        public_base_url=mailing.public_base_url,
        hours=Timing().hours,
    )
    async with database.driver() as connection:
        (claimed,) = await queue.claim(connection, "email", token=uuid4(), lease=HOUR, limit=9, pace=None)
    mail = (await messages.write([claimed]))[claimed.id]
    assert isinstance(mail, PersonalMail)
    assert await messages.refusal(claimed, mail) is None
    await sql.execute("UPDATE chat_conversations SET email = 'nowa.anna@example.com'")
    refusal = await messages.refusal(claimed, mail)
    assert (refusal and refusal.reason, refusal and refusal.until) == ("address_changed", NOON)
    again = (await messages.write([claimed]))[claimed.id]
    assert isinstance(again, PersonalMail)
    assert again.recipient == "nowa.anna@example.com"
    assert await messages.refusal(claimed, again) is None


async def test_it_arrives_with_a_way_out_in_words_and_by_link(
    sql: Sql, mailing: Settings, mailbox: RunningSink, followup: service.Written
) -> None:
    async with delivering(mailing):
        await eventually(is_now(sql, "sent"))
    [mail] = received(mailbox)
    found = await alert(sql)
    assert mail["to"] == ANNA
    assert mail["message_id"] == f"<{found['id']}@novahouse.example>"
    url = mail["headers"]["List-Unsubscribe"].strip("<>")
    assert mail["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert url.startswith("https://chat.novahouse.example/u/v1.")
    link = read_token(KeyRing.of(mailing), url.rpartition("/")[2])
    assert (link.conversation_id, link.message_id) == (followup.row.conversation_id, followup.row.id)
    for part in ("text", "html"):
        assert url in mail[part]
        assert "rezygnuję z maili" in mail[part]
        assert "103\N{NO-BREAK SPACE}948\N{NO-BREAK SPACE}zł" in mail[part]
        assert "powtórzenie" not in mail[part]
    assert followup.row.message.split("\n\n")[0] in mail["text"]
    assert await sql.fetchval("SELECT closed_at FROM followup_event") == found["delivered_at"]


async def test_a_worker_writes_and_mails_what_is_due_by_itself(
    sql: Sql, mailing: Settings, mailbox: RunningSink, set_clock: SetClock
) -> None:
    set_clock(NOON)
    await visitor(sql, quiet_since=NOON - DAY)
    async with delivering(mailing.model_copy(update={"scheduler_enabled": True})):
        await eventually(is_now(sql, "sent"))
    assert [mail["to"] for mail in received(mailbox)] == [ANNA]
    run = await sql.fetchrow("SELECT last_count, last_error FROM scheduled_job WHERE name = 'followups'")
    assert run is not None
    assert tuple(run) == (1, None)


async def test_an_operators_words_arrive_as_they_are_and_carry_the_way_out_too(
    sql: Sql, database: Database, followups: Followups, mailing: Settings, mailbox: RunningSink, set_clock: SetClock
) -> None:
    set_clock(NOON)
    await write(sql, database, followups, message="<b>Termin</b> w środę?", author="key:crm", number=7)
    async with delivering(mailing):
        await eventually(is_now(sql, "sent"))
    [mail] = received(mailbox)
    assert mail["subject"] == "Wiadomość od NovaHouse"
    assert "<b>Termin</b> w środę?" in mail["text"]
    assert "&lt;b&gt;Termin&lt;/b&gt;" in mail["html"]
    assert "rezygnuję z maili" in mail["text"]


async def refuse(sql: Sql, database: Database, chat: UUID, purpose: str) -> None:
    """A withdrawal after the worker claimed: it finds nothing to cancel, so only the guard is left."""
    found = await alert(sql)
    await sql.execute("UPDATE outbound_alert SET state = 'sending', lease_until = now(), lease_token = $1", uuid4())
    async with database.transaction() as session:
        await consents.decide(
            session,
            consents.Reach(KeyRing("k"), (), hot_score=80),
            conversation_id=chat,
            purpose=purpose,  # type: ignore[arg-type]
            granted=False,
            surface="chat",
            seen=None,
        )
    await sql.execute(
        "UPDATE outbound_alert SET state = 'pending', lease_until = NULL, lease_token = NULL WHERE id = $1", found["id"]
    )


async def on_the_list(database: Database, keys: KeyRing) -> None:
    """Anna's address is unsubscribed."""
    async with database.transaction() as session:
        await suppress(session, address=ANNA, keys=keys, reason="link", surface="link", subject_ref=uuid4())


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("marketing withdrawn", "consent_refused"),
        ("rodo withdrawn", "consent_refused"),
        ("consent gone", "consent_missing"),
        ("suppressed", "suppressed"),
        ("replied", "visitor_replied"),
        ("lead taken", "lead_taken"),
        ("handed to a person", "conversation_taken"),
        ("address gone", "no_address"),
        ("cancelled by hand", "operator"),
    ],
)
async def test_what_happens_between_writing_and_sending_stops_it(
    what: str,
    reason: str,
    sql: Sql,
    database: Database,
    mailing: Settings,
    mailbox: RunningSink,
    followup: service.Written,
) -> None:
    chat = followup.row.conversation_id
    match what:
        case "marketing withdrawn":
            await refuse(sql, database, chat, "marketing_email")
        case "rodo withdrawn":
            await refuse(sql, database, chat, "rodo")
        case "consent gone":
            await sql.execute("DELETE FROM consent_state")
        case "suppressed":
            await on_the_list(database, KeyRing.of(mailing))
        case "replied":
            await writes(sql, chat, NOON)
        case "lead taken":
            await sql.execute("UPDATE leads SET status = 'contacted'")
        case "handed to a person":
            await sql.execute("UPDATE chat_conversations SET state = 'handoff'")
        case "address gone":
            await sql.execute("UPDATE chat_conversations SET email = NULL")
        case _:
            await sql.execute("UPDATE followup_event SET state = 'cancelled', reason = 'operator', closed_at = now()")
    async with delivering(mailing):
        await eventually(is_now(sql, "cancelled", reason))
    found = await alert(sql)
    told = "followup_cancelled" if reason == "operator" else reason  # an operator's own words stay in their row
    assert (found["state"], found["last_error"], found["delivered_at"]) == ("cancelled", told, None)
    assert mailbox.state.tallies[ChannelName.EMAIL].requests == 0


async def test_a_chat_that_was_closed_because_nobody_spoke_stops_no_mail(
    sql: Sql, mailing: Settings, mailbox: RunningSink, followup: service.Written
) -> None:
    await sql.execute("UPDATE chat_conversations SET state = 'closed'")
    async with delivering(mailing):
        await eventually(is_now(sql, "sent", None))
    assert mailbox.state.tallies[ChannelName.EMAIL].requests == 1


async def test_an_erased_person_gets_nothing(
    sql: Sql, database: Database, mailing: Settings, mailbox: RunningSink, followup: service.Written
) -> None:
    await sql.execute("UPDATE outbound_alert SET state = 'sending', lease_until = now(), lease_token = $1", uuid4())
    async with database.transaction() as session:
        await alerts.sever(session, conversation_ids=[followup.row.conversation_id])
    await sql.execute("DELETE FROM chat_conversations")

    async def cancelled() -> bool:
        return bool((await alert(sql))["state"] == "cancelled")

    await sql.execute("UPDATE outbound_alert SET state = 'pending', lease_until = NULL, lease_token = NULL")
    async with delivering(mailing):
        await eventually(cancelled)
    assert (await alert(sql))["last_error"] == "subject_erased"
    assert mailbox.state.tallies[ChannelName.EMAIL].requests == 0
    assert await written(sql) == []


@pytest.mark.parametrize(
    ("moment", "leaves"),
    [
        ((2026, 11, 26, 20), (2026, 11, 27, 9)),
        ((2026, 11, 28, 21), (2026, 11, 30, 9)),
        ((2026, 11, 29, 12), (2026, 11, 30, 9)),
        ((2026, 3, 28, 23), (2026, 3, 30, 9)),
        ((2026, 10, 24, 23), (2026, 10, 26, 9)),
    ],
)
async def test_outside_the_hours_it_is_put_off_and_costs_no_attempt(
    moment: tuple[int, ...],
    leaves: tuple[int, ...],
    sql: Sql,
    mailing: Settings,
    mailbox: RunningSink,
    followup: service.Written,
    set_clock: SetClock,
) -> None:
    now = datetime(*moment, tzinfo=WARSAW)  # type: ignore[misc, arg-type]
    opens = datetime(*leaves, tzinfo=WARSAW)  # type: ignore[misc, arg-type]
    set_clock(now)

    async def put_off() -> bool:
        found = await alert(sql)
        return bool(found["state"] == "pending" and found["next_attempt_at"] - found["created_at"] > HOUR)

    async with delivering(mailing):
        await eventually(put_off)
        found = await alert(sql)
        wait = await sql.fetchval("SELECT next_attempt_at - now() FROM outbound_alert")
        assert abs(wait - timedelta(seconds=opens.timestamp() - now.timestamp())) < timedelta(seconds=30)
        assert (found["attempts"], found["last_outcome"]) == (0, None)
        assert [row[2] for row in await written(sql)] == ["pending"]
        set_clock(opens)
        await sql.execute("UPDATE outbound_alert SET next_attempt_at = now()")
        await eventually(is_now(sql, "sent"))
    assert len(received(mailbox)) == 1


async def test_a_reply_lost_after_data_may_cost_one_copy_that_says_so(
    sql: Sql, mailing: Settings, mailbox: RunningSink, followup: service.Written
) -> None:
    mailbox.state.command(ChannelName.EMAIL, Behaviour(Mode.RESET, accept=True), times=1)
    async with delivering(mailing):
        await eventually(lambda: due_again(sql))
        await eventually(is_now(sql, "sent"))
    first, second = received(mailbox)
    assert first["message_id"] == second["message_id"]
    assert "Możliwe powtórzenie" not in first["text"] + first["html"]
    assert "Możliwe powtórzenie" in second["text"]
    assert "Możliwe powtórzenie" in second["html"]
    assert mailbox.state.tallies[ChannelName.EMAIL].requests == 2


async def due_again(sql: Sql) -> bool:
    """A dead letter's turn has come, as the job finds that is off here."""
    again = "UPDATE outbound_alert SET state = 'pending', next_attempt_at = now() WHERE state = 'retrying' RETURNING 1"
    return await sql.fetchval(again) is not None


@pytest.mark.parametrize(("status", "at"), [(421, Stage.MAIL), (450, Stage.RCPT), (451, Stage.DATA)])
async def test_a_no_for_now_is_tried_again_and_arrives_once(
    status: int, at: Stage, sql: Sql, mailing: Settings, mailbox: RunningSink, followup: service.Written
) -> None:
    mailbox.state.command(ChannelName.EMAIL, Behaviour(Mode.STATUS, status=status, at=at), times=1)
    async with delivering(mailing):
        await eventually(lambda: due_again(sql))
        await eventually(is_now(sql, "sent"))
    [mail] = received(mailbox)
    assert "powtórzenie" not in mail["text"]


async def test_a_no_for_ever_fails_it_and_an_operators_retry_still_sends_it(
    sql: Sql, mailing: Settings, mailbox: RunningSink, followup: service.Written
) -> None:
    mailbox.state.command(ChannelName.EMAIL, Behaviour(Mode.STATUS, status=550, at=Stage.RCPT), times=None)
    async with delivering(mailing):
        await eventually(is_now(sql, "failed", "smtp_550"))
        assert not received(mailbox)
        mailbox.state.command(ChannelName.EMAIL, OBEDIENT, times=None)
        await sql.execute("UPDATE outbound_alert SET state = 'pending', next_attempt_at = now()")
        await eventually(is_now(sql, "sent"))
    assert len(received(mailbox)) == 1


async def test_the_link_in_the_mail_ends_the_next_one(
    client: httpx.AsyncClient,
    sql: Sql,
    database: Database,
    followups: Followups,
    mailing: Settings,
    mailbox: RunningSink,
    followup: service.Written,
) -> None:
    async with delivering(mailing):
        await eventually(is_now(sql, "sent"))
    url = received(mailbox)[0]["headers"]["List-Unsubscribe"].strip("<>")
    answer = await client.post(
        url.removeprefix("https://chat.novahouse.example"), data={"List-Unsubscribe": "One-Click"}
    )
    assert answer.status_code == 200
    async with database.transaction() as session:
        with pytest.raises(service.ConsentMissingError):
            await service.write(
                session,
                followups,
                conversation_id=followup.row.conversation_id,
                number=2,
                message=None,
                author="schedule",
            )
