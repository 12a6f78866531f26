"""Mail servers for tests beyond the sink's usual one: with certificates, with less to offer, or with a script."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

from app.devstack.sink.settings import SinkSettings
from app.devstack.sink.smtp import SmtpService
from app.devstack.sink.state import SinkState


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate for 127.0.0.1 that no system trusts."""

    path: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """For a server that shows it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path, self.key)
        return context


def make_certificate(folder: Path) -> Certificate:
    """A new one, by an authority that nobody knows."""
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    made.path.write_bytes(b"".join(part.bytes() for part in (*issued.cert_chain_pems, authority.cert_pem)))
    made.key.write_bytes(issued.private_key_pem.bytes())
    return made


@dataclass(frozen=True, slots=True)
class MailServer:
    """One that listens."""

    port: int
    state: SinkState


@asynccontextmanager
async def mail_server(
    *, implicit_tls: ssl.SSLContext | None = None, settings: SinkSettings | None = None, **options: Any
) -> AsyncIterator[MailServer]:
    """The sink's mail server alone, with these options."""
    state = SinkState()
    service = SmtpService(settings or SinkSettings(), state, **options)
    port = await service.start(0, implicit_tls=implicit_tls)
    try:
        yield MailServer(port, state)
    finally:
        state.closing.set()
        await service.stop()


@asynccontextmanager
async def scripted_server(*replies: bytes) -> AsyncIterator[int]:
    """A server that greets with the first reply, answers each command with the next, and then hangs up.

    What follows the reply 354 is read as content and answered by the reply after it. Yields the port.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            for reply in replies:
                writer.write(reply)
                await writer.drain()
                await reader.readuntil(b"\r\n.\r\n" if reply.startswith(b"354") else b"\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
