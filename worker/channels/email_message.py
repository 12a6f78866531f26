"""A message as a mail: headers, addresses and the two forms of its body."""

from dataclasses import dataclass
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, Policy
from email.utils import format_datetime, getaddresses
from typing import Final, Self

import idna

from app.core import clock
from worker.channels import wording
from worker.channels.base import PersonalMail, Post
from worker.channels.email_html import as_html
from worker.channels.email_letter import as_text, letter_of

HEADER_LIMIT: Final = 200
LINE_LIMIT: Final = 998
"""RFC 5322 section 2.1.1, without the line's end."""


class _OneLine(UnstructuredHeader, BaseHeader):
    """A header that stays as it is. The library would make encoded words of a link longer than a line, and no mailbox
    finds a link in those.
    """

    def fold(self, *, policy: Policy) -> str:
        line = f"{self.name}: {self}"
        if not (line.isascii() and line.isprintable()) or len(line) > LINE_LIMIT:
            raise ValueError(f"{self.name} does not fit into one line")
        return line + policy.linesep


_HEADERS: Final = HeaderRegistry()
for _name in ("list-unsubscribe", "list-unsubscribe-post"):
    _HEADERS.map_to_type(_name, _OneLine)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A name and an address. The domain is ASCII; the local part need not be."""

    name: str
    local: str
    domain: str

    @classmethod
    def parse(cls, text: str, *, setting: str) -> Self:
        """Read `Name <local@domain>` or a bare address. ValueError names the setting it came from."""
        # parseaddr would take the first of several in silence.
        found = getaddresses([text]) if text.isprintable() else []
        name, address = found[0] if len(found) == 1 else ("", "")
        local, _, domain = address.rpartition("@")
        try:
            ascii_domain = domain if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")
            Address(username=local, domain=ascii_domain)
            usable = bool(local and ascii_domain) and Address(addr_spec=f"x@{ascii_domain}").domain == ascii_domain
        except (ValueError, IndexError):
            usable = False
        if not usable or any(character in local for character in ' "<>,;:()[]\\@'):
            raise ValueError(f"{setting}: must be an e-mail address")
        return cls(name, local, ascii_domain)

    @property
    def address(self) -> str:
        """The bare address."""
        return f"{self.local}@{self.domain}"


def compose(message: Post | PersonalMail, *, sender: Mailbox, recipient: Mailbox) -> bytes:
    """The mail, ready for DATA: ASCII only, unless an address itself is not."""
    letter = letter_of(message)
    international = not (sender.local.isascii() and recipient.local.isascii())
    mail = EmailMessage(policy=SMTP.clone(cte_type="7bit", utf8=international, header_factory=_HEADERS))
    mail["From"] = _address(sender)
    mail["To"] = _address(recipient)
    mail["Subject"] = _one_line(letter.subject)
    mail["Date"] = format_datetime(clock.now())
    mail["Message-ID"] = f"<{_unique(message)}@{sender.domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-NovaHouse-Alert"] = str(message.envelope.alert_id)
    for name, value in message.headers if isinstance(message, PersonalMail) else ():
        mail[name] = value
    mail.set_content(as_text(letter), charset="utf-8", cte="quoted-printable")
    mail.add_alternative(as_html(letter), subtype="html", charset="utf-8", cte="quoted-printable")
    return mail.as_bytes()


def _unique(message: Post | PersonalMail) -> str:
    """The same for every attempt, so that a mailbox can tell a repeat, unless each attempt says something new."""
    envelope = message.envelope
    fresh = isinstance(message, PersonalMail) and message.fresh
    return f"{envelope.alert_id}.{envelope.attempt}" if fresh else str(envelope.alert_id)


def _address(mailbox: Mailbox) -> Address:
    return Address(display_name=_one_line(mailbox.name), username=mailbox.local, domain=mailbox.domain)


def _one_line(text: str) -> str:
    """Header text in which no line can end and nothing looks like an encoded word, which would be decoded."""
    return wording.plain(text, HEADER_LIMIT).replace("=?", "= ?")
