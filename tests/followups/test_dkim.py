"""DKIM: what leaves verifies against the public key alone, and the seal covers what it must."""

import base64
import re
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from uuid import uuid4

import dkim  # type: ignore[import-untyped]
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import SecretStr

from app.core.settings import Settings
from app.devstack.sink import smtp
from app.devstack.sink.app import RunningSink, running_sink
from app.devstack.sink.mail import read_mail
from app.devstack.sink.settings import SinkSettings
from tests.processes import worker
from worker.channels.base import Envelope, OutcomeKind, PersonalMail
from worker.channels.dkim import Seal
from worker.channels.email import EmailChannel

MAIL = PersonalMail(
    envelope=Envelope(uuid4()),
    recipient="anna.nowak@example.com",
    language="pl",
    subject="Zażółć gęślą jaźń w bardzo długim temacie, który trzeba zawinąć, bo się nie mieści",
    paragraphs=("Dzień dobry,", ".kropka na początku", "a" * 2000),
    farewell=("Rezygnuję", "https://chat.novahouse.example/u/v1.x"),
    headers=(
        ("List-Unsubscribe", "<https://chat.novahouse.example/u/v1." + "x" * 120 + ">"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    ),
)


@pytest.fixture(scope="module")
def key() -> tuple[str, bytes]:
    """A private key in PEM, and its public half as DNS would have it."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode(), b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)


@pytest.fixture
def seal(key: tuple[str, bytes]) -> Seal:
    """What signs."""
    return Seal(domain="novahouse.example", selector="s1", private_key=key[0])


@pytest.fixture
async def arrived(seal: Seal, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[bytes]:
    """The signed mail, byte for byte as a server received it."""
    raw: list[bytes] = []

    def noted(content: bytes, *, international: bool) -> object:
        raw.append(content)
        return read_mail(content, international=international)

    monkeypatch.setattr(smtp, "read_mail", noted)
    async with running_sink(SinkSettings()) as sink:
        yield await _send(sink, seal, raw)


async def _send(sink: RunningSink, seal: Seal, raw: list[bytes]) -> bytes:
    sender = "NovaHouse <czat@novahouse.example>"
    channel = EmailChannel(smtp_url=SecretStr(sink.smtp_url), mail_from=sender, recipient=None, seal=seal)
    assert (await channel.send(MAIL)).kind is OutcomeKind.DELIVERED
    [content] = raw
    return content


def verifies(mail: bytes, record: bytes) -> bool:
    """What a mailbox's server says that finds `record` in DNS."""

    def dns(name: bytes, timeout: int = 5) -> bytes | None:
        return record if name.rstrip(b".") == b"s1._domainkey.novahouse.example" else None

    return bool(dkim.verify(mail, dnsfunc=dns))


async def test_a_mail_verifies_as_it_arrives(arrived: bytes, key: tuple[str, bytes]) -> None:
    assert verifies(arrived, key[1])
    signature = str(message_from_bytes(arrived, policy=default)["DKIM-Signature"])
    tags = dict(re.findall(r"(\w+)=([^;]*)", "".join(signature.split())))
    assert (tags["d"], tags["s"], tags["a"], tags["c"]) == (
        "novahouse.example",
        "s1",
        "rsa-sha256",
        "relaxed/relaxed",
    )
    covered = tags["h"].split(":")
    assert covered.count("from") == 2
    assert {"to", "subject", "date", "message-id", "list-unsubscribe", "list-unsubscribe-post"} <= set(covered)
    assert "l" not in tags
    assert dict(MAIL.headers)["List-Unsubscribe"].encode() in arrived


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"List-Unsubscribe: <https", b"List-Unsubscribe: <http"),
        (b"To: anna", b"To: hanna"),
        (b"Message-ID: <", b"Message-ID: <1"),
        (b"From: ", b"From: Mallory <m@example.com>\r\nFrom: "),
        (b"kropka", b"kropki"),
    ],
)
async def test_a_mail_that_was_changed_does_not(
    before: bytes, after: bytes, arrived: bytes, key: tuple[str, bytes]
) -> None:
    assert before in arrived
    assert not verifies(arrived.replace(before, after, 1), key[1])


def test_a_key_in_one_line_is_the_same_key(key: tuple[str, bytes]) -> None:
    seal = Seal(domain="novahouse.example", selector="s1", private_key=key[0].replace("\n", "\\n"))
    assert verifies(seal.sign(b"From: a@novahouse.example\r\n\r\nx\r\n"), key[1])


@pytest.mark.parametrize("broken", ["nonsense", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"])
async def test_a_key_that_cannot_be_used_ends_the_start_with_one_line(
    broken: str, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SMTP_URL": "smtp://127.0.0.1:9",
        "MAIL_FROM": "czat@novahouse.example",
        "DKIM_DOMAIN": "novahouse.example",
        "DKIM_SELECTOR": "s1",
        "DKIM_PRIVATE_KEY": broken,
    }
    with pytest.raises(AssertionError) as failed:
        async with worker(environment, tmp_path / "worker.log"):
            pass
    lines = [line for line in str(failed.value).splitlines() if "DKIM" in line]
    assert len(lines) == 1
    assert "DKIM_PRIVATE_KEY: must be an RSA private key in PEM" in lines[0]
    assert "AAAA" not in (tmp_path / "worker.log").read_text()


def test_a_part_of_the_settings_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="go together"):
        Settings(dkim_domain="novahouse.example")


def test_a_mail_without_the_list_headers_is_signed_too(seal: Seal, key: tuple[str, bytes]) -> None:
    assert verifies(seal.sign(b"From: a@novahouse.example\r\nTo: b@example.com\r\n\r\nx\r\n"), key[1])
