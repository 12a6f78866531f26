"""Mail on the page: its headers and its text, and a frame in which its HTML form is shown.

The frame loads the mail from an address of its own instead of `srcdoc`, because a document in `srcdoc` is bound to the
page's policy: either the mail would lose its inline styles or the page would have to allow them. The mail's policy
allows those and nothing else, and its sandbox holds even where the address is opened alone.
"""

from html import escape
from typing import Final

from app.devstack.sink.state import Message

SHOWN: Final = 30
OPEN: Final = 2
"""How many of the newest are unfolded; the frame of a folded one is not even loaded."""
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_ABOVE: Final = frozenset({"from", "to", "subject"})


def mails(messages: list[Message], times: list[str]) -> str:
    """The newest mails first, as an inbox shows them."""
    if not messages:
        return '<p class="empty">No mail yet. It arrives when the service has trouble to tell of.</p>'
    newest = zip(messages[:SHOWN], times, strict=False)
    return "".join(_mail(message, time, unfolded=index < OPEN) for index, (message, time) in enumerate(newest))


def _mail(message: Message, time: str, *, unfolded: bool) -> str:
    mail = message.content
    frame = (
        f'<iframe sandbox="" loading="lazy" referrerpolicy="no-referrer" title="{escape(mail["subject"])}" '
        f'src="/mails/{message.id}"></iframe>'
        if mail["html"]
        else ""
    )
    text = f"<pre>{escape(mail['text'] or '(empty)')}</pre>"
    beside = f'<details id="t{message.id}"><summary>Plain text</summary>{text}</details>' if frame else text
    return (
        f'<details class="m-mail" id="m{message.id}"{" open" if unfolded else ""}>'
        f"<summary><b>{escape(mail['subject'])}</b> {time}"
        f"<span>{escape(mail['from'])} → {escape(mail['to'])}</span></summary>{frame}{beside}"
        f'<details id="h{message.id}"><summary>Headers</summary><pre>{_headers(message)}</pre></details></details>'
    )


def _headers(message: Message) -> str:
    shown = ((name, value) for name, value in message.content["headers"].items() if name.lower() not in _ABOVE)
    envelope = message.headers.items()
    return escape("\n".join(f"{name}: {value}" for name, value in (*shown, *envelope)))
