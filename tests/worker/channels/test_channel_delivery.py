"""The channels against the sink, which is as strict as Slack and monday.com are."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from app.devstack.sink.app import RunningSink, running_sink
from app.devstack.sink.settings import SinkSettings
from app.devstack.sink.state import OBEDIENT, Behaviour, ChannelName, Mode
from tests.worker.channels.support import ALERT, NOTICE, minutes_ago, with_envelope
from worker.channels.base import LeadAlert, OutcomeKind
from worker.channels.http import new_client
from worker.channels.monday import API_VERSION, MondayChannel
from worker.channels.slack import SlackChannel

HOOK = "/slack/services/T00/B00/hook"
SENT = {"slack": OutcomeKind.DELIVERED, "monday": OutcomeKind.DELIVERED}


@pytest.fixture(scope="module")
async def shared_sink() -> AsyncIterator[RunningSink]:
    """A sink with everything set that can be checked."""
    checked = SinkSettings(
        slack_webhook_url=SecretStr(f"http://any.example{HOOK}"),
        monday_api_key=SecretStr("token"),
        monday_board_id="4711",
        monday_columns={"city": "miasto", "budget_pln": ""},
    )
    async with running_sink(checked) as running:
        yield running


@pytest.fixture
async def sink(shared_sink: RunningSink) -> RunningSink:
    """The sink, knowing nothing of earlier tests."""
    async with new_client() as client:
        await client.delete(f"{shared_sink.base_url}/messages")
    shared_sink.state.command(ChannelName.SLACK, OBEDIENT, times=None)
    shared_sink.state.command(ChannelName.MONDAY, OBEDIENT, times=None)
    return shared_sink


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """The channels' own client, impatient enough for a hanging sink."""
    async with new_client(timeout=httpx.Timeout(connect=1, read=0.3, write=1, pool=1)) as made:
        yield made


@pytest.fixture
def slack(sink: RunningSink, client: httpx.AsyncClient) -> SlackChannel:
    """Slack as the worker wires it."""
    return SlackChannel(webhook_url=SecretStr(sink.base_url + HOOK), client=client)


def monday_at(sink: RunningSink, client: httpx.AsyncClient, **changes: Any) -> MondayChannel:
    wiring = {
        "api_url": f"{sink.base_url}/monday/v2",
        "api_key": SecretStr("token"),
        "board_id": "4711",
        "columns": {"city": "miasto", "budget_pln": ""},
    }
    return MondayChannel(**{**wiring, **changes}, client=client)


@pytest.fixture
def monday(sink: RunningSink, client: httpx.AsyncClient) -> MondayChannel:
    """monday as the worker wires it."""
    return monday_at(sink, client)


async def test_an_alert_arrives_in_slack(sink: RunningSink, slack: SlackChannel) -> None:
    outcome = await slack.send(ALERT)
    assert (outcome.kind, outcome.status, outcome.error) == (OutcomeKind.DELIVERED, 200, None)
    [message] = sink.state.of(ChannelName.SLACK)
    assert message.content["text"].startswith("Nowy lead: Jan Kowalski")


async def test_an_alert_becomes_an_item(sink: RunningSink, monday: MondayChannel) -> None:
    outcome = await monday.send(ALERT)
    [message] = sink.state.of(ChannelName.MONDAY)
    assert outcome.kind is OutcomeKind.DELIVERED
    assert outcome.remote_ref == message.content["id"]
    assert message.content["name"] == "Jan Kowalski"
    assert message.content["board_id"] == "4711"
    assert message.content["column_values"]["miasto"] == "Warszawa"
    assert message.headers["api-version"] == API_VERSION
    assert message.headers["idempotency-key"] == f"{ALERT.envelope.alert_id}:1"


async def test_an_item_whose_answer_was_lost_is_found_again_and_not_made_twice(
    sink: RunningSink, monday: MondayChannel
) -> None:
    sink.state.command(ChannelName.MONDAY, Behaviour(Mode.RESET, accept=True), times=1)
    lost = await monday.send(ALERT)
    again = await monday.send(with_envelope(replace(ALERT, score=90), attempt=2, ambiguous_since=minutes_ago(1)))
    [message] = sink.state.of(ChannelName.MONDAY)
    assert (lost.kind, again.kind) == (OutcomeKind.AMBIGUOUS, OutcomeKind.DELIVERED)
    assert again.remote_ref == message.content["id"]
    assert sink.state.tallies[ChannelName.MONDAY].replayed == 1


async def test_two_alerts_are_two_items(sink: RunningSink, monday: MondayChannel) -> None:
    other = with_envelope(ALERT, alert_id=ALERT.lead_id)
    outcomes = [await monday.send(ALERT), await monday.send(other)]
    assert len({outcome.remote_ref for outcome in outcomes}) == 2
    assert len(sink.state.messages) == 2


