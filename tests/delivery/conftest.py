"""A remote on command, and workers that deliver to it."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from app.devstack.sink.app import RunningSink, running_sink
from app.devstack.sink.settings import SinkSettings
from tests.delivery.receiver import Receiver


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A remote that takes everything until it is told otherwise."""
    remote = Receiver()
    async with remote.listening():
        yield remote


@pytest.fixture
async def mailbox() -> AsyncIterator[RunningSink]:
    """A mail server."""
    async with running_sink(SinkSettings(slack_webhook_url=SecretStr("http://127.0.0.1/unused"))) as sink:
        yield sink


@pytest.fixture
def environment(database_url: str, redis_url: str, receiver: Receiver) -> dict[str, str]:
    """A worker that knows Slack only. Its lease outlasts every test; a failed alert is tried again after 0.3 s."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SLACK_WEBHOOK_URL": receiver.url("slack"),
        "ALERT_SWEEP_SECONDS": "0.2",
        "ALERT_LEASE_SECONDS": "60",
        "ALERT_SEND_SECONDS": "10",
        "CB_FAIL_MAX": "1000",
        "DLQ_RETRY_MINUTES": "0.02",
        "DLQ_RETRY_DELAY_MINUTES": "0.005",
    }


@pytest.fixture
def monday(receiver: Receiver) -> dict[str, str]:
    """What switches monday.com on."""
    return {"MONDAY_API_URL": receiver.url("monday"), "MONDAY_API_KEY": "monday-test-key", "MONDAY_BOARD_ID": "1"}


@pytest.fixture
def mail(mailbox: RunningSink) -> dict[str, str]:
    """What switches mail on."""
    return {
        "SMTP_URL": mailbox.smtp_url,
        "MAIL_FROM": "chatbot@novahouse.example",
        "ESCALATION_EMAIL": "operator@novahouse.example",
    }
