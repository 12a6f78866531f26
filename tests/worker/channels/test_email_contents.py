"""What a mail says, and that nothing a stranger wrote becomes a header, a link or markup."""

import email
import re
from dataclasses import replace
from email.message import EmailMessage
from email.policy import default
from html import unescape
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.devstack.sink.mail import read_mail
from tests.worker.channels.support import ALERT, NOTICE, minutes_ago, with_envelope
from tests.worker.channels.test_channel_contents import hostile_changes
from tests.worker.channels.test_notice_contents import hostile_notices
from worker.channels.base import Post
from worker.channels.email_message import Mailbox, compose

SENDER = Mailbox.parse("NovaHouse <czat@novahouse.example>", setting="MAIL_FROM")
RECIPIENT = Mailbox.parse("ops@novahouse.example", setting="ESCALATION_EMAIL")
HEADERS = [
    "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-NovaHouse-Alert",
    "MIME-Version", "Content-Type",
]  # fmt: skip
TAGS = {
    "html", "head", "meta", "title", "style", "body", "div", "h1", "h2", "p", "br", "a", "table", "thead", "tbody",
    "tr", "th", "td", "blockquote", "ol", "li", "code",
}  # fmt: skip


def mail(message: Post, **changes: Mailbox) -> bytes:
    return compose(message, **{"sender": SENDER, "recipient": RECIPIENT, **changes})


def content(message: Post) -> dict[str, Any]:
    return read_mail(mail(message), international=False)


def test_a_notice_says_what_happened_and_what_to_do() -> None:
    sent = content(NOTICE)
    assert sent["subject"] == "[NovaHouse] 3 alerts could not be delivered"
    assert sent["text"] == (
        "3 alerts could not be delivered\n\n"
        "Slack refuses every message since 10:02.\n"
        "Nothing is lost: the alerts wait until the channel is mended.\n\n"
        "Channel: slack\nError: no_service\n\n"
        "Alert     Lead      Error\na1e27001  1ead0001  no_service\na1e27003  1ead0003  no_service\n… and 1 more\n\n"
        "What to do:\n1. Make a new webhook and set SLACK_WEBHOOK_URL.\n"
        "2. Run `novahouse alerts replay --channel slack`.\n\n"
        "2026-11-24 10:15 CET\nnotice 0071ce01 · alert a1e27002\n"
    )
    html = sent["html"]
    for part in ("<h1", ">3 alerts could not be delivered</h1>", ">novahouse alerts replay --channel slack</code>"):
        assert part in html
    assert '<html lang="en">' in html
    assert "http" not in html


def test_a_lead_says_the_same_as_in_slack() -> None:
    sent = content(ALERT)
    assert sent["subject"] == "Nowy lead: Jan Kowalski · 85/100"
    for fact in (
        "Telefon: +48 691 222 333",
        "E-mail: jan.kowalski@example.com",
        "Wycena: 103 948 zł (orientacyjnie)",
        "Pakiet: Premium",
        "Metraż: 52 m²",
        "Nieruchomość: mieszkanie",
        "Miasto: Warszawa",
        "Budżet: 120 000 zł",
        "„Mam 52m2 w Warszawie, pakiet Premium, proszę o kontakt 691 222 333”",
        "zgoda na kontakt; marketing: nie",
        "język: pl · 24.11.2026 10:15",
        "lead 1ead0001 · rozmowa c0de0001 · alert a1e27001",
    ):
        assert fact in sent["text"]
        assert fact.split(": ")[-1] in unescape(re.sub("<[^>]*>", "", sent["html"]))
    assert '<html lang="pl">' in sent["html"]
    assert 'href="tel:+48691222333"' in sent["html"]
    assert 'href="mailto:jan.kowalski@example.com"' in sent["html"]
    assert "powtórzenie" not in sent["text"]
    repeat = content(with_envelope(ALERT, ambiguous_since=minutes_ago(1)))
    assert all("możliwe powtórzenie" in repeat[part].lower() for part in ("subject", "text", "html"))


