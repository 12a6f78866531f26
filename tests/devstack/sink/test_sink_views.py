"""What the sink shows: JSON for programs, a page for people, and nothing that a sender could run there."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.devstack.process import free_port, port_is_free
from app.devstack.sink.app import RunningSink, running_sink
from app.devstack.sink.settings import SinkSettings
from app.devstack.sink.slack_html import mrkdwn
from app.devstack.sink.smtp import HOST
from app.devstack.sink.state import MAX_MESSAGES, ChannelName
from tests.devstack.sink.conftest import HOOK
from tests.devstack.sink.test_sink_monday import CREATE, ask, item

EVIL = "<script>alert(1)</script>\"'&<!channel>"


async def test_messages_are_listed_newest_last_and_by_channel(http: httpx.AsyncClient) -> None:
    await http.post(HOOK, json={"text": "one"})
    await ask(http, CREATE, item({"score": "85"}), Idempotency_Key="k1")
    await http.post(HOOK, json={"text": "two"})
    listed = (await http.get("/messages")).json()["items"]
    assert [entry["channel"] for entry in listed] == ["slack", "monday", "slack"]
    assert listed[0]["payload"] == {"text": "one"}
    assert listed[1]["item"]["column_values"] == {"score": "85"}
    assert listed[1]["headers"]["idempotency-key"] == "k1"
    assert "token" not in str(listed)
    assert all(entry["received_at"] for entry in listed)
    only = (await http.get("/messages", params={"channel": "slack"})).json()["items"]
    assert [entry["payload"]["text"] for entry in only] == ["one", "two"]
    assert (await http.get("/messages", params={"channel": "email"})).json() == {"items": []}
    assert (await http.get("/messages", params={"channel": "fax"})).status_code == 400


async def test_clearing_forgets_messages_refusals_and_counts(http: httpx.AsyncClient) -> None:
    await http.post(HOOK, json={"text": "one"})
    await http.post(HOOK, json={})
    assert (await http.delete("/messages")).status_code == 204
    assert (await http.get("/messages")).json() == {"items": []}
    assert (await http.get("/rejections")).json() == {"items": []}
    assert (await http.get("/control")).json()["slack"]["requests"] == 0


async def test_no_more_than_the_last_thousand_messages_are_kept(sink: RunningSink) -> None:
    for number in range(MAX_MESSAGES + 5):
        sink.state.accept(ChannelName.SLACK, {"text": str(number)}, {})
    assert len(sink.state.messages) == MAX_MESSAGES
    assert sink.state.messages[0].content["text"] == "5"


async def test_the_page_shows_everything_and_runs_nothing_of_it(http: httpx.AsyncClient) -> None:
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": EVIL}},
        {
            "type": "section",
            "fields": [{"type": "mrkdwn", "text": f"*b* <tel:+48691222333|call> <javascript:x|y> {EVIL}"}],
        },
        {"type": "divider"},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": EVIL}]},
        {"type": "rich_text", "elements": []},
    ]
    await http.post(HOOK, json={"text": EVIL})
    await http.post(HOOK, json={"blocks": blocks})
    await http.post(HOOK, content=EVIL, headers={"Content-Type": "application/json"})
    await ask(http, CREATE, item({"city": EVIL, "last_words": {"text": EVIL}}, name=EVIL))
    answer = await http.get("/")
    assert "<script>alert" not in answer.text
    assert "javascript:x" not in answer.text.replace("&lt;javascript:x", "")
    assert '<a href="tel:+48691222333"' in answer.text
    assert answer.text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 6
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


async def test_a_page_that_is_up_to_date_is_not_sent_again(http: httpx.AsyncClient, sink: RunningSink) -> None:
    await http.post(HOOK, json={"text": "one"})
    version = sink.state.version
    assert (await http.get("/fragment", params={"since": version})).status_code == 204
    await http.post(HOOK, json={"text": "two"})
    fresh = await http.get("/fragment", params={"since": version})
    assert (fresh.status_code, "two" in fresh.text) == (200, True)


@pytest.mark.parametrize("path", ["/assets/page.css", "/assets/page.js", "/health"])
async def test_the_pages_parts_are_served(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("*bold* and 2*3*4", "<b>bold</b> and 2*3*4"),
        ("~gone~ `x`", "<s>gone</s> <code>x</code>"),
        ("```a  *b*\n&lt;c```\nd", '<code class="s-block">a  *b*\n&lt;c</code>d'),
        ("a &lt;!channel&gt; b", "a &lt;!channel&gt; b"),
        ("<!channel> x", '<span class="s-mention">@channel</span> x'),
        ("<https://a.example?x=1&amp;y=2|see>", '<a href="https://a.example?x=1&amp;y=2" rel="noreferrer">see</a>'),
        ("one\ntwo", "one<br>two"),
    ],
)
def test_mrkdwn_looks_as_in_slack(text: str, html: str) -> None:
    assert mrkdwn(text) == html


@pytest.mark.parametrize(
    "command",
    [
        {},
        [],
        {"mode": "explode"},
        {"mode": "status", "status": 99},
        {"mode": "ok", "colour": "red"},
        {"mode": "ok", "times": 0},
    ],
)
async def test_a_command_that_makes_no_sense_is_refused(http: httpx.AsyncClient, command: Any) -> None:
    assert (await http.put("/control/slack", json=command)).status_code == 422
    assert (await http.get("/control/slack")).json()["mode"] == "ok"


async def test_a_command_holds_for_as_many_requests_as_it_says(http: httpx.AsyncClient) -> None:
    said = {"mode": "status", "status": 503, "body": "later", "headers": {"Retry-After": "7"}, "times": 2}
    assert (await http.put("/control/slack", json=said)).json()["times"] == 2
    answers = [await http.post(HOOK, json={"text": "x"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert answers[0].headers["retry-after"] == "7"
    seen = (await http.get("/control/slack")).json()
    assert (seen["requests"], seen["misbehaved"], seen["accepted"], seen["mode"]) == (3, 2, 1, "ok")
    assert len(seen["requested_at"]) == 3
    assert (await http.get("/control")).json()["monday"]["requests"] == 0
    assert (await http.put("/control/fax", json={"mode": "ok"})).status_code == 404


async def test_a_slow_channel_is_slow_and_then_right(http: httpx.AsyncClient, sink: RunningSink) -> None:
    await http.put("/control/slack", json={"mode": "slow", "delay_ms": 50, "accept": True, "times": 1})
    assert (await http.post(HOOK, json={"text": "x"})).text == "ok"
    assert len(sink.state.messages) == 1


async def test_hanging_requests_are_let_go_by_the_next_command(http: httpx.AsyncClient, sink: RunningSink) -> None:
    await http.put("/control/slack", json={"mode": "hang"})
    hanging = asyncio.create_task(http.post(HOOK, json={"text": "x"}))
    async with asyncio.timeout(5):
        while not sink.state.tallies[ChannelName.SLACK].requests:  # noqa: ASYNC110 - another task's counter
            await asyncio.sleep(0.01)
        await http.put("/control/slack", json={"mode": "ok"})
        with pytest.raises(httpx.TransportError):
            await hanging


async def test_hanging_requests_do_not_keep_the_sink_from_stopping() -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        async with running_sink(SinkSettings(slack_webhook_url=SecretStr(f"http://x{HOOK}"))) as sink:
            await http.put(f"{sink.base_url}/control/slack", json={"mode": "hang", "accept": True})
            hanging = asyncio.create_task(http.post(f"{sink.base_url}{HOOK}", json={"text": "x"}))
            while not sink.state.messages:  # noqa: ASYNC110 - another task's counter
                await asyncio.sleep(0.01)
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 1.5
        with pytest.raises(httpx.TransportError):
            await hanging


async def first_line(port: int) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        return await reader.readline()
    finally:
        writer.close()


async def test_the_process_serves_pages_and_mail_and_stops_on_sigterm() -> None:
    port = next(port for port in iter(free_port, 0) if port_is_free(port + 1))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.devstack.sink", env={**os.environ, "SINK_PORT": str(port), "SINK_SMTP_PORT": ""}
    )
    try:
        async with asyncio.timeout(20), httpx.AsyncClient(trust_env=False) as http:
            while True:
                try:
                    answer = await http.get(f"http://{HOST}:{port}/health")
                    break
                except httpx.ConnectError:
                    await asyncio.sleep(0.05)
            assert answer.json() == {"status": "ok"}
            await http.put(f"http://{HOST}:{port}/control/email", json={"mode": "reset", "times": 1})
            with pytest.raises(ConnectionResetError):
                await first_line(port + 1)
            assert (await first_line(port + 1)).startswith(b"220 ")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_a_taken_mail_port_ends_the_process_with_one_line() -> None:
    with socket.create_server((HOST, 0)) as taken:
        ended = subprocess.run(
            [sys.executable, "-m", "app.devstack.sink"],
            env={**os.environ, "SINK_PORT": str(free_port()), "SINK_SMTP_PORT": str(taken.getsockname()[1])},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("SINK_SMTP_PORT: ")
    assert "Traceback" not in ended.stderr


def test_settings_that_cannot_be_used_end_the_process_with_one_line() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "app.devstack.sink"],
        env={**os.environ, "SINK_PORT": "many"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("SINK_PORT: ")
    assert ended.stderr.count("\n") == 1
