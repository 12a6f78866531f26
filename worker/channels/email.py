"""Mail: send one message to one recipient, read the server's answers.

Every attempt at one alert has the same Message-ID, so that a mailbox that got it twice can tell; the mail says so too.
"""

import asyncio
import ssl

from pydantic import SecretStr

from worker.channels.base import (
    NOT_FOR_THIS_CHANNEL,
    Deletion,
    HandoffAlert,
    Health,
    Message,
    Outcome,
    OutcomeKind,
    PersonalMail,
    Post,
)
from worker.channels.dkim import Seal
from worker.channels.email_message import Mailbox, compose
from worker.channels.http import TOTAL_SECONDS
from worker.channels.smtp import Mail, deliver
from worker.channels.smtp_relay import Relay


class EmailChannel:
    """Messages for us to the one address behind `recipient`, personal mail to the person it is for.

    Each takes a connection of its own. With a `seal` every mail is signed.

    ValueError when an address or the URL cannot be used.
    """

    name = "email"

    def __init__(
        self,
        *,
        smtp_url: SecretStr,
        mail_from: str,
        recipient: str | None,
        total_seconds: float = TOTAL_SECONDS,
        seal: Seal | None = None,
    ) -> None:
        self._seal = seal
        self._relay = Relay.parse(smtp_url.get_secret_value())
        self._sender = Mailbox.parse(mail_from, setting="MAIL_FROM")
        self._recipient = Mailbox.parse(recipient, setting="ESCALATION_EMAIL") if recipient else None
        self._total_seconds = total_seconds
        self._tls = ssl.create_default_context()

    async def send(self, message: Message) -> Outcome:
        """Hand the mail over once. Never raises for a fault of the server or of the network."""
        if isinstance(message, Deletion | HandoffAlert):
            return NOT_FOR_THIS_CHANNEL
        try:
            recipient = _recipient(message) or self._recipient
        except ValueError:
            return Outcome(OutcomeKind.PAYLOAD_PERMANENT, error="address_unusable", health=Health.UNKNOWN)
        if recipient is None:
            return Outcome(OutcomeKind.DESTINATION_PERMANENT, error="no_recipient")
        content = compose(message, sender=self._sender, recipient=recipient)
        if self._seal is not None:
            content = await asyncio.to_thread(self._seal.sign, content)
        return await deliver(
            self._relay,
            Mail(self._sender.address, recipient.address, content),
            hostname=self._sender.domain,
            tls=self._tls,
            total_seconds=self._total_seconds,
        )

    async def aclose(self) -> None:
        """There is nothing to give back: no connection outlives its mail."""


def _recipient(message: Post | PersonalMail) -> Mailbox | None:
    """Whom a message names itself; None for one that goes to us. ValueError when no mail can be addressed so."""
    return Mailbox.parse(message.recipient, setting="recipient") if isinstance(message, PersonalMail) else None
