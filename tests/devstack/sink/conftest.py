"""A sink of one's own and a client to talk to it."""

from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr

from app.devstack.sink.app import RunningSink, running_sink
from app.devstack.sink.settings import SinkSettings

HOOK = "/slack/services/T00/B00/hook"


@pytest.fixture
async def sink() -> AsyncIterator[RunningSink]:
    """A sink with everything set that can be checked."""
    settings = SinkSettings(
        slack_webhook_url=SecretStr(f"http://any.example{HOOK}"),
        monday_api_key=SecretStr("token"),
        monday_board_id="4711",
    )
    async with running_sink(settings) as running:
        yield running


@pytest.fixture
async def http(sink: RunningSink) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that sink."""
    async with httpx.AsyncClient(base_url=sink.base_url, trust_env=False, timeout=5) as client:
        yield client
