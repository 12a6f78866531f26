"""The mail channel against real mail servers: what each fault of theirs means, and that each is one attempt."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from app.devstack.sink.app import RunningSink, running_sink
from app.devstack.sink.settings import SinkSettings
from app.devstack.sink.state import OBEDIENT, Behaviour, ChannelName, Mode, Stage
from tests.worker.channels.smtp_servers import Certificate, mail_server, make_certificate, scripted_server
from tests.worker.channels.support import ALERT, NOTICE, minutes_ago, with_envelope
from worker.channels.base import Health, Outcome, OutcomeKind
from worker.channels.email import EmailChannel

PASSWORD = "pass:word/ä@"
ACCOUNT = f"bot%40novahouse.example:{quote(PASSWORD, safe='')}"


def email_at(url: str, **changes: Any) -> EmailChannel:
    wiring: dict[str, Any] = {
        "mail_from": "NovaHouse <czat@novahouse.example>",
        "recipient": "ops@novahouse.example",
        "total_seconds": 0.6,
    }
    return EmailChannel(smtp_url=SecretStr(url), **{**wiring, **changes})


@pytest.fixture(scope="module")
async def shared_sink() -> AsyncIterator[RunningSink]:
    """A sink that takes mail from anyone."""
    async with running_sink(SinkSettings()) as running:
        yield running


@pytest.fixture
def sink(shared_sink: RunningSink) -> RunningSink:
    """The sink, knowing nothing of earlier tests."""
    shared_sink.state.clear()
    shared_sink.state.command(ChannelName.EMAIL, OBEDIENT, times=None)
    return shared_sink


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate that nobody trusts."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusted(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Certificate:
    """The same, trusted by whoever starts now."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    return certificate


def told(outcome: Outcome) -> tuple[OutcomeKind, str | None, Health]:
    return outcome.kind, outcome.error, outcome.remote_health


async def test_a_notice_arrives_as_mail(sink: RunningSink) -> None:
    outcome = await email_at(sink.smtp_url).send(NOTICE)
    assert outcome == Outcome(OutcomeKind.DELIVERED, status=250)
    [message] = sink.state.of(ChannelName.EMAIL)
    assert message.content["to"] == "ops@novahouse.example"
    assert message.content["from"] == "NovaHouse <czat@novahouse.example>"
    assert message.headers == {"mail-from": "czat@novahouse.example", "rcpt-to": "ops@novahouse.example"}
    assert sink.state.tallies[ChannelName.EMAIL].requests == 1


async def test_a_repeat_has_the_same_message_id_and_says_what_it_is(sink: RunningSink) -> None:
    channel = email_at(sink.smtp_url)
    sink.state.command(ChannelName.EMAIL, Behaviour(Mode.RESET, accept=True), times=1)
    assert (await channel.send(NOTICE)).kind is OutcomeKind.AMBIGUOUS
    assert (await channel.send(with_envelope(NOTICE, attempt=2, ambiguous_since=minutes_ago(1)))).status == 250
    first, second = (message.content for message in sink.state.messages)
    assert first["message_id"] == second["message_id"] == f"<{NOTICE.envelope.alert_id}@novahouse.example>"
    assert "possible repeat" not in first["text"].lower()
    assert all("possible repeat" in second[part].lower() for part in ("subject", "text", "html"))


NOT_SENT, AMBIGUOUS = OutcomeKind.NOT_SENT, OutcomeKind.AMBIGUOUS
DESTINATION, PAYLOAD = OutcomeKind.DESTINATION_PERMANENT, OutcomeKind.PAYLOAD_PERMANENT


