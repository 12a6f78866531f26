"""The outside world of privacy tests: Slack, monday.com and a mail server that remember what they got."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from app.devstack.sink.app import RunningSink, running_sink
from app.devstack.sink.settings import SinkSettings
from app.privacy.office import Office

SLACK_PATH = "/slack/services/T0/B0/X"


@pytest.fixture
async def sink() -> AsyncIterator[RunningSink]:
    """Everything that alerts and mails go to."""
    settings = SinkSettings(
        slack_webhook_url=SecretStr(f"http://127.0.0.1{SLACK_PATH}"),
        monday_api_key=SecretStr("monday-test-key"),
        monday_board_id="1234567890",
    )
    async with running_sink(settings) as running_one:
        yield running_one


@pytest.fixture
def environment(database_url: str, redis_url: str, sink: RunningSink, tmp_path: Path) -> dict[str, str]:
    """What an operator sets: all channels on, a ledger beside."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SLACK_WEBHOOK_URL": sink.base_url + SLACK_PATH,
        "MONDAY_API_URL": f"{sink.base_url}/monday/v2",
        "MONDAY_API_KEY": "monday-test-key",
        "MONDAY_BOARD_ID": "1234567890",
        "SMTP_URL": sink.smtp_url,
        "MAIL_FROM": "NovaHouse <chatbot@novahouse.example>",
        "ADMIN_API_KEY": "test-operator-key",
        "ALERT_SWEEP_SECONDS": "0.3",
        "ALERT_LEASE_SECONDS": "5",
        "ALERT_SEND_SECONDS": "2",
        "DLQ_RETRY_DELAY_MINUTES": "0.005",
        "DLQ_RETRY_MINUTES": "0.02",
        "DRAIN_SECONDS": "0",
        "ERASURE_LEDGER": str(tmp_path / "erasures.jsonl"),
    }


@pytest.fixture
def office(app: FastAPI) -> Office:
    """The office of the running application."""
    found: Office = app.state.privacy
    return found
