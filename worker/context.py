"""What the worker's process owns: database, channels, engine. Made at start, given back at the end."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

import httpx
from sqlalchemy.exc import SQLAlchemyError

from app.core.db import Database
from app.core.settings import Settings
from app.engine.engine import Engine
from worker.channels.base import Channel
from worker.channels.http import new_client
from worker.channels.monday import MondayChannel
from worker.channels.slack import SlackChannel
from worker.delivery import Delivery
from worker.retry import RetryPolicy


class StartError(Exception):
    """The worker cannot start. The message is one line for whoever started it."""


@dataclass(slots=True)
class Context:
    """Everything the worker's tasks use, and the clean-ups that undo it in reverse order."""

    delivery: Delivery
    sweeper: asyncio.Task[None]
    cleanup: AsyncExitStack

    async def aclose(self) -> None:
        """Stop sweeping, let deliveries in flight settle, close connections."""
        await self.cleanup.aclose()


async def start(settings: Settings) -> Context:
    """Reach PostgreSQL, open the channels and begin to sweep. Raises StartError."""
    async with AsyncExitStack() as cleanup:
        database = Database(settings.database_url, pool_size=settings.database_pool_size)
        cleanup.push_async_callback(database.dispose)
        try:
            await database.ping()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise StartError(f"PostgreSQL does not answer at DATABASE_URL: {type(error).__name__}") from error
        channels = _channels(settings)
        for channel in channels.values():
            cleanup.push_async_callback(channel.aclose)
        delivery = Delivery(
            database=database,
            engine=Engine.load(),
            channels=channels,
            lease=timedelta(seconds=settings.alert_lease_seconds),
            policy=RetryPolicy(
                max_retries=settings.dlq_max_retries,
                first_delay=timedelta(minutes=settings.dlq_retry_delay_minutes),
            ),
            concurrency=settings.alert_concurrency,
        )
        cleanup.push_async_callback(delivery.finish)
        sweeper = asyncio.create_task(delivery.sweep_for_ever(settings.alert_sweep_seconds), name="sweeper")
        cleanup.push_async_callback(_stop, sweeper)
        return Context(delivery=delivery, sweeper=sweeper, cleanup=cleanup.pop_all())


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _channels(settings: Settings) -> dict[str, Channel]:
    """The channels that are configured; the others are off."""
    channels: dict[str, Channel] = {}
    if settings.slack_webhook_url is not None:
        channels["slack"] = SlackChannel(webhook_url=settings.slack_webhook_url, client=_client())
    if settings.monday_api_key is not None and settings.monday_board_id is not None:
        channels["monday"] = MondayChannel(
            api_url=settings.monday_api_url,
            api_key=settings.monday_api_key,
            board_id=settings.monday_board_id,
            columns=settings.monday_columns,
            client=_client(),
        )
    return channels


def _client() -> httpx.AsyncClient:
    return new_client()
