"""What a log line may never show."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from app.core.redaction import MAX_ITEMS, MAX_TEXT, REDACTED, Redactor
from app.core.settings import Settings
from tests.processes import ROOT, inherited

SECRET = "Pa55/word+of=the base"
REDACTOR = Redactor([SECRET])
TOKEN = "Zk3vT9wQx1bN7mLr5sHd2fGj8cVy4pAe6uKi0oWt-_B"

PRIVATE = {
    "an address": "jan.kowalski@example.com",
    "an address with a tag in capitals": "JAN.KOWALSKI+NOVA@EXAMPLE.COM",
    "an address in a URL": "GET /x?email=jan.kowalski%40example.com&a=1",
    "an address with Polish letters": "łukasz@żółw.pl",
    "an address with a soft hyphen": "jan.kowal\u00adski@exam\u200bple.com",
    "a full-width address": "ｊａｎ@ｅｘａｍｐｌｅ.com",
    "an address with a full-width at sign": "jan.kowalski\uff20example.com",
    "a mailbox": "Jan Kowalski <jan.kowalski@example.com>",
    "a phone": "691222333",
    "a phone with its country": "+48 691 222 333",
    "a phone with 00": "0048691222333",
    "a phone with hyphens": "691-222-333",
    "a phone with dots": "call 691.222.333, please",
    "a phone with brackets": "(58) 500 46 63",
    "a phone with hard spaces": "691\u00a0222\u00a0333",
    "a phone in full-width digits": "６９１２２２３３３",
    "a phone over two lines": "691 222\n333",
    "a PESEL": "44051401359",
    "a phone behind a word": "tel-691222333",
    "a phone behind a letter": "x691222333",
    "a phone behind an underscore": "visitor_691222333",
    "a phone before a letter": "691222333x",
    "a phone in a name": "jan-691-222-333-kowal",
    "a phone in a file": "/srv/calls/call-48691222333.wav",
    "a phone that begins like a date": "6912-22-33355",
    "digits of an id's length": "4111691222333111",
    "a session token": TOKEN,
    "a bearer": "Authorization: Bearer abc.def",
    "basic credentials": "basic amFuOmtvd2Fsc2tp",
    "an API key": f"nh_a1b2c3d4_{TOKEN}",
    "an unsubscribe link": f"https://x.pl/u/v1.0a1b2c3d.{'A' * 44}.{'b' * 43}",
    "a database's address": "postgresql://jan:kowalski691@db/novahouse",
    "a webhook": "https://hooks.slack.com/services/T000/B000/abc",
    "a secret of ours": f"it is {SECRET}!",
    "a secret of ours in a URL": "x=Pa55%2Fword%2Bof%3Dthe%20base",
    "a public address": "client 8.8.8.8:443",
    "a public IPv6 address": "client [2001:4860:4860::8888]",
}
PARTS = (
    "kowalski",
    "691",
    "222",
    "333",
    "500",
    "4405",
    "ｊａｎ",
    "łukasz",
    "ukasz",
    TOKEN,
    "abc",
    "4111",
    "amFu",
    "AAAA",
    "Pa55",
)


@pytest.mark.parametrize("name", PRIVATE)
def test_private_parts_of_a_text_are_hidden(name: str) -> None:
    shown = REDACTOR.text(PRIVATE[name])
    assert REDACTED in shown
    assert not [part for part in (*PARTS, "8.8.8.8", "4860") if part.lower() in shown.lower()]


@pytest.mark.parametrize(
    "text",
    [
        "alert_delivered",
        "487a0ad0-6ae1-4874-bf67-7e617f742439",
        "12345678-1234-4234-8234-123456789012",
        "2026-11-26T05:34:31.123456Z",
        "2026-11-26 05:34:31",
        "0123456789abcdef0123456789abcdef",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "alert-12345678-1234-4234-8234-123456789012: due 2026-11-26T05:34:31.123456Z",
        "12345678-1234-4234-8234-12345678901A",
        "lock_a123456789012345 since 2026-11-26/2026-11-27",
        "Uvicorn running on http://127.0.0.1:8000",
        "10.0.0.5:5432 and ::1",
        "worker.channels.slack:deliver 52 m2, 1999 PLN",
        "http_503",
        "/srv/app/conversations/service.py:123 say",
    ],
)
def test_what_an_engineer_needs_stays(text: str) -> None:
    assert REDACTOR.text(text) == text


def test_members_with_private_names_are_hidden_whatever_they_hold() -> None:
    members = {"Email": 1, "visitor_phone": "x", "API-Key": ["x"], "user_agent": {"x": "y"}, "text": "x", "token": None}
    assert REDACTOR.event(members) == dict.fromkeys(
        ("Email", "visitor_phone", "API-Key", "user_agent", "text"), REDACTED
    ) | {"token": None}


def test_private_parts_are_found_however_deep_and_whatever_the_type() -> None:
    class Talkative:
        def __repr__(self) -> str:
            return "jan.kowalski@example.com"

    event: dict[str, Any] = {
        "event": "x",
        "rows": [{"a": ("jan.kowalski@example.com", b"jan.kowalski@example.com")}, {"691222333": 691222333}],
        "object": Talkative(),
        "error": ValueError("jan.kowalski@example.com"),
        "secret_str": SecretStr("kowalski"),
        "deep": {"a": {"a": {"a": {"a": {"a": {"a": {"a": "kowalski"}}}}}}},
        "amount": Decimal(691222333),
    }
    shown = json.dumps(REDACTOR.event(event))
    assert "kowalski" not in shown
    assert "691" not in shown


def test_ids_of_ours_stay_also_where_they_happen_to_be_digits() -> None:
    event = {"request_id": "12345678901234567890123456789012", "client_hash": "1234567890123456"}
    assert REDACTOR.event(event) == event
    assert REDACTOR.event({"request_id": "691222333", "client_hash": "691222333"}) == dict.fromkeys(event, REDACTED)


def test_plain_values_stay() -> None:
    event = {
        "id": UUID("487a0ad0-6ae1-4874-bf67-7e617f742439"),
        "at": datetime(2026, 11, 26, tzinfo=UTC),
        "rows": 1_000_000,
        "seconds": 0.123456789123,
        "finished": True,
        "price": Decimal("1999.00"),
        "path": Path("/srv/app"),
    }
    assert REDACTOR.event(event) == {
        "id": "487a0ad0-6ae1-4874-bf67-7e617f742439",
        "at": "2026-11-26 00:00:00+00:00",
        "rows": 1_000_000,
        "seconds": 0.123456789123,
        "finished": True,
        "price": "1999.00",
        "path": "/srv/app",
    }


@settings(deadline=None)
@given(
    st.recursive(
        st.text() | st.integers() | st.binary(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_whatever_is_logged_becomes_one_bounded_line(value: Any) -> None:
    line = json.dumps(REDACTOR.event({"event": value}), ensure_ascii=False)
    line.encode()
    assert line.isprintable()


def test_a_text_is_bounded() -> None:
    assert len(REDACTOR.text("word " * 100_000)) < MAX_TEXT + 50


def test_whatever_has_many_parts_is_bounded() -> None:
    many = range(100_000)
    shown = REDACTOR.event({"rows": list(many), "members": {f"m{n}": n for n in many}, "deep": [[[*many]]]})
    assert [len(shown["rows"]), len(shown["members"]), len(shown["deep"][0][0])] == [MAX_ITEMS] * 3
    assert len(REDACTOR.event({f"m{n}": n for n in many})) == MAX_ITEMS


def test_every_secret_of_the_settings_is_known_to_the_log() -> None:
    settings = Settings(
        secret_key=SecretStr("the-secret-key"),
        secret_keys_retired=(SecretStr("an-older-key"),),
        smtp_url=SecretStr("smtp://u:mail-password@mail.example.com"),
        database_url="postgresql://u:base-password@db/x",
        redis_url="redis://:ring-password@redis/0",
    )
    redactor = Redactor(settings.secret_values)
    for secret in ("the-secret-key", "an-older-key", "mail-password", "base-password", "ring-password"):
        assert secret not in redactor.text(f"it is {secret}.")


_TALKATIVE = """
import asyncio, gc, logging, sys, threading, warnings
import structlog
from app.core.logging import configure_logging, log_uncaught

