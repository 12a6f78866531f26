"""The mail server that SMTP_URL names, and how to speak to it.

SMTP_URL chooses the protection. In every form a certificate is verified, against SSL_CERT_FILE where the environment
sets it, and a user and a password stand percent-encoded before the host.

| scheme | port | protection |
|---|---|---|
| `smtp://` | 25 | STARTTLS when the server offers it, otherwise none; a password then goes to this machine only |
| `smtp+starttls://` | 587 | STARTTLS or nothing |
| `smtps://` | 465 | TLS from the first byte |
"""

import ipaddress
from dataclasses import dataclass
from enum import Enum
from typing import Final, Self
from urllib.parse import unquote, urlsplit


class Protection(Enum):
    """How the connection is encrypted."""

    OPPORTUNISTIC = "smtp"
    STARTTLS = "smtp+starttls"
    IMPLICIT = "smtps"


_PORTS: Final = {Protection.OPPORTUNISTIC: 25, Protection.STARTTLS: 587, Protection.IMPLICIT: 465}


@dataclass(frozen=True, slots=True)
class Relay:
    """A mail server and how to speak to it."""

    host: str
    port: int
    protection: Protection
    user: str | None
    password: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read SMTP_URL. ValueError when it cannot be used; its words hold nothing of the URL."""
        parts = urlsplit(url)
        try:
            protection = Protection(parts.scheme)
            port = parts.port or _PORTS[protection]
        except ValueError:
            raise ValueError("SMTP_URL: scheme or port cannot be used") from None
        if not parts.hostname:
            raise ValueError("SMTP_URL: there is no host")
        user = unquote(parts.username) if parts.username else None
        return cls(parts.hostname, port, protection, user, unquote(parts.password or ""))

    @property
    def on_this_machine(self) -> bool:
        """Whether nobody else can listen on the way there."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
