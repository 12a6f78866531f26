"""A received mail taken apart: what a mailbox would show, or why a careful mail server would not take it."""

import email
from email.message import EmailMessage
from email.policy import default
from typing import Any, Final

_ONCE: Final = ("From", "To", "Subject", "Date", "Message-ID")


class MailRefusedError(Exception):
    """The mail breaks a rule of RFC 5322; the message says which."""


def read_mail(raw: bytes, *, international: bool) -> dict[str, Any]:
    """From, to, subject, message_id, headers, text and html of a mail, decoded.

    MailRefusedError when it cannot be parsed, when a header that must be there once is not, or when a header holds
    bytes beyond ASCII without SMTPUTF8.
    """
    head = raw.partition(b"\r\n\r\n")[0]
    if not international and not head.isascii():
        raise MailRefusedError("a header is not ASCII, and SMTPUTF8 was not asked for")
    try:
        parsed = email.message_from_bytes(raw, _class=EmailMessage, policy=default)
        return _content(parsed)
    except (AttributeError, IndexError, LookupError, TypeError, ValueError) as broken:
        raise MailRefusedError(f"the mail cannot be parsed ({type(broken).__name__})") from None


def _content(parsed: EmailMessage) -> dict[str, Any]:
    for name in _ONCE:
        found = len(parsed.get_all(name, []))
        if found != 1:
            raise MailRefusedError(f"there are {found} {name} headers and not 1")
    headers: dict[str, str] = {}
    for name, value in parsed.items():
        headers[name] = f"{headers[name]}\n{_clean(value)}" if name in headers else _clean(value)
    return {
        "from": headers["From"],
        "to": headers["To"],
        "subject": headers["Subject"],
        "message_id": headers["Message-ID"],
        "headers": headers,
        "text": _body(parsed, "plain"),
        "html": _body(parsed, "html"),
    }


def _body(parsed: EmailMessage, kind: str) -> str | None:
    part = parsed.get_body((kind,))
    return _clean(part.get_content()) if isinstance(part, EmailMessage) else None


def _clean(text: Any) -> str:
    """Text that UTF-8 can hold, with plain line ends."""
    return str(text).replace("\r\n", "\n").encode("utf-8", "replace").decode()
