"""A pooler in transaction mode, as unkind as one may be: every transaction goes to another server connection.

It speaks as much of PostgreSQL's protocol (version 3, chapter "Message Flow") as clients without TLS need, knows
nothing of prepared statements, and refuses startup parameters that it does not know, as PgBouncer does.
"""

import asyncio
import base64
import hashlib
import hmac
import itertools
import secrets
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from tests.listening import listening

SERVERS: Final = 3
_KNOWN: Final = {"user", "database", "application_name", "client_encoding", "datestyle", "timezone"}
_IDLE: Final = b"I"
_GONE: Final = b""


class _Server:
    """One connection to PostgreSQL, logged in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.greeting = b""


class Pooler:
    """Listens, and gives each transaction of a client the server connection that has rested longest."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url.replace("postgresql+asyncpg://", "postgresql://"))
        self._free: asyncio.Queue[_Server] = asyncio.Queue()
        self._numbers = itertools.count(1_000_000)
        self.transactions = 0
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients find it."""
        return urlunsplit(self._parts._replace(netloc=f"{self._parts.username}@127.0.0.1:{self.port}", query=""))

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Pooler"]:
        """Serve until the block ends."""
        for _ in range(SERVERS):
            self._free.put_nowait(await self._log_in())
        try:
            async with listening(self._talk) as self.port:
                yield self
        finally:
            while not self._free.empty():
                self._free.get_nowait().writer.close()

    async def _log_in(self) -> _Server:
        server = _Server(*await asyncio.open_connection(self._parts.hostname, self._parts.port))
        named = {"user": self._parts.username or "", "database": self._parts.path.lstrip("/")}
        body = struct.pack("!I", 196608) + b"".join(f"{k}\0{v}\0".encode() for k, v in named.items()) + b"\0"
        server.writer.write(struct.pack("!I", len(body) + 4) + body)
        await _authenticate(server, unquote(self._parts.password or ""))
        while True:
            kind, payload = await _message(server.reader)
            assert kind != b"E", payload
            if kind == b"S":
                server.greeting += _packed(kind, payload)
            if kind == b"Z":
                return server

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await self._greet(reader, writer):
            await self._relay(reader, writer)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        while True:
            (length,) = struct.unpack("!I", await reader.readexactly(4))
            payload = await reader.readexactly(length - 4)
            (code,) = struct.unpack("!I", payload[:4])
            if code != 80877103:  # an SSLRequest; anything else is the startup itself
                break
            writer.write(b"N")
        fields = payload[4:].rstrip(b"\0").split(b"\0")
        unknown = [name.decode() for name in fields[::2] if name.decode().lower() not in _KNOWN]
        if unknown:
            text = f"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: {unknown[0]}\0\0"
            writer.write(_packed(b"E", text.encode()))
            return False
        server = await self._free.get()
        self._free.put_nowait(server)
        key = struct.pack("!II", next(self._numbers), 1)
        writer.write(_packed(b"R", struct.pack("!I", 0)) + server.greeting + _packed(b"K", key) + _packed(b"Z", _IDLE))
        return True

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said: asyncio.Queue[bytes] = asyncio.Queue()
        listening = asyncio.create_task(_listen(reader, said))
        try:
            while (first := await said.get()) != _GONE:
                server = await self._free.get()
                self.transactions += 1
                server.writer.write(first)
                passing_on = asyncio.create_task(_pass_on(said, server.writer))
                try:
                    await _answer(server.reader, writer)
                finally:
                    passing_on.cancel()
                    self._free.put_nowait(server)
        finally:
            listening.cancel()


async def _listen(reader: asyncio.StreamReader, said: asyncio.Queue[bytes]) -> None:
    """Read what a client says until it goes."""
    try:
        while (message := _packed(*await _message(reader)))[:1] != b"X":
            said.put_nowait(message)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    said.put_nowait(_GONE)


async def _pass_on(said: asyncio.Queue[bytes], writer: asyncio.StreamWriter) -> None:
    while (message := await said.get()) != _GONE:
        writer.write(message)
    said.put_nowait(_GONE)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Relay until the server says that no transaction is open any more."""
    kind, payload = b"", b""
    while (kind, payload) != (b"Z", _IDLE):
        kind, payload = await _message(reader)
        writer.write(_packed(kind, payload))
    await writer.drain()


async def _authenticate(server: _Server, password: str) -> None:
    """SCRAM-SHA-256 (RFC 5802, RFC 7677), without checking the server."""
    _, payload = await _message(server.reader)
    assert payload.startswith(struct.pack("!I", 10)), payload
    first = f"n=,r={secrets.token_urlsafe(18)}"
    hello = f"n,,{first}".encode()
    server.writer.write(_packed(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(hello)) + hello))
    challenge = (await _message(server.reader))[1][4:].decode()
    nonce, salt, rounds = (part[2:] for part in challenge.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(rounds))
    key = hmac.digest(salted, b"Client Key", "sha256")
    last = f"c=biws,r={nonce}"
    signed = hmac.digest(hashlib.sha256(key).digest(), f"{first},{challenge},{last}".encode(), "sha256")
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signed, strict=True))).decode()
    server.writer.write(_packed(b"p", f"{last},p={proof}".encode()))
    while (await _message(server.reader))[1] != struct.pack("!I", 0):
        pass


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind = await reader.readexactly(1)
    (length,) = struct.unpack("!I", await reader.readexactly(4))
    return kind, await reader.readexactly(length - 4)


def _packed(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack("!I", len(payload) + 4) + payload
