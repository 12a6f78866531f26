"""The sink as a mail server: what it keeps and shows, how it is commanded, and what it refuses."""

import asyncio
import re
import socket
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

import aiosmtplib
import httpx
import pytest

from app.devstack.sink.app import RunningSink, running_sink
from app.devstack.sink.settings import SinkSettings
from app.devstack.sink.smtp import HOST, MAX_MAIL_BYTES
from app.devstack.sink.state import Behaviour, ChannelName, Mode, Stage

EVIL = "<script>alert(1)</script>\"'&"


def mail(subject: str = "Hello", *, html: str | None = "<p>It <b>works</b>.</p>") -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "a@novahouse.example", "b@novahouse.example", subject
    made["Date"], made["Message-ID"] = "Tue, 24 Nov 2026 10:15:00 +0100", "<1@novahouse.example>"
    made["X-Evil"] = EVIL
    made.set_content("It works: żółw\n")
    if html is not None:
        made.add_alternative(html, subtype="html")
    return made


async def send(sink: RunningSink, message: EmailMessage | bytes) -> str:
    """The reply to the content."""
    port = urlsplit(sink.smtp_url).port
    async with aiosmtplib.SMTP(hostname=HOST, port=port, timeout=5, start_tls=False) as client:
        await client.mail("a@novahouse.example")
        await client.rcpt("b@novahouse.example")
        reply = await client.data(bytes(message))
    return f"{reply.code} {reply.message}"


async def test_mail_is_kept_as_a_mailbox_shows_it(http: httpx.AsyncClient, sink: RunningSink) -> None:
    assert await send(sink, mail("Zażółć")) == "250 2.0.0 Taken"
    [listed] = (await http.get("/messages", params={"channel": "email"})).json()["items"]
    assert listed["channel"] == "email"
    assert listed["headers"] == {"mail-from": "a@novahouse.example", "rcpt-to": "b@novahouse.example"}
    taken = listed["mail"]
    assert taken["headers"].pop("X-Evil") == EVIL
    assert taken["headers"]["Message-ID"] == "<1@novahouse.example>"
    assert {name: taken[name] for name in ("from", "to", "subject", "message_id", "text", "html")} == {
        "from": "a@novahouse.example",
        "to": "b@novahouse.example",
        "subject": "Zażółć",
        "message_id": "<1@novahouse.example>",
        "text": "It works: żółw\n",
        "html": "<p>It <b>works</b>.</p>\n",
    }


async def test_the_page_shows_mail_in_a_frame_that_may_do_nothing(http: httpx.AsyncClient, sink: RunningSink) -> None:
    await send(sink, mail(EVIL, html=f'<p style="color:red">{EVIL}</p>'))
    await send(sink, mail("plain", html=None))
    page = await http.get("/")
    assert "<script>alert" not in page.text
    assert "unsafe" not in page.headers["content-security-policy"]
    assert "frame-src 'self'" in page.headers["content-security-policy"]
    assert page.text.count("It works: żółw") == 2
    [(frame, path)] = re.findall(r'(<iframe [^>]*src="([^"]+)"[^>]*>)', page.text)
    assert 'sandbox=""' in frame
    shown = await http.get(path)
    assert '<p style="color:red">' in shown.text
    policy = shown.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'; style-src 'unsafe-inline'; ")
    assert (await http.get("/mails/999999")).status_code == 404


async def test_the_page_frames_no_more_mails_than_it_can_show(http: httpx.AsyncClient, sink: RunningSink) -> None:
    content: dict[str, Any] = dict.fromkeys(("from", "to", "subject", "message_id", "text", "html"), "x")
    content["headers"] = {}
    for _ in range(200):
        sink.state.accept(ChannelName.EMAIL, content, {})
    assert (await http.get("/")).text.count("<iframe") == 30


@pytest.mark.parametrize(
    ("stage", "replies"),
    [("connect", []), ("mail", [220, 250]), ("rcpt", [220, 250, 250]), ("data", [220, 250, 250, 250, 354])],
)
async def test_a_status_is_given_at_the_stage_that_was_commanded(
    http: httpx.AsyncClient, sink: RunningSink, stage: str, replies: list[int]
) -> None:
    command = {"mode": "status", "status": 451, "at": stage, "body": "4.3.0 not now", "times": 1}
    assert (await http.put("/control/email", json=command)).status_code == 200

    reader, writer = await asyncio.open_connection(HOST, urlsplit(sink.smtp_url).port)
    given = [int((await reader.readline())[:3])]
    content = bytes(mail()).replace(b"\n", b"\r\n") + b".\r\n"
    for said in (b"HELO me\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@d.example>\r\n", b"DATA\r\n", content):
        if given[-1] < 400:
            writer.write(said)
            given.append(int((await reader.readline())[:3]))
    writer.close()
    assert given == [*replies, 451]
    seen = (await http.get("/control/email")).json()
    assert (seen["requests"], seen["misbehaved"], seen["accepted"], seen["mode"]) == (1, 1, 0, "ok")
    assert len(seen["requested_at"]) == 1
    assert await send(sink, mail()) == "250 2.0.0 Taken"


