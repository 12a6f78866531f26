"""A worker that is killed beside the mail server: one mail, or one more that is the same and says so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from signal import SIGKILL
from uuid import UUID

import asyncpg
import pytest
import redis as redis_client

from app.core import clock
from app.core.db import Database
from app.core.settings import Settings
from app.followups import service
from app.followups.service import Followups
from tests.followups.people import DAY, NOON, visitor, written
from tests.listening import listening
from tests.processes import Running, eventually, worker
from tests.simulation.mailbox import Attempt, Mailbox, Stage

_WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted)"


@dataclass
class Post:
    """One follow-up to Anna, a mail server, and workers that bring it there."""

    environment: dict[str, str]
    folder: Path
    mailbox: Mailbox
    chat: UUID

    @asynccontextmanager
    async def worker(self, name: str) -> AsyncIterator[Running]:
        """A worker, for which it is Thursday noon."""
        ahead = self.folder / "ahead"
        ahead.write_text(str(round((NOON - clock.now()).total_seconds() * 1_000_000)))
        log = self.folder / f"{name}.log"
        async with worker(self.environment, log, through=("tests.simulation.clocked", str(ahead))) as process:
            yield process

    @property
    def taken(self) -> list[Attempt]:
        """The mails that Anna has."""
        return [attempt for attempt in self.mailbox.attempts if attempt.taken]


@pytest.fixture
async def post(
    settings: Settings,
    database: Database,
    database_url: str,
    sql: asyncpg.Connection,
    followups: Followups,
    tmp_path: Path,
) -> AsyncIterator[Post]:
    """A follow-up that waits for a worker."""
    mailbox = Mailbox(Random(1), clock.now, whims=False)  # noqa: S311  protects nothing
    chat = await visitor(sql, quiet_since=NOON - DAY)
    async with database.transaction() as session:
        await service.write(
            session, followups, conversation_id=chat, number=1, message=None, author="schedule", now=NOON
        )
    async with listening(mailbox.talk) as port:
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": settings.redis_url,
            "SMTP_URL": f"smtp://worker:secret@127.0.0.1:{port}",
            "MAIL_FROM": "NovaHouse <czat@novahouse.example>",
            "SCHEDULER_ENABLED": "false",
            "ALERT_LEASE_SECONDS": "3",
            "ALERT_SEND_SECONDS": "2",
            "ALERT_SWEEP_SECONDS": "0.2",
        }
        yield Post(environment, tmp_path, mailbox, chat)


@pytest.mark.parametrize("receipt", [True, False], ids=["with its receipt", "without it"])
async def test_a_worker_killed_between_the_yes_and_its_settlement_repeats_at_most_once_and_says_so(
    post: Post, sql: asyncpg.Connection, redis_url: str, receipt: bool
) -> None:
    held = sql.transaction()
    await held.start()
    await sql.execute("SELECT FROM followup_event FOR UPDATE")  # which the settlement waits for

    async def settles() -> bool:
        return bool([mail for mail in post.taken if mail.answer == "250"]) and await sql.fetchval(_WAITS)

    async with post.worker("killed") as first:
        await eventually(settles, seconds=60)
        first.send(SIGKILL)
        await first.exit_code(seconds=60)
    await held.rollback()
    if not receipt:
        with redis_client.Redis.from_url(redis_url) as client:
            client.flushall()
    async with post.worker("next"):
        await eventually(lambda: _is_sent(sql), seconds=60)
    assert [mail.marked for mail in post.taken] == ([False] if receipt else [False, True])
    assert len({mail.message_id for mail in post.taken}) == 1
    assert await written(sql) == [(post.chat, 1, "sent", None)]


async def test_a_worker_killed_before_the_content_repeats_nothing(post: Post, sql: asyncpg.Connection) -> None:
    struck: list[str] = []
    async with post.worker("killed") as first:

        def strike(name: str) -> None:
            first.send(SIGKILL)
            struck.append(name)

        post.mailbox.ambushes.append((Stage.CONTENT, strike))
        await first.exit_code(seconds=60)
    assert struck == ["worker"]
    assert not post.taken
    async with post.worker("next"):
        await eventually(lambda: _is_sent(sql), seconds=60)
    assert [mail.answer for mail in post.taken] == ["250"]
    assert await written(sql) == [(post.chat, 1, "sent", None)]


async def _is_sent(sql: asyncpg.Connection) -> bool:
    return bool(await sql.fetchval("SELECT state = 'sent' FROM followup_event"))
