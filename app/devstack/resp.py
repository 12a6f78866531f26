"""Just enough Redis protocol to ask whether a server is there and how long a key still lives, in no start-up time."""

import socket
import ssl
from urllib.parse import parse_qs, unquote, urlsplit

TIMEOUT_SECONDS = 2.0
DEFAULT_PORT = 6379


class RedisUnavailable(Exception):  # noqa: N818  says what is the case
    """Redis does not answer as it should. The message is one short reason without the URL."""


class RedisClient:
    """One question per connection to the server of a redis://, rediss:// or unix:// URL."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._scheme = parts.scheme
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or DEFAULT_PORT
        self._path = unquote(parts.path)
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        in_path = "" if self._scheme == "unix" else self._path.strip("/")
        self._database = in_path or parse_qs(parts.query).get("db", ["0"])[0]

    def ping(self) -> None:
        """Raises RedisUnavailable unless it accepts the password and answers."""
        self._ask("PING")

    def milliseconds_left(self, key: str) -> int:
        """The key's remaining life; negative if it does not exist or lives for ever."""
        return int(self._ask("PTTL", key).removeprefix(":"))

    def _ask(self, *question: str) -> str:
        commands = [question]
        if self._database != "0":
            commands.insert(0, ("SELECT", self._database))
        if self._password:
            commands.insert(0, ("AUTH", *([self._user] if self._user else []), self._password))
        reply = ""
        try:
            with self._connect() as connection, connection.makefile("rwb") as stream:
                for command in commands:
                    stream.write(_encode(command))
                    stream.flush()
                    reply = stream.readline().decode(errors="replace").strip()
                    if reply.startswith("-") or not reply:
                        raise RedisUnavailable(reply.removeprefix("-") or "the connection was closed")
        except OSError as failure:
            raise RedisUnavailable(failure.strerror or str(failure)) from failure
        return reply

    def _connect(self) -> socket.socket:
        if self._scheme == "unix":
            local = socket.socket(socket.AF_UNIX)
            local.settimeout(TIMEOUT_SECONDS)
            local.connect(self._path)
            return local
        plain = socket.create_connection((self._host, self._port), timeout=TIMEOUT_SECONDS)
        if self._scheme == "rediss":
            return ssl.create_default_context().wrap_socket(plain, server_hostname=self._host)
        return plain


def _encode(command: tuple[str, ...]) -> bytes:
    words = [word.encode() for word in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
