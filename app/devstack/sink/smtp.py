"""A mail server for one machine: takes mail over real SMTP, keeps it, and misbehaves on command.

The protocol is aiosmtpd's. One connection counts as one request, since our sender opens one for each mail; how it is
answered is decided when it connects.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from typing import Any, Final, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from app.devstack.sink.control import delay
from app.devstack.sink.mail import MailRefusedError, read_mail
from app.devstack.sink.settings import SinkSettings
from app.devstack.sink.state import OBEDIENT, ChannelName, Mode, SinkState, Stage

HOST: Final = "127.0.0.1"
HOSTNAME: Final = "sink.novahouse.example"
MAX_MAIL_BYTES: Final = 1024 * 1024
IDLE_SECONDS: Final = 300.0

_UNAVAILABLE: Final = "421"
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)


class SmtpService:
    """Listens for mail. `tls` makes it offer STARTTLS; a user in SMTP_URL makes it want that user's password."""

    def __init__(
        self,
        settings: SinkSettings,
        state: SinkState,
        *,
        tls: ssl.SSLContext | None = None,
        international: bool = True,
    ) -> None:
        self._account = settings.smtp_account
        self._state = state
        self._tls = tls
        self._international = international
        self._server: asyncio.Server | None = None
        self._open: set[_Protocol] = set()

    async def start(self, port: int, *, implicit_tls: ssl.SSLContext | None = None) -> int:
        """Listen on `port`, 0 for any free one. Returns the port; OSError when it is taken."""
        server = await asyncio.get_running_loop().create_server(self._protocol, HOST, port, ssl=implicit_tls)
        self._server = server
        return int(server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Listen no longer, and break off every connection."""
        if self._server is not None:
            self._server.close()
            for protocol in list(self._open):
                protocol.break_off()
            await self._server.wait_closed()
            self._server = None

    def _protocol(self) -> "_Protocol":
        return _Protocol(
            _Player(self._state, self._account),
            self._open,
            data_size_limit=MAX_MAIL_BYTES,
            enable_SMTPUTF8=self._international,
            hostname=HOSTNAME,
            ident="NovaHouse sink",
            tls_context=self._tls,
            timeout=IDLE_SECONDS,
            auth_require_tls=self._account is None,
            authenticator=_authenticate,
            loop=asyncio.get_running_loop(),
        )


def _authenticate(server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: Any) -> AuthResult:
    player: _Player = server.event_handler
    return AuthResult(success=isinstance(given, LoginPassword) and player.knows(given), handled=False)


class _Player:
    """What one connection is answered: aiosmtpd's hooks, which return the reply."""

    def __init__(self, state: SinkState, account: tuple[str, str] | None) -> None:
        self._state = state
        self._account = account
        self._behaviour = OBEDIENT

    def knows(self, given: LoginPassword) -> bool:
        """Whether user and password are those of SMTP_URL."""
        said = given.login.decode("utf-8", "replace"), given.password.decode("utf-8", "replace")
        if said != self._account:
            self._refuse("535 5.7.8 The password is not that of SMTP_URL")
        return said == self._account

    async def greet(self, server: "_Protocol") -> str | None:
        """A reply in place of the banner, or None."""
        self._behaviour = self._state.arrived(ChannelName.EMAIL)
        return await self._play(server, Stage.CONNECT)

    async def handle_MAIL(  # noqa: N802  the library looks for this name
        self, server: "_Protocol", session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer MAIL FROM."""
        if self._account is not None and not session.authenticated:
            return self._refuse("530 5.7.0 Authentication required")
        instead = await self._play(server, Stage.MAIL)
        if instead is not None:
            return instead
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: "_Protocol", _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer RCPT TO."""
        instead = await self._play(server, Stage.RCPT)
        if instead is not None:
            return instead
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: "_Protocol", _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Answer the end of the content. With `accept` the mail is taken first."""
        taken = self._take(envelope) if self._behaviour.accept else None
        instead = await self._play(server, Stage.DATA)
        return instead or taken or self._take(envelope)

    async def handle_exception(self, error: Exception) -> str:
        """Answer a fault of the sink's own, and show it."""
        return self._refuse(f"451 4.3.0 The sink failed ({type(error).__name__})")

    def _take(self, envelope: Envelope) -> str:
        raw = envelope.content if isinstance(envelope.content, bytes) else b""
        try:
            content = read_mail(raw, international=bool(envelope.smtp_utf8))
        except MailRefusedError as refused:
            return self._refuse(f"554 5.6.0 {refused}", raw)
        senders = {"mail-from": str(envelope.mail_from), "rcpt-to": ", ".join(map(str, envelope.rcpt_tos))}
        self._state.accept(ChannelName.EMAIL, content, senders)
        return "250 2.0.0 Taken"

    def _refuse(self, reply: str, raw: bytes = b"") -> str:
        self._state.reject(ChannelName.EMAIL, status=int(reply[:3]), reason=reply[4:], body=raw)
        return reply

    async def _play(self, server: "_Protocol", stage: Stage) -> str | None:
        behaviour = self._behaviour
        if behaviour.mode is Mode.OK or behaviour.stage is not stage:
            return None
        if behaviour.mode is Mode.SLOW:
            await delay(behaviour, ChannelName.EMAIL, self._state)
            return None
        if behaviour.mode is Mode.STATUS:
            return f"{behaviour.status} {behaviour.body or 'commanded'}"
        if behaviour.mode is Mode.GARBAGE:
            return "this is not SMTP\r\n"
        if behaviour.mode is Mode.HANG:
            await self._state.interruption(ChannelName.EMAIL)
        server.break_off()
        await asyncio.Event().wait()  # what runs here is cancelled when the connection is gone
        return None


class _Protocol(SMTP):
    """aiosmtpd's protocol, which can also be broken off and can refuse instead of greeting."""

    def __init__(self, player: _Player, everyone: set["_Protocol"], **options: Any) -> None:
        super().__init__(player, **options)
        self._player = player
        self._everyone = everyone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._everyone.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._everyone.discard(self)
        super().connection_lost(error)

    async def push(self, status: Any) -> None:
        """Send a reply; 421 is the last one of a connection, and so is what is no reply at all."""
        await super().push(status)
        if isinstance(status, str) and (status.startswith(_UNAVAILABLE) or not status[:3].isdigit()):
            self._hang_up()

    def break_off(self) -> None:
        """Close with RST instead of FIN, so that the peer sees a connection reset."""
        # uvloop's transports are no subclasses of asyncio's.
        transport = cast("asyncio.Transport | None", self._original_transport or self.transport)
        if transport is not None:
            with contextlib.suppress(OSError, AttributeError):
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            with contextlib.suppress(AttributeError):  # TLS in Python 3.11.2, when the connection is gone already
                transport.abort()

    async def _handle_client(self) -> None:
        instead = await self._player.greet(self)
        if instead is None:
            await super()._handle_client()
        else:
            await self.push(instead)
            self._hang_up()

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.close()