@pytest.mark.parametrize(
    ("status", "at", "kind", "health"),
    [
        *((421, stage, NOT_SENT, Health.FAILING) for stage in Stage),
        (450, Stage.CONNECT, NOT_SENT, Health.FAILING),
        *((450, stage, NOT_SENT, Health.ALIVE) for stage in (Stage.MAIL, Stage.RCPT, Stage.DATA)),
        (452, Stage.DATA, NOT_SENT, Health.ALIVE),
        (550, Stage.CONNECT, DESTINATION, Health.ALIVE),
        (550, Stage.MAIL, DESTINATION, Health.ALIVE),
        (530, Stage.RCPT, DESTINATION, Health.ALIVE),
        (550, Stage.RCPT, PAYLOAD, Health.ALIVE),
        (550, Stage.DATA, PAYLOAD, Health.ALIVE),
        (552, Stage.DATA, PAYLOAD, Health.ALIVE),
    ],
)
async def test_each_reply_has_its_outcome(
    sink: RunningSink, status: int, at: Stage, kind: OutcomeKind, health: Health
) -> None:
    sink.state.command(ChannelName.EMAIL, Behaviour(Mode.STATUS, status=status, at=at), times=1)
    outcome = await email_at(sink.smtp_url).send(NOTICE)
    assert told(outcome) == (kind, f"smtp_{status}", health)
    assert outcome.status == status
    assert not sink.state.messages
    assert (await email_at(sink.smtp_url).send(NOTICE)).kind is OutcomeKind.DELIVERED


@pytest.mark.parametrize(
    ("mode", "at", "kind", "error"),
    [
        (Mode.HANG, Stage.CONNECT, NOT_SENT, "connect_timeout"),
        (Mode.HANG, Stage.MAIL, NOT_SENT, "total_timeout"),
        (Mode.HANG, Stage.RCPT, NOT_SENT, "total_timeout"),
        (Mode.HANG, Stage.DATA, AMBIGUOUS, "total_timeout"),
        (Mode.RESET, Stage.CONNECT, NOT_SENT, "connect_failed"),
        (Mode.RESET, Stage.MAIL, NOT_SENT, "connection_lost"),
        (Mode.RESET, Stage.RCPT, NOT_SENT, "connection_lost"),
        (Mode.RESET, Stage.DATA, AMBIGUOUS, "connection_lost"),
        (Mode.GARBAGE, Stage.CONNECT, NOT_SENT, "protocol_error"),
        (Mode.GARBAGE, Stage.DATA, AMBIGUOUS, "protocol_error"),
        (Mode.SLOW, Stage.DATA, AMBIGUOUS, "total_timeout"),
    ],
)
async def test_silence_is_ambiguous_only_after_data(
    sink: RunningSink, mode: Mode, at: Stage, kind: OutcomeKind, error: str
) -> None:
    sink.state.command(ChannelName.EMAIL, Behaviour(mode, at=at, delay_ms=60_000), times=1)
    began = asyncio.get_running_loop().time()
    assert told(await email_at(sink.smtp_url).send(NOTICE)) == (kind, error, Health.FAILING)
    assert asyncio.get_running_loop().time() - began < 0.9
    assert sink.state.tallies[ChannelName.EMAIL].requests == 1


@pytest.mark.parametrize("mode", [Mode.HANG, Mode.RESET, Mode.GARBAGE])
async def test_mail_that_was_taken_without_a_reply_is_ambiguous(sink: RunningSink, mode: Mode) -> None:
    sink.state.command(ChannelName.EMAIL, Behaviour(mode, accept=True), times=1)
    assert (await email_at(sink.smtp_url).send(NOTICE)).kind is AMBIGUOUS
    assert len(sink.state.messages) == 1


async def test_a_slow_server_in_time_is_a_delivery(sink: RunningSink) -> None:
    sink.state.command(ChannelName.EMAIL, Behaviour(Mode.SLOW, delay_ms=50), times=1)
    assert (await email_at(sink.smtp_url).send(NOTICE)).kind is OutcomeKind.DELIVERED


async def test_a_server_that_is_not_there_was_certainly_not_sent_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    refused = await email_at(f"smtp://127.0.0.1:{port}").send(NOTICE)
    assert told(refused) == (NOT_SENT, "connect_failed", Health.FAILING)
    unknown = await email_at("smtp://no-such-host.invalid", total_seconds=5).send(NOTICE)
    assert told(unknown) == (NOT_SENT, "name_not_found", Health.FAILING)