CANARY = "jan.kowalski@example.com"
WORDS = "our Nowak told us his name"  # which no pattern knows
configure_logging(level="INFO", json=True, secrets=["base-password"])
log_uncaught()
log = structlog.stdlib.get_logger("ours")
log.info("said", words=CANARY, password="base-password")
log.info(f"f-string {CANARY}\\n{{\\"level\\": \\"forged\\"}}\\x1b[2J")
structlog.contextvars.bind_contextvars(who=CANARY)
log.info("bound")
structlog.contextvars.clear_contextvars()
other = logging.getLogger("library")
other.info("%s said %r", CANARY, {"a": CANARY})
other.warning("a line\\r\\n2026-11-26 ERROR forged base-password")
try:
    raise ValueError(WORDS) from KeyError(WORDS)
except ValueError:
    log.exception("failed")
    other.exception("failed too: %s, %r", *[sys.exc_info()[1]] * 2)
warnings.warn(CANARY)
thread = threading.Thread(target=lambda: 1 / len(CANARY.replace(CANARY, "")))
thread.start(); thread.join()

async def forgotten():
    async def fails():
        raise ValueError(WORDS)
    task = asyncio.ensure_future(fails())
    await asyncio.sleep(0.01)
    del task
    gc.collect()

asyncio.run(forgotten())

class Bad:
    def __del__(self):
        raise ValueError(WORDS)

Bad()
error = None
for _ in range(100):
    cause, error = error, RuntimeError(WORDS)
    error.__cause__ = cause
raise error
"""


def test_no_way_to_write_a_line_shows_a_person_or_forges_a_line() -> None:
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", _TALKATIVE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == [
        *("info", "info", "info", "info", "warning", "error", "error", "warning"),
        *("critical", "error", "error", "critical"),
    ]
    assert "kowalski" not in done.stderr
    assert "Nowak" not in done.stderr
    assert "base-password" not in done.stderr
    assert "\x1b" not in done.stderr
    assert lines[-1]["raised"][0]["class"] == "builtins.RuntimeError"
    assert 1 < len(lines[-1]["raised"]) < 10


_PROCESSES = {
    "api": "import app.main\napp.main.app",
    "worker": """
import asyncio
import worker.settings
asyncio.get_event_loop().run_until_complete(worker.settings._on_startup({}))
""",
}


@pytest.mark.parametrize("process", _PROCESSES)
def test_both_processes_log_in_production_as_json_and_without_their_secrets(
    process: str, database_url: str, redis_url: str
) -> None:
    key = "a-key-of-operators-that-nobody-may-read"
    environment = inherited() | {
        "ENVIRONMENT": "production",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": "a-secret-that-is-of-nobody-s-concern",
        "ADMIN_API_KEY": key,
    }
    said = f"import logging\nlogging.getLogger('library').warning('it is %s', '{key}')\nraise ValueError('our Nowak')"
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", f"{_PROCESSES[process]}\n{said}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert f"it is {REDACTED}" in {line["event"] for line in lines}
    assert lines[-1]["event"] == "uncaught_exception"
    assert key not in done.stderr
    assert "Nowak" not in done.stderr
