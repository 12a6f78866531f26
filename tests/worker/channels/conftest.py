"""Channels pointed at test servers, with timeouts short enough to wait for."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from pydantic import SecretStr

from worker.channels.base import Channel
from worker.channels.http import new_client
from worker.channels.monday import MondayChannel
from worker.channels.slack import SlackChannel


@pytest.fixture
async def quick_client() -> AsyncIterator[httpx.AsyncClient]:
    """The channels' own client, but impatient."""
    async with new_client(timeout=httpx.Timeout(connect=0.3, read=0.3, write=0.3, pool=0.3)) as client:
        yield client


@pytest.fixture(params=["slack", "monday"])
def channel_at(request: pytest.FixtureRequest, quick_client: httpx.AsyncClient) -> Callable[[str], Channel]:
    """Either channel, pointed at a URL."""

    def slack(url: str) -> Channel:
        webhook = SecretStr(f"{url}/services/T0/B0/hook-secret")
        return SlackChannel(webhook_url=webhook, client=quick_client, total_seconds=0.8)

    def monday(url: str) -> Channel:
        return MondayChannel(
            api_url=f"{url}/v2",
            api_key=SecretStr("token-secret"),
            board_id="4711",
            columns={},
            client=quick_client,
            total_seconds=0.8,
        )

    return slack if request.param == "slack" else monday