HELLO = (b"220 hi\r\n", b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n")


async def test_a_mail_that_was_taken_stays_delivered_when_the_server_does_not_wait_for_goodbye() -> None:
    async with scripted_server(*HELLO, b"250 taken\r\n") as port:
        outcome = await email_at(f"smtp://127.0.0.1:{port}").send(NOTICE)
    assert outcome == Outcome(OutcomeKind.DELIVERED, status=250)


@pytest.mark.parametrize("reply", [b"299 hm\r\n", b"354 again\r\n", b"2\r\n", b"x" * 70_000 + b"\r\n"])
async def test_a_reply_that_is_neither_yes_nor_no_is_ambiguous(reply: bytes) -> None:
    async with scripted_server(*HELLO, reply) as port:
        outcome = await email_at(f"smtp://127.0.0.1:{port}").send(NOTICE)
    assert (outcome.kind, outcome.error) == (AMBIGUOUS, "protocol_error")


async def test_a_password_is_used_and_a_wrong_one_stops_the_channel() -> None:
    settings = SinkSettings(smtp_url=SecretStr(f"smtp://{ACCOUNT}@x"))
    async with mail_server(settings=settings) as server:
        where = f"127.0.0.1:{server.port}"
        assert (await email_at(f"smtp://{ACCOUNT}@{where}").send(NOTICE)).kind is OutcomeKind.DELIVERED
        wrong = await email_at(f"smtp://bot:wrong@{where}").send(NOTICE)
        missing = await email_at(f"smtp://{where}").send(NOTICE)
    assert told(wrong) == (DESTINATION, "smtp_535", Health.ALIVE)
    assert told(missing) == (DESTINATION, "smtp_530", Health.ALIVE)
    async with mail_server() as server:
        unwanted = await email_at(f"smtp://{ACCOUNT}@127.0.0.1:{server.port}").send(NOTICE)
    assert told(unwanted) == (DESTINATION, "login_not_offered", Health.ALIVE)


async def test_a_password_never_leaves_the_machine_in_the_clear() -> None:
    async with scripted_server(b"220 hi\r\n", b"250-hi\r\n250 AUTH PLAIN\r\n", b"235 thanks\r\n") as port:
        # 0.0.0.0 reaches this machine without being its loopback address.
        outcome = await email_at(f"smtp://{ACCOUNT}@0.0.0.0:{port}").send(NOTICE)
    assert told(outcome) == (DESTINATION, "login_needs_tls", Health.ALIVE)


async def test_starttls_that_is_required_is_required(sink: RunningSink) -> None:
    outcome = await email_at(sink.smtp_url.replace("smtp://", "smtp+starttls://")).send(NOTICE)
    assert told(outcome) == (NOT_SENT, "starttls_not_offered", Health.FAILING)
    assert not sink.state.messages


@pytest.mark.parametrize("scheme", ["smtp", "smtp+starttls"])
async def test_starttls_is_used_with_a_certificate_that_is_verified(certificate: Certificate, scheme: str) -> None:
    async with mail_server(tls=certificate.server_context()) as server:
        outcome = await email_at(f"{scheme}://127.0.0.1:{server.port}").send(NOTICE)
    assert told(outcome) == (NOT_SENT, "tls_untrusted", Health.FAILING)


async def test_a_trusted_certificate_serves_starttls_and_a_login(trusted: Certificate) -> None:
    settings = SinkSettings(smtp_url=SecretStr(f"smtp://{ACCOUNT}@x"))
    async with mail_server(settings=settings, tls=trusted.server_context()) as server:
        outcome = await email_at(f"smtp+starttls://{ACCOUNT}@127.0.0.1:{server.port}").send(NOTICE)
        assert outcome.kind is OutcomeKind.DELIVERED
        wrong_name = await email_at(f"smtp+starttls://{ACCOUNT}@localhost:{server.port}").send(NOTICE)
    assert wrong_name.error == "tls_untrusted"


async def test_implicit_tls_is_verified(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    async with mail_server(implicit_tls=certificate.server_context()) as server:
        untrusted = await email_at(f"smtps://127.0.0.1:{server.port}").send(NOTICE)
        assert told(untrusted) == (NOT_SENT, "tls_untrusted", Health.FAILING)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
        assert (await email_at(f"smtps://127.0.0.1:{server.port}").send(NOTICE)).kind is OutcomeKind.DELIVERED


async def test_implicit_tls_to_a_plain_server_was_certainly_not_sent(sink: RunningSink) -> None:
    outcome = await email_at(sink.smtp_url.replace("smtp://", "smtps://")).send(NOTICE)
    assert outcome.kind is NOT_SENT
    assert outcome.error in {"tls_failed", "connect_failed"}


async def test_without_a_recipient_nothing_is_sent(sink: RunningSink) -> None:
    outcome = await email_at(sink.smtp_url, recipient=None).send(NOTICE)
    assert told(outcome) == (DESTINATION, "no_recipient", Health.ALIVE)
    assert sink.state.tallies[ChannelName.EMAIL].requests == 0


async def test_an_international_address_needs_a_server_that_knows_them(sink: RunningSink) -> None:
    assert (await email_at(sink.smtp_url, recipient="żółw@novahouse.example").send(NOTICE)).status == 250
    async with mail_server(international=False) as server:
        url = f"smtp://127.0.0.1:{server.port}"
        refused = await email_at(url, recipient="żółw@novahouse.example").send(NOTICE)
        assert told(refused) == (PAYLOAD, "smtputf8_not_offered", Health.ALIVE)
        assert (await email_at(url, recipient="ops@żółw.example").send(NOTICE)).kind is OutcomeKind.DELIVERED
        [message] = server.state.messages
    [international] = sink.state.messages
    assert international.content["to"] == "żółw@novahouse.example"
    assert message.content["to"] == "ops@xn--w-uga1v8h.example"


async def test_cancelling_a_send_is_not_swallowed(sink: RunningSink) -> None:
    sink.state.command(ChannelName.EMAIL, Behaviour(Mode.HANG), times=1)
    sending = asyncio.create_task(email_at(sink.smtp_url, total_seconds=20).send(NOTICE))
    async with asyncio.timeout(5):
        while not sink.state.tallies[ChannelName.EMAIL].requests:  # noqa: ASYNC110 - another task's counter
            await asyncio.sleep(0.01)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_outcomes_hold_no_secret_and_no_person(sink: RunningSink) -> None:
    said = Behaviour(Mode.STATUS, status=550, body="no mailbox ops@novahouse.example secret")
    sink.state.command(ChannelName.EMAIL, said, times=1)
    refused = repr(await email_at(sink.smtp_url).send(ALERT))
    async with mail_server() as server:
        unwanted = repr(await email_at(f"smtp://{ACCOUNT}@127.0.0.1:{server.port}").send(ALERT))
    for secret in ("secret", "127.0.0.1", "ops@", "Kowalski", "pass"):
        assert secret not in refused + unwanted


async def test_many_at_once_each_arrive_once(sink: RunningSink) -> None:
    channel = email_at(sink.smtp_url, total_seconds=20)
    outcomes = await asyncio.gather(*(channel.send(NOTICE) for _ in range(30)))
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.DELIVERED}
    assert len(sink.state.messages) == 30


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "smtp://host:99999"}, "SMTP_URL: scheme or port cannot be used"),
        ({"url": "smtp://bot:se/cret@host"}, "SMTP_URL: scheme or port cannot be used"),
        ({"url": "http://host"}, "SMTP_URL: scheme or port cannot be used"),
        ({"mail_from": "nobody"}, "MAIL_FROM: must be an e-mail address"),
        ({"mail_from": "NovaHouse <a@b>\r\nBcc: x@y.example"}, "MAIL_FROM: must be an e-mail address"),
        ({"recipient": "a@b>,<c@d.example"}, "ESCALATION_EMAIL: must be an e-mail address"),
        ({"recipient": "a b@c.example"}, "ESCALATION_EMAIL: must be an e-mail address"),
    ],
)
def test_settings_that_cannot_be_used_are_named_and_not_repeated(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        email_at(changes.pop("url", "smtp://127.0.0.1"), **changes)