def test_the_headers_are_those_of_a_machine_and_the_id_is_the_alerts() -> None:
    parsed = email.message_from_bytes(mail(NOTICE), _class=EmailMessage, policy=default)
    assert parsed.keys() == HEADERS
    assert parsed["Message-ID"] == f"<{NOTICE.envelope.alert_id}@novahouse.example>"
    assert parsed["X-NovaHouse-Alert"] == str(NOTICE.envelope.alert_id)
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert parsed["Date"].datetime.tzinfo is not None
    assert [part.get_content_type() for part in parsed.walk()] == ["multipart/alternative", "text/plain", "text/html"]


@pytest.mark.parametrize(
    "name",
    [
        "Jan\r\nBcc: all@example.com",
        "Jan\nBcc: all@example.com",
        "Jan\rBcc: all@example.com",
        "Jan\u2028Bcc: all@example.com",
        "=?utf-8?q?Jan=0D=0ABcc:_all=40example.com?=",
        "=?utf-8?b?SmFuDQpCY2M6IGFsbEBleGFtcGxlLmNvbQ==?=",
        "\r\n\r\n<script>alert(1)</script>",
        "x" * 5000,
        "żółć " * 400,
    ],
)
def test_no_name_becomes_a_header(name: str) -> None:
    for message in (replace(ALERT, name=name), replace(NOTICE, title=name)):
        raw = mail(message)
        head = raw.partition(b"\r\n\r\n")[0]
        assert [line.partition(b":")[0].decode() for line in re.split(rb"\r\n(?![ \t])", head)] == HEADERS
        assert b"\nBcc" not in raw
        assert b"\r" not in raw.replace(b"\r\n", b"")


def check(message: Post) -> None:
    raw = mail(message)
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
    parsed = email.message_from_bytes(raw, _class=EmailMessage, policy=default)
    assert parsed.keys() == HEADERS
    assert parsed["To"].addresses[0].addr_spec == "ops@novahouse.example"
    assert not parsed["Subject"].defects
    html = read_mail(raw, international=False)["html"]
    assert set(re.findall(r"<\s*/?\s*([a-zA-Z0-9]+)", html)) <= TAGS
    assert all(link.startswith(("tel:+", "mailto:")) for link in re.findall(r'href="([^"]*)"', html))


@settings(deadline=None)
@given(changes=hostile_changes)
def test_no_text_of_a_visitor_breaks_or_enters_the_mail(changes: dict[str, Any]) -> None:
    check(replace(ALERT, **changes))


@settings(deadline=None)
@given(notice=hostile_notices)
def test_no_text_of_a_notice_breaks_or_enters_the_mail(notice: Any) -> None:
    check(notice)


@given(title=st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=100))
def test_a_subject_is_read_as_it_was_written(title: str) -> None:
    title = title.replace("=?", "")
    assert content(replace(NOTICE, title=title))["subject"] == f"[NovaHouse] {title}"


def test_a_long_domain_leaves_the_message_id_whole() -> None:
    domain = ".".join(["a" * 60] * 3) + ".example"
    sender = Mailbox.parse(f"czat@{domain}", setting="MAIL_FROM")
    raw = mail(NOTICE, sender=sender)
    assert f"Message-ID: <{NOTICE.envelope.alert_id}@{domain}>".encode() in raw.replace(b"\r\n ", b" ")


def test_a_name_of_a_sender_may_be_polish() -> None:
    sender = Mailbox.parse('"NovaHouse – Łódź, „czat”" <czat@żółw.example>', setting="MAIL_FROM")
    sent = read_mail(mail(NOTICE, sender=sender), international=False)
    assert sent["from"] == '"NovaHouse – Łódź, „czat”" <czat@xn--w-uga1v8h.example>'
