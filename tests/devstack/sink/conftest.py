"""A sink that remembers nothing of earlier tests, and a client to talk to it."""

from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr

from app.devstack.sink.app import RunningSink, running_sink
from app.devstack.sink.settings import SinkSettings
from app.devstack.sink.state import OBEDIENT, ChannelName

HOOK = "/slack/services/T00/B00/hook"


@pytest.fixture(scope="module")
async def shared_sink() -> AsyncIterator[RunningSink]:
    """A sink with everything set that can be checked."""
    settings = SinkSettings(
        slack_webhook_url=SecretStr(f"http://any.example{HOOK}"),
        monday_api_key=SecretStr("token"),
        monday_board_id="4711",
    )
    async with running_sink(settings) as running:
        yield running


@pytest.fixture
async def http(shared_sink: RunningSink) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that sink, which has forgotten everything."""
    async with httpx.AsyncClient(base_url=shared_sink.base_url, trust_env=False, timeout=5) as client:
        await client.delete("/messages")
        for channel in ChannelName:
            shared_sink.state.command(channel, OBEDIENT, times=None)
        yield client


@pytest.fixture
def sink(shared_sink: RunningSink, http: httpx.AsyncClient) -> RunningSink:
    """The same sink, to look inside."""
    assert not http.is_closed
    return shared_sink