async def test_a_later_generation_is_a_new_request_for_monday(sink: RunningSink, monday: MondayChannel) -> None:
    first = await monday.send(ALERT)
    second = await monday.send(with_envelope(ALERT, generation=2))
    assert first.remote_ref != second.remote_ref
    keys = [message.headers["idempotency-key"] for message in sink.state.messages]
    assert keys == [f"{ALERT.envelope.alert_id}:1", f"{ALERT.envelope.alert_id}:2"]


async def test_a_notice_arrives_in_slack_and_on_the_board(
    sink: RunningSink, slack: SlackChannel, monday: MondayChannel
) -> None:
    assert (await slack.send(NOTICE)).kind is OutcomeKind.DELIVERED
    assert (await monday.send(NOTICE)).kind is OutcomeKind.DELIVERED
    said, item = (message.content for message in sink.state.messages)
    assert said["text"] == "3 alerts could not be delivered"
    assert item["name"] == "3 alerts could not be delivered"
    assert item["column_values"] == {
        "alert_id": str(NOTICE.envelope.alert_id),
        "last_words": {"text": NOTICE.text},
    }


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"api_key": SecretStr("old token")}, "NotAuthenticated"),
        ({"board_id": "9"}, "InvalidBoardIdException"),
        ({"columns": {}}, "InvalidColumnIdException"),
        ({"api_url": "/monday/v3"}, "http_404"),
    ],
)
async def test_settings_that_monday_refuses_stop_the_channel_and_not_the_alert(
    sink: RunningSink, client: httpx.AsyncClient, changes: dict[str, Any], error: str
) -> None:
    if "api_url" in changes:
        changes = {"api_url": sink.base_url + changes["api_url"]}
    outcome = await monday_at(sink, client, **changes).send(ALERT)
    assert (outcome.kind, outcome.error) == (OutcomeKind.DESTINATION_PERMANENT, error)
    assert not sink.state.messages


async def test_a_revoked_webhook_stops_the_channel(sink: RunningSink, client: httpx.AsyncClient) -> None:
    revoked = SlackChannel(webhook_url=SecretStr(f"{sink.base_url}{HOOK}-old"), client=client)
    outcome = await revoked.send(ALERT)
    assert (outcome.kind, outcome.error) == (OutcomeKind.DESTINATION_PERMANENT, "no_service")


async def test_throttling_is_passed_on_with_its_wait(sink: RunningSink, slack: SlackChannel) -> None:
    limited = Behaviour(Mode.STATUS, status=429, body="rate_limited", headers={"Retry-After": "7"})
    sink.state.command(ChannelName.SLACK, limited, times=1)
    outcome = await slack.send(ALERT)
    assert (outcome.kind, outcome.retry_after) == (OutcomeKind.THROTTLED, timedelta(seconds=7))
    assert (await slack.send(ALERT)).kind is OutcomeKind.DELIVERED


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        (Mode.HANG, OutcomeKind.AMBIGUOUS),
        (Mode.RESET, OutcomeKind.AMBIGUOUS),
        (Mode.GARBAGE, OutcomeKind.AMBIGUOUS),
        (Mode.STATUS, OutcomeKind.AMBIGUOUS),
        (Mode.SLOW, OutcomeKind.AMBIGUOUS),
        (Mode.REDIRECT, OutcomeKind.DESTINATION_PERMANENT),
    ],
)
async def test_a_sink_that_misbehaves_gets_one_request_and_is_usable_after(
    sink: RunningSink, slack: SlackChannel, mode: Mode, kind: OutcomeKind
) -> None:
    sink.state.command(ChannelName.SLACK, Behaviour(mode, delay_ms=60_000), times=1)
    assert (await slack.send(ALERT)).kind is kind
    assert sink.state.tallies[ChannelName.SLACK].requests == 1
    sink.state.command(ChannelName.SLACK, OBEDIENT, times=None)
    assert (await slack.send(ALERT)).kind is OutcomeKind.DELIVERED


async def test_many_alerts_at_once_each_arrive_once(
    sink: RunningSink, slack: SlackChannel, monday: MondayChannel
) -> None:
    outcomes = await asyncio.gather(*(channel.send(ALERT) for channel in (slack, monday) for _ in range(60)))
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.DELIVERED}
    assert len(list(sink.state.of(ChannelName.SLACK))) == 60
    assert len(list(sink.state.of(ChannelName.MONDAY))) == 1


hostile = st.one_of(
    st.sampled_from(
        ["<!channel>", "<@U1>", '"}}', "\x00", "\ud800", "*x*", "&lt;!here&gt;", "$name", "\u202e", "%s{}"]
    ),
    st.text(st.characters(codec=None), max_size=60),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=hostile, words=hostile, city=hostile)
async def test_hostile_words_travel_through_both_channels_as_words(
    sink: RunningSink, slack: SlackChannel, monday: MondayChannel, name: str, words: str, city: str
) -> None:
    alert: LeadAlert = replace(ALERT, name=name, last_words=words, city=city)
    kinds = {"slack": (await slack.send(alert)).kind, "monday": (await monday.send(alert)).kind}
    assert kinds == SENT
    assert not sink.state.rejections
