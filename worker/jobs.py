"""What the worker does at intervals."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog

from app.alerts import service as alerts
from app.alerts.repository import dead_letters
from app.consent.anchor import Anchor
from app.conversations import sessions, unsubscribe
from app.conversations.consents import Reach
from app.conversations.sessions import NEVER, Patience
from app.core import clock
from app.core.db import Database
from app.core.keys import KeyRing
from app.core.settings import Settings
from app.followups import schedule
from app.followups.service import Followups
from app.privacy import deadlines, opt_in
from app.privacy.purge import Retention, purge
from worker.audit import AUDIT_CHECKPOINT, write_checkpoint
from worker.schedule import Job

RETRY_DEAD_LETTERS: Final = "retry_dead_letters"
FORGET_DEAD_LETTERS: Final = "forget_dead_letters"
APPLY_UNSUBSCRIBES: Final = "apply_unsubscribes"
LOOK_AT_OPT_INS: Final = "look_at_opt_ins"
PRIVACY_DEADLINES: Final = "privacy_deadlines"
PURGE: Final = "purge"
FOLLOWUPS: Final = "followups"
SESSIONS: Final = "sessions"

_log = structlog.stdlib.get_logger(__name__)


def intervals(settings: Settings) -> dict[str, timedelta]:
    """Every job and how often it runs; none when the scheduler is off."""
    if not settings.scheduler_enabled:
        return {}
    every = {
        RETRY_DEAD_LETTERS: timedelta(minutes=settings.dlq_retry_minutes),
        FORGET_DEAD_LETTERS: timedelta(hours=1),
        APPLY_UNSUBSCRIBES: timedelta(minutes=1),
        LOOK_AT_OPT_INS: timedelta(minutes=1),
        PRIVACY_DEADLINES: timedelta(minutes=10),
        PURGE: timedelta(minutes=settings.cache_cleanup_minutes),
        FOLLOWUPS: timedelta(minutes=settings.followup_minutes),
    }
    if Patience.of(settings) != NEVER:
        every[SESSIONS] = timedelta(minutes=1)
    if settings.audit_anchor is not None:
        every[AUDIT_CHECKPOINT] = timedelta(minutes=settings.audit_checkpoint_minutes)
    return every


def jobs(settings: Settings, database: Database, followups: Followups) -> list[Job]:
    """The jobs of a worker. `database` rings for what they make due."""
    anchor = Anchor.of(settings)
    work = {
        RETRY_DEAD_LETTERS: lambda: retry_dead_letters(database, pagers=settings.pager_channels),
        FORGET_DEAD_LETTERS: lambda: forget_dead_letters(database, days=settings.dlq_cleanup_days),
        APPLY_UNSUBSCRIBES: lambda: unsubscribe.apply_all(database, Reach.of(settings)),
        LOOK_AT_OPT_INS: lambda: opt_in.look_at_all(database, KeyRing.of(settings)),
        PRIVACY_DEADLINES: lambda: deadlines.keep(database, pagers=settings.pager_channels),
        PURGE: lambda: purge_rows(database, Retention.of(settings)),
        FOLLOWUPS: lambda: schedule.run(database, followups, now=clock.now()),
        SESSIONS: lambda: sessions.run(database, followups.engine, Patience.of(settings), now=clock.now()),
        **({AUDIT_CHECKPOINT: lambda: write_checkpoint(database, anchor)} if anchor else {}),
    }
    return [Job(name, every, work[name]) for name, every in intervals(settings).items()]


async def retry_dead_letters(database: Database, *, pagers: Sequence[str]) -> int:
    """Give due dead letters back to the queue, and tell people of those that failed for good; gives how many."""
    released = 0
    while True:
        async with database.transaction() as session:
            channels = await alerts.retry_due(session)
        released += len(channels)
        if len(channels) < dead_letters.RELEASE_LIMIT:
            break
    async with database.transaction() as session:
        escalated = await alerts.escalate(session, pagers=pagers)
    return released + escalated


async def forget_dead_letters(database: Database, *, days: float) -> int:
    """Delete dead letters that were delivered more than `days` ago; gives how many."""
    forgotten = 0
    while True:
        async with database.transaction() as session:
            deleted = await dead_letters.delete_delivered(session, older_than=timedelta(days=days))
        forgotten += deleted
        if deleted < dead_letters.CLEANUP_LIMIT:
            return forgotten


async def purge_rows(database: Database, kept: Retention) -> int:
    """Delete what was kept for long enough; gives how many rows."""
    return sum((await purge(database, kept)).values())
