"""What the worker's process owns: database, channels, engine. Made at start, given back at the end."""

from collections.abc import Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from app.alerts.repository.queue import Pace
from app.consent.anchor import Anchor, AnchorError
from app.conversations.consents import Reach
from app.core.db import DATABASE_ERRORS, Database
from app.core.jobs import arq_redis
from app.core.keys import KeyRing
from app.core.settings import Settings
from app.engine.engine import Engine
from app.engine.knowledge import KnowledgeError
from app.engine.watch import watching
from app.followups.service import Followups
from app.followups.timing import Timing
from app.privacy.ledger import LedgerBrokenError
from app.privacy.office import ledger_of
from app.privacy.replay import Watch
from worker import jobs, metrics
from worker.channels.base import Channel
from worker.channels.dkim import Seal
from worker.channels.email import EmailChannel
from worker.channels.http import new_client
from worker.channels.monday import MondayChannel
from worker.channels.slack import SlackChannel
from worker.delivery import Delivery
from worker.messages import Messages
from worker.pump import Pump, Rules
from worker.receipts import FIND_SECONDS, Receipts
from worker.retry import RetryPolicy
from worker.schedule import Schedule
from worker.settling import BreakerRules, Settler
from worker.solo import Solo

COMMAND_SECONDS: Final = 12.0
"""A little more than the server gives a statement: an answer that has not come by then was lost on the way."""
LEAST_ATTEMPTS_OF_CRASHERS: Final = 3
"""An alert whose worker died may only have been beside the one that killed it."""
VENDOR_PACES: Final = {"hooks.slack.com": Pace(interval=timedelta(seconds=1), burst=10)}
"""What vendors' own hosts take. Slack: one message a second, short bursts (docs.slack.dev/apis/web-api/rate-limits)."""


class StartError(Exception):
    """The worker cannot start. The message is one line for whoever started it."""


@dataclass(slots=True)
class Context:
    """Everything the worker's tasks use, and the clean-ups that undo it in reverse order."""

    delivery: Delivery
    schedule: Schedule
    database: Database
    reach: Reach
    cleanup: AsyncExitStack

    async def aclose(self) -> None:
        """Stop sweeping, let deliveries in flight settle, close connections."""
        await self.cleanup.aclose()


class _Bell:
    """Rings inside this process, for what its own transactions make due."""

    def __init__(self) -> None:
        self.delivery: Delivery | None = None

    async def __call__(self, channels: Collection[str]) -> None:
        if self.delivery is not None:
            self.delivery.wake(channels)


async def start(settings: Settings) -> Context:
    """Reach PostgreSQL, open the channels and begin to deliver. Raises StartError."""
    async with AsyncExitStack() as cleanup:
        bell = _Bell()
        database = Database(
            settings.database_url,
            pool_size=settings.database_pool_size,
            ring=bell,
            command_seconds=COMMAND_SECONDS,
        )
        cleanup.push_async_callback(database.dispose)
        if settings.worker_metrics_port:
            try:
                metrics.serve(settings.worker_metrics_port)
            except OSError as error:
                raise StartError(f"WORKER_METRICS_PORT: {error.strerror}") from error
        _prepare_anchor(settings)
        redis = arq_redis(settings.redis_url, timeout_seconds=FIND_SECONDS, max_connections=4)
        cleanup.push_async_callback(redis.aclose, close_connection_pool=True)
        try:
            channels = _channels(settings)
        except ValueError as error:
            raise StartError(str(error)) from error
        for channel in channels:
            cleanup.push_async_callback(channel.aclose)
        await _refuse_forgotten_erasures(settings, database)
        engine = _engine(settings)
        await cleanup.enter_async_context(
            watching(engine, settings.knowledge_dir, every_seconds=settings.knowledge_check_seconds)
        )
        followups = Followups.of(settings, engine)
        schedule = Schedule(jobs.jobs(settings, database, followups), database=database)
        delivery = bell.delivery = _delivery(settings, database, channels, Receipts(redis), schedule, bell, engine)
        try:
            await delivery.start()
        except DATABASE_ERRORS as error:
            raise StartError(f"PostgreSQL does not answer at DATABASE_URL: {type(error).__name__}") from error
        cleanup.push_async_callback(delivery.finish)
        return Context(
            delivery=delivery,
            schedule=schedule,
            database=database,
            reach=Reach.of(settings),
            cleanup=cleanup.pop_all(),
        )


