"""Before a late repeat monday is asked whether the item is there, since its memory of the first request has run out."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from pydantic import SecretStr

from app.devstack.sink.app import RunningSink, running_sink
from app.devstack.sink.settings import SinkSettings
from app.devstack.sink.state import Behaviour, ChannelName, Mode
from tests.worker.channels.support import ALERT, NOTICE, minutes_ago, raw_server, with_envelope
from worker.channels import monday_errors
from worker.channels.base import Health, LeadAlert, Outcome, OutcomeKind
from worker.channels.http import Reply, new_client
from worker.channels.monday import MondayChannel


@pytest.fixture
async def sink() -> AsyncIterator[RunningSink]:
    """A sink with any board."""
    async with running_sink(SinkSettings()) as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """An impatient client."""
    async with new_client(timeout=httpx.Timeout(connect=1, read=0.3, write=1, pool=1)) as made:
        yield made


def monday_at(url: str, client: httpx.AsyncClient, **changes: Any) -> MondayChannel:
    wiring: dict[str, Any] = {"api_key": SecretStr("token"), "board_id": "4711", "columns": {}}
    return MondayChannel(api_url=url, client=client, **{**wiring, **changes})


def late(alert: LeadAlert = ALERT, *, minutes: float = 31) -> LeadAlert:
    return with_envelope(alert, attempt=3, ambiguous_since=minutes_ago(minutes))


def requests(sink: RunningSink) -> int:
    return sink.state.tallies[ChannelName.MONDAY].requests


async def test_an_item_that_is_there_is_found_and_not_made_again(sink: RunningSink, client: httpx.AsyncClient) -> None:
    channel = monday_at(f"{sink.base_url}/monday/v2", client)
    first = await channel.send(ALERT)
    # Another generation is another key, so a second creation would be a second item.
    again = await channel.send(with_envelope(late(), generation=2))
    assert again == Outcome(OutcomeKind.DELIVERED, status=200, remote_ref=first.remote_ref)
    assert len(sink.state.messages) == 1
    assert requests(sink) == 2


async def test_a_notice_is_found_too(sink: RunningSink, client: httpx.AsyncClient) -> None:
    channel = monday_at(f"{sink.base_url}/monday/v2", client, columns={"alert_id": "nr"})
    first = await channel.send(NOTICE)
    again = await channel.send(with_envelope(NOTICE, generation=2, ambiguous_since=minutes_ago(45)))
    assert again.remote_ref == first.remote_ref


async def test_an_item_that_is_not_there_is_made(sink: RunningSink, client: httpx.AsyncClient) -> None:
    channel = monday_at(f"{sink.base_url}/monday/v2", client)
    await channel.send(with_envelope(ALERT, alert_id=ALERT.lead_id))
    made = await channel.send(late())
    assert made.kind is OutcomeKind.DELIVERED
    assert [message.content["id"] for message in sink.state.messages][1] == made.remote_ref
    assert requests(sink) == 3


@pytest.mark.parametrize("minutes", [0, 15, 29])
async def test_within_half_an_hour_mondays_own_memory_is_enough(
    sink: RunningSink, client: httpx.AsyncClient, minutes: float
) -> None:
    channel = monday_at(f"{sink.base_url}/monday/v2", client)
    first = await channel.send(ALERT)
    again = await channel.send(late(minutes=minutes))
    assert again.remote_ref == first.remote_ref
    assert (requests(sink), sink.state.tallies[ChannelName.MONDAY].replayed) == (2, 1)


async def test_an_item_made_under_an_earlier_key_is_looked_for_at_once(
    sink: RunningSink, client: httpx.AsyncClient
) -> None:
    channel = monday_at(f"{sink.base_url}/monday/v2", client)
    first = await channel.send(ALERT)
    again = await channel.send(with_envelope(late(minutes=0), generation=2))  # a 429 came in between
    assert again.remote_ref == first.remote_ref
    assert len(sink.state.messages) == 1


async def test_a_send_that_could_end_after_the_half_hour_looks_too(
    sink: RunningSink, client: httpx.AsyncClient
) -> None:
    channel = monday_at(f"{sink.base_url}/monday/v2", client, total_seconds=120)
    assert (await channel.send(late(minutes=29))).kind is OutcomeKind.DELIVERED
    assert requests(sink) == 2


async def test_without_a_column_for_our_id_nothing_is_looked_up(sink: RunningSink, client: httpx.AsyncClient) -> None:
    channel = monday_at(f"{sink.base_url}/monday/v2", client, columns={"alert_id": ""})
    assert (await channel.send(late())).kind is OutcomeKind.DELIVERED
    assert requests(sink) == 1


@pytest.mark.parametrize(
    ("behaviour", "kind", "error", "health"),
    [
        (Behaviour(Mode.STATUS, status=503), OutcomeKind.NOT_SENT, "http_503", Health.FAILING),
        (Behaviour(Mode.STATUS, status=408), OutcomeKind.NOT_SENT, "http_408", Health.ALIVE),
        (Behaviour(Mode.HANG), OutcomeKind.NOT_SENT, "read_timeout", Health.FAILING),
        (Behaviour(Mode.RESET), OutcomeKind.NOT_SENT, "connection_lost", Health.FAILING),
        (Behaviour(Mode.STATUS, status=200, body="<html>"), OutcomeKind.NOT_SENT, "unexpected_body", Health.FAILING),
        (Behaviour(Mode.STATUS, status=429), OutcomeKind.THROTTLED, "http_429", Health.ALIVE),
        (Behaviour(Mode.STATUS, status=401), OutcomeKind.DESTINATION_PERMANENT, "http_401", Health.ALIVE),
    ],
)
async def test_when_it_cannot_be_looked_up_nothing_is_sent(
    sink: RunningSink,
    client: httpx.AsyncClient,
    behaviour: Behaviour,
    kind: OutcomeKind,
    error: str,
    health: Health,
) -> None:
    sink.state.command(ChannelName.MONDAY, behaviour, times=1)
    outcome = await monday_at(f"{sink.base_url}/monday/v2", client).send(late())
    assert (outcome.kind, outcome.error, outcome.remote_health) == (kind, error, health)
    assert (requests(sink), len(sink.state.messages)) == (1, 0)


async def test_looking_up_and_sending_share_one_time_limit(client: httpx.AsyncClient) -> None:
    async def half_a_second(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.25)
        body = b'{"data":{"items_page_by_column_values":{"items":[]}}}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()

    async with raw_server(half_a_second) as server:
        began = asyncio.get_running_loop().time()
        outcome = await monday_at(server.url, client, total_seconds=0.4).send(late())
        assert (outcome.kind, outcome.error) == (OutcomeKind.AMBIGUOUS, "total_timeout")
        assert asyncio.get_running_loop().time() - began < 0.48
        assert server.requests == 2


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"items": [{"id": "7"}, {"id": "8"}]}, "7"),
        ({"items": []}, None),
    ],
)
def test_the_answer_to_a_lookup_is_an_id_or_none(data: Any, found: str | None) -> None:
    body = orjson.dumps({"data": {"items_page_by_column_values": data}})
    assert monday_errors.classify_lookup(Reply(200, httpx.Headers(), body, True)) == found


@pytest.mark.parametrize(
    "data", [None, {}, {"items": None}, {"items": "x"}, {"items": [None]}, {"items": [{"id": "<b>"}]}, {"items": [{}]}]
)
def test_an_answer_that_says_neither_is_not_taken_for_none(data: Any) -> None:
    body = orjson.dumps({"data": {"items_page_by_column_values": data}})
    told = monday_errors.classify_lookup(Reply(200, httpx.Headers(), body, True))
    assert isinstance(told, Outcome)
    assert (told.kind, told.error) == (OutcomeKind.NOT_SENT, "unexpected_body")
