"""The real thing beside the model: schedule, guard and queue on PostgreSQL, driven by a clock that the test moves."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import service as alerts
from app.alerts.repository import queue
from app.alerts.repository.queue import Claimed, Settlement
from app.consent.service import Purpose
from app.consent.suppression import lift, suppress
from app.conversations import consents
from app.core.db import Database
from app.core.settings import Settings
from app.followups import mail_repository, schedule, sending
from app.followups.sending import Dropped, Later, Ready
from app.followups.service import Followups
from tests.followups import people

LEASE: Final = timedelta(hours=1)
T = TypeVar("T")

_EMPTY: Final = """
DELETE FROM outbound_alert; DELETE FROM chat_conversations; DELETE FROM suppression; DELETE FROM channel_gate;
INSERT INTO channel_gate (channel) VALUES ('slack'), ('monday'), ('email')
"""


class World:
    """Everything with a connection, run from a test without an event loop of its own."""

    def __init__(self, url: str, followups: Followups) -> None:
        self._runner = asyncio.Runner()
        self._followups = followups
        self._database = self._runner.run(_database(Settings(database_url=url).database_url))

    def close(self) -> None:
        """Give connections back."""
        self._runner.run(self._database.dispose())
        self._runner.close()

    def _ask(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        async def asked() -> T:
            async with self._database.driver() as connection:
                return await work(connection)

        return self._runner.run(asked())

    def _do(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        async def done() -> T:
            async with self._database.transaction() as session:
                return await work(session)

        return self._runner.run(done())

    def empty(self) -> None:
        """Nobody has ever been here."""
        self._ask(lambda sql: sql.execute(_EMPTY))

    def visitor(self, email: str, since: datetime, consent: bool | None) -> UUID:
        """A visitor who is quiet from now on."""
        return self._ask(lambda sql: people.visitor(sql, quiet_since=since, email=email, consent=consent))

    def says(self, chat: UUID, at: datetime) -> None:
        """The visitor writes."""
        self._ask(lambda sql: people.writes(sql, chat, at))

    def decides(self, chat: UUID, purpose: Purpose, *, granted: bool) -> None:
        """The visitor decides, as the chat and the links do it."""
        self._do(
            lambda session: consents.decide(
                session,
                consents.Reach(self._followups.keys, (), hot_score=80),
                conversation_id=chat,
                purpose=purpose,
                granted=granted,
                surface="chat",
                seen=None,
            )
        )

    def suppress(self, email: str) -> None:
        """The address comes onto the list."""
        self._do(
            lambda session: suppress(
                session, address=email, keys=self._followups.keys, reason="link", surface="link", subject_ref=uuid4()
            )
        )

    def confirm(self, email: str) -> None:
        """The address's owner says that they want mails again: it leaves the list, if it was on it."""
        self._do(
            lambda session: lift(
                session,
                address=email,
                keys=self._followups.keys,
                asked_at=datetime.max.replace(tzinfo=UTC),
                surface="confirmation_mail",
                subject_ref=uuid4(),
            )
        )

    def lead(self, chat: UUID, status: str) -> None:
        """Sales sets the lead's status."""
        self._ask(lambda sql: sql.execute("UPDATE leads SET status = $2 WHERE conversation_id = $1", chat, status))

    def erase(self, chat: UUID) -> None:
        """The person is erased."""
        self._do(lambda session: alerts.sever(session, conversation_ids=[chat]))
        self._ask(lambda sql: sql.execute("DELETE FROM chat_conversations WHERE id = $1", chat))

    def run(self, now: datetime, *, schedules: int) -> None:
        """So many schedules run at once."""

        async def all_of_them() -> None:
            runs = (schedule.run(self._database, self._followups, now=now) for _ in range(schedules))
            await asyncio.gather(*runs)

        self._runner.run(all_of_them())

    def followups(self) -> dict[tuple[UUID, int], str]:
        """Every follow-up's state, by conversation and number."""
        rows = self._ask(lambda sql: sql.fetch("SELECT conversation_id, followup_number, state FROM followup_event"))
        return {(row[0], row[1]): row[2] for row in rows}

    def waiting(self) -> set[tuple[UUID, int]]:
        """Follow-ups whose mail may still leave."""
        query = """
            SELECT f.conversation_id, f.followup_number
            FROM outbound_alert a JOIN followup_event f ON f.id = a.subject_id
            WHERE a.state IN ('pending', 'sending', 'retrying')
            """
        return {(row[0], row[1]) for row in self._ask(lambda sql: sql.fetch(query))}

    def mails(self) -> int:
        """How many mails were ever recorded."""
        return len(self._ask(lambda sql: sql.fetch("SELECT FROM outbound_alert WHERE event = 'followup.due'")))

    def claim(self) -> list[Claimed]:
        """A worker claims what is due; what was put off is due again, since time passes here by leaps."""
        self._ask(lambda sql: sql.execute("UPDATE outbound_alert SET next_attempt_at = now()"))
        return self._ask(lambda sql: queue.claim(sql, "email", token=uuid4(), lease=LEASE, limit=50, pace=None))

    def judge(self, claimed: Claimed, now: datetime) -> Ready | Dropped | Later:
        """The guard at the last moment."""
        hours, keys = self._followups.timing.hours, self._followups.keys
        return self._ask(lambda sql: sending.judge(sql, [claimed.subject_id], keys=keys, hours=hours, now=now))[
            claimed.subject_id
        ]

    def number_of(self, claimed: Claimed) -> tuple[UUID, int] | None:
        """Which conversation's which follow-up a claimed mail carries, None when it was erased."""
        query = "SELECT conversation_id, followup_number FROM followup_event WHERE id = $1"
        row = self._ask(lambda sql: sql.fetchrow(query, claimed.subject_id))
        return None if row is None else (row[0], row[1])

    def settle(self, claimed: Claimed, now: datetime, verdict: Ready | Dropped | Later) -> None:
        """The worker settles, as the pump and the settler do; the database's clock follows the test's."""

        async def settled(sql: asyncpg.Connection) -> None:
            async with sql.transaction():
                await queue.settle(sql, [_settlement(claimed, verdict)])
                await sql.execute(
                    "UPDATE outbound_alert SET delivered_at = $2 WHERE id = $1 AND state = 'delivered'", claimed.id, now
                )
                await mail_repository.follow_alerts(sql, [claimed.subject_id])

        self._ask(settled)

    def lapse(self, now: datetime) -> None:
        """Whatever is claimed loses its worker; what it may have sent, it sent now."""
        last = self._ask(lambda sql: sql.fetchval("SELECT COALESCE(max(id), 0) FROM delivery_attempt"))
        self._ask(
            lambda sql: sql.execute(
                "UPDATE outbound_alert SET lease_until = now() - interval '1 s' WHERE state = 'sending'"
            )
        )
        self._ask(lambda sql: queue.recover(sql, lease=LEASE, max_attempts=1000))
        self._ask(lambda sql: sql.execute("UPDATE outbound_alert SET crashes = 0"))
        self._ask(
            lambda sql: sql.execute(
                "UPDATE delivery_attempt SET started_at = $2, duration_ms = 0 WHERE id > $1", last, now
            )
        )


def _settlement(claimed: Claimed, verdict: Ready | Dropped | Later) -> Settlement:
    if isinstance(verdict, Later):
        return Settlement(id=claimed.id, token=claimed.lease_token, attempt=claimed.attempt, wait_seconds=60)
    ready = isinstance(verdict, Ready)
    return Settlement(
        id=claimed.id,
        token=claimed.lease_token,
        attempt=claimed.attempt,
        refund=False,
        state="delivered" if ready else "cancelled",
        outcome="delivered" if ready else "cancelled",
        error=None if isinstance(verdict, Ready) else verdict.reason,
    )


async def _database(url: str) -> Database:
    """Made inside the loop that it lives in."""
    return Database(url, pool_size=4)