async def _refuse_forgotten_erasures(settings: Settings, database: Database) -> None:
    """A restored backup must not send to people who were erased. Raises StartError."""
    try:
        behind = await Watch(database, ledger_of(settings, KeyRing.of(settings))).behind()
    except (*DATABASE_ERRORS, LedgerBrokenError) as error:
        raise StartError(f"ERASURE_LEDGER: cannot be compared with the database: {type(error).__name__}") from error
    if behind:
        raise StartError("ERASURE_LEDGER: the database lacks erasures; run `novahouse privacy replay-erasures`")


def _engine(settings: Settings) -> Engine:
    """The engine over the knowledge of KNOWLEDGE_DIR. Raises StartError."""
    try:
        return Engine.load(settings.knowledge_dir)
    except KnowledgeError as error:
        raise StartError(f"KNOWLEDGE_DIR: {error}") from error


def _prepare_anchor(settings: Settings) -> None:
    """See now, and not in an hour, that checkpoints of the audit log can be written. Raises StartError."""
    anchor = Anchor.of(settings)
    if anchor is None:
        return
    try:
        anchor.prepare()
    except AnchorError as error:
        raise StartError(f"AUDIT_ANCHOR: the file {error}") from error


def _delivery(
    settings: Settings,
    database: Database,
    channels: Collection[Channel],
    receipts: Receipts,
    schedule: Schedule,
    bell: _Bell,
    engine: Engine,
) -> Delivery:
    lease = timedelta(seconds=settings.alert_lease_seconds)
    policy = RetryPolicy(
        max_retries=settings.dlq_max_retries, first_delay=timedelta(minutes=settings.dlq_retry_delay_minutes)
    )
    rules = Rules(
        lease=lease,
        send_seconds=settings.alert_send_seconds,
        concurrency=settings.alert_concurrency,
        policy=policy,
        breaker=BreakerRules(
            fail_max=settings.cb_fail_max,
            reset_timeout=timedelta(seconds=settings.cb_reset_timeout),
            trial_every=timedelta(minutes=settings.dlq_retry_minutes),
        ),
    )
    settler = Settler(
        database=database, receipts=receipts, rules=rules.breaker, pagers=settings.pager_channels, bell=bell
    )
    messages = Messages(
        database=database,
        engine=engine,
        keys=KeyRing.of(settings),
        public_base_url=settings.public_base_url,
        hours=Timing.of(settings).hours,
    )
    solo = Solo()
    return Delivery(
        {
            channel.name: Pump(
                channel,
                rules=rules,
                pace=_pace(settings, channel.name),
                database=database,
                messages=messages,
                receipts=receipts,
                settler=settler,
                solo=solo,
            )
            for channel in channels
        },
        database=database,
        lease=lease,
        max_attempts=max(policy.max_attempts, LEAST_ATTEMPTS_OF_CRASHERS),
        max_age=timedelta(hours=settings.alert_max_age_hours),
        sweep_seconds=settings.alert_sweep_seconds,
        catch_up=schedule.catch_up,
    )


def _pace(settings: Settings, channel: str) -> Pace | None:
    if channel != "slack" or settings.slack_webhook_url is None:
        return None
    return VENDOR_PACES.get(urlsplit(settings.slack_webhook_url.get_secret_value()).hostname or "")


def _channels(settings: Settings) -> list[Channel]:
    """The channels that are configured; the others are off."""
    channels: list[Channel] = []
    seconds = settings.alert_send_seconds
    if settings.slack_webhook_url is not None:
        channels.append(
            SlackChannel(
                webhook_url=settings.slack_webhook_url,
                client=new_client(max_connections=settings.alert_concurrency),
                total_seconds=seconds,
            )
        )
    if settings.monday_api_key is not None and settings.monday_board_id is not None:
        channels.append(
            MondayChannel(
                api_url=settings.monday_api_url,
                api_key=settings.monday_api_key,
                board_id=settings.monday_board_id,
                columns=settings.monday_columns,
                client=new_client(max_connections=settings.alert_concurrency),
                total_seconds=seconds,
            )
        )
    if settings.smtp_url is not None and settings.mail_from is not None:
        channels.append(
            EmailChannel(
                smtp_url=settings.smtp_url,
                mail_from=settings.mail_from,
                recipient=settings.escalation_email,
                total_seconds=seconds,
                seal=Seal.of(settings),
            )
        )
    return channels
