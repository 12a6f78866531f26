"""One mail to one recipient over SMTP, within one time limit, and what the server's answers mean.

Reply codes: RFC 5321 section 4.2, RFC 4954 section 6. A reply to the content that says no is a no; only silence or a
broken connection after DATA leaves open whether the mail arrived.
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, cast

import aiosmtplib

from worker.channels.base import Health, Outcome, OutcomeKind
from worker.channels.smtp_relay import Protection, Relay

GOODBYE_SECONDS: Final = 1.0

_UNAVAILABLE: Final = 421
_PERMANENT: Final = 500
_REPLIES: Final = range(400, 600)
_LOGIN_REFUSED: Final = frozenset({530, 534, 535, 538})


class Stage(IntEnum):
    """How far a conversation came."""

    CONNECT = 1
    LOGIN = 2
    MAIL = 3
    RCPT = 4
    DATA = 5


@dataclass(frozen=True, slots=True)
class Mail:
    """A finished mail with its envelope. Addresses are bare; their domains are ASCII."""

    sender: str
    recipient: str
    content: bytes

    @property
    def international(self) -> bool:
        """Whether an address needs SMTPUTF8 (RFC 6531)."""
        return not (self.sender.isascii() and self.recipient.isascii())


class _Conversation:
    def __init__(self, relay: Relay, *, hostname: str, tls: ssl.SSLContext) -> None:
        self.stage = Stage.CONNECT
        self.client = aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.port,
            local_hostname=hostname,
            timeout=None,
            use_tls=relay.protection is Protection.IMPLICIT,
            start_tls=False,
            tls_context=tls,
        )
        self._relay = relay

    async def send(self, mail: Mail) -> Outcome:
        """Speak until the mail is taken or refused."""
        refusal = await self._open() or await self._login()
        if refusal is not None:
            return refusal
        client = self.client
        if mail.international and not client.supports_extension("smtputf8"):
            return Outcome(OutcomeKind.PAYLOAD_PERMANENT, error="smtputf8_not_offered")
        options, encoding = (["SMTPUTF8"], "utf-8") if mail.international else ([], "ascii")
        self.stage = Stage.MAIL
        await client.mail(mail.sender, options=options, encoding=encoding)
        self.stage = Stage.RCPT
        await client.rcpt(mail.recipient, encoding=encoding)
        self.stage = Stage.DATA
        reply = await client.data(mail.content)
        return Outcome(OutcomeKind.DELIVERED, status=reply.code)

    async def _open(self) -> Outcome | None:
        client = self.client
        await client.connect()
        await client.ehlo()
        if self._relay.protection is Protection.IMPLICIT:
            return None
        if client.supports_extension("starttls"):
            await client.starttls()
            await client.ehlo()
        elif self._relay.protection is Protection.STARTTLS:
            return Outcome(OutcomeKind.NOT_SENT, error="starttls_not_offered")
        return None

    async def _login(self) -> Outcome | None:
        relay, client = self._relay, self.client
        if relay.user is None:
            return None
        self.stage = Stage.LOGIN
        if client.get_transport_info("sslcontext") is None and not relay.on_this_machine:
            return Outcome(OutcomeKind.DESTINATION_PERMANENT, error="login_needs_tls")
        if not client.supported_auth_methods:
            return Outcome(OutcomeKind.DESTINATION_PERMANENT, error="login_not_offered")
        await client.login(relay.user.encode(), relay.password.encode())
        return None

    async def close(self, *, politely: bool, deadline: float) -> None:
        """Say QUIT while there is time for it, and hang up. The outcome no longer depends on it."""
        if politely and self.client.is_connected:
            with suppress(aiosmtplib.SMTPException, OSError, ValueError):
                async with asyncio.timeout_at(min(deadline, asyncio.get_running_loop().time() + GOODBYE_SECONDS)):
                    await self.client.quit()
        # uvloop's transports are no subclasses of asyncio's.
        transport = cast("asyncio.Transport | None", self.client.transport)
        if transport is not None:
            transport.abort()
        self.client.close()


async def deliver(relay: Relay, mail: Mail, *, hostname: str, tls: ssl.SSLContext, total_seconds: float) -> Outcome:
    """Try once, within `total_seconds`. Introduces itself as `hostname`.

    Cancellation passes through; nothing else is raised.
    """
    deadline = asyncio.get_running_loop().time() + total_seconds
    conversation = _Conversation(relay, hostname=hostname, tls=tls)
    politely = False
    try:
        async with asyncio.timeout_at(deadline):
            outcome = await conversation.send(mail)
        politely = True
    except aiosmtplib.SMTPResponseException as refused:
        politely = refused.code in _REPLIES
        outcome = _by_code(conversation.stage, refused.code) if politely else _broken(conversation.stage, refused)
    except (aiosmtplib.SMTPException, OSError, ValueError) as broken:
        outcome = _broken(conversation.stage, broken)
    finally:
        await conversation.close(politely=politely, deadline=deadline)
    return outcome


def _by_code(stage: Stage, code: int) -> Outcome:
    error = f"smtp_{code}"
    if code in _LOGIN_REFUSED:
        return Outcome(OutcomeKind.DESTINATION_PERMANENT, status=code, error=error)
    if code >= _PERMANENT:
        kind = OutcomeKind.PAYLOAD_PERMANENT if stage >= Stage.RCPT else OutcomeKind.DESTINATION_PERMANENT
        return Outcome(kind, status=code, error=error)
    about_the_mail = stage >= Stage.MAIL and code != _UNAVAILABLE
    health = Health.ALIVE if about_the_mail else Health.FAILING
    return Outcome(OutcomeKind.NOT_SENT, status=code, error=error, health=health)


def _broken(stage: Stage, broken: Exception) -> Outcome:
    kind = OutcomeKind.AMBIGUOUS if stage is Stage.DATA else OutcomeKind.NOT_SENT
    return Outcome(kind, error=_class_of(stage, broken))


def _class_of(stage: Stage, broken: Exception) -> str:
    cause = broken.__cause__ if isinstance(broken, aiosmtplib.SMTPConnectError) else broken
    if isinstance(broken, TimeoutError) or isinstance(cause, TimeoutError):
        return "connect_timeout" if stage is Stage.CONNECT else "total_timeout"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "tls_untrusted"
    if isinstance(cause, ssl.SSLError):
        return "tls_failed"
    if isinstance(cause, socket.gaierror):
        return "name_not_found"
    if isinstance(broken, aiosmtplib.SMTPConnectError):
        return "connect_failed"
    return "connection_lost" if isinstance(cause, OSError) else "protocol_error"