@pytest.mark.parametrize(
    "command",
    [
        {"mode": "redirect"},
        {"mode": "status", "status": 200},
        {"mode": "status", "status": 550, "at": "helo"},
        {"mode": "status", "status": 550, "body": "two\r\nlines"},
        {"mode": "status", "status": 550, "body": "zażółć"},
    ],
)
async def test_a_command_that_makes_no_sense_for_mail_is_refused(http: httpx.AsyncClient, command: Any) -> None:
    assert (await http.put("/control/email", json=command)).status_code == 422
    assert (await http.get("/control/email")).json()["mode"] == "ok"
    assert (await http.put("/control/slack", json={"mode": "hang", "at": "data"})).status_code == 422


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"Subject: x\r\n\r\nx\r\n", "there are 0 From headers and not 1"),
        (bytes(mail()).replace(b"\nTo: b", b"\nTo: c@d.example\nTo: b"), "there are 2 To headers and not 1"),
        (bytes(mail()).replace(b"\n", b"\r\n").replace(b"Hello", "Zażółć".encode()), "a header is not ASCII"),
    ],
)
async def test_mail_that_breaks_a_rule_is_refused_and_shown(
    http: httpx.AsyncClient, sink: RunningSink, raw: bytes, reason: str
) -> None:
    with pytest.raises(aiosmtplib.SMTPDataError, match="554"):
        await send(sink, raw)
    [refused] = (await http.get("/rejections")).json()["items"]
    assert refused["channel"] == "email"
    assert refused["reason"].startswith(f"5.6.0 {reason}")
    assert not sink.state.messages


async def test_mail_that_is_too_large_is_refused(sink: RunningSink) -> None:
    with pytest.raises(aiosmtplib.SMTPDataError, match="552"):
        await send(sink, bytes(mail()) + (b"x" * 70 + b"\r\n") * (MAX_MAIL_BYTES // 72))
    assert not sink.state.messages


async def test_open_conversations_do_not_keep_the_sink_from_stopping() -> None:
    async with running_sink(SinkSettings()) as sink:
        reader, writer = await asyncio.open_connection(HOST, urlsplit(sink.smtp_url).port)
        assert (await reader.readline()).startswith(b"220 ")
        async with httpx.AsyncClient(base_url=sink.base_url, trust_env=False) as http:
            await http.put("/control/email", json={"mode": "hang"})
        hanging, other = await asyncio.open_connection(HOST, urlsplit(sink.smtp_url).port)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 1.5
    for ended in (reader, hanging):
        with pytest.raises(ConnectionResetError):
            await ended.read()
    for one in (writer, other):
        one.close()


async def test_a_taken_mail_port_is_an_error(sink: RunningSink) -> None:
    with socket.create_server((HOST, 0)) as taken, pytest.raises(OSError, match="in use"):
        async with running_sink(SinkSettings(), smtp_port=taken.getsockname()[1]):
            pass


@pytest.mark.parametrize(
    ("environment", "port"),
    [({}, 9001), ({"sink_port": 8100}, 8101), ({"sink_port": 0}, 0), ({"sink_port": 8100, "sink_smtp_port": 25}, 25)],
)
def test_mail_is_taken_beside_the_page_unless_told_otherwise(environment: dict[str, int], port: int) -> None:
    assert SinkSettings(**environment).smtp_port == port  # type: ignore[arg-type]


def test_what_is_commanded_happens_where_it_hurts_unless_told_otherwise() -> None:
    assert Behaviour(Mode.STATUS).stage is Stage.DATA
    assert Behaviour(Mode.STATUS, at=Stage.RCPT).stage is Stage.RCPT
    assert {Behaviour(mode).stage for mode in (Mode.HANG, Mode.RESET, Mode.GARBAGE, Mode.SLOW)} == {Stage.CONNECT}
    assert Behaviour(Mode.RESET, accept=True, at=Stage.MAIL).stage is Stage.DATA
