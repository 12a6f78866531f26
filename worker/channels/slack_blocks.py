"""The parts that our Slack messages are built of, each within Slack's limits and with its escaping.

Limits and escaping are Slack's (docs.slack.dev/reference/block-kit/blocks and /messaging/formatting-message-text):
at most 50 blocks, header 150 characters of plain_text, section text 3,000, ten fields of 2,000, ten context elements;
`&`, `<` and `>` become entities. mrkdwn has no way to escape `*`, `_` or `~`, and `&gt;` at the start of a line is
still a quote there, so text that is not ours belongs into plain_text objects.
"""

from typing import Any, Final

from worker.channels import wording
from worker.channels.base import Envelope

HEADER_LIMIT: Final = 150
FIELD_LIMIT: Final = 2000
SECTION_LIMIT: Final = 3000
FALLBACK_LIMIT: Final = 300
MAX_FIELDS: Final = 10

REPEAT_MARK: Final = "możliwe powtórzenie"

_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_TABLE: Final = str.maketrans(_ENTITIES)

Block = dict[str, Any]


def escape(text: str) -> str:
    """`text` with Slack's three entities."""
    return text.translate(_TABLE)


def escape_within(text: str, limit: int) -> str:
    """`text` with Slack's three entities, cut so that the escaped form has at most `limit` UTF-16 units."""
    whole = escape(text)
    if wording.width(whole) <= limit:
        return whole
    kept: list[str] = []
    room = limit - 1
    for character in text:
        piece = _ENTITIES.get(character, character)
        room -= wording.width(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept) + "…"


def header(text: str) -> Block:
    """The large first line."""
    return {"type": "header", "text": plain_text(text, HEADER_LIMIT)}


def section(text: str) -> Block:
    """A paragraph of anybody's text."""
    return {"type": "section", "text": plain_text(text, SECTION_LIMIT)}


def context(*ours: str) -> Block:
    """A line in small grey print."""
    return {"type": "context", "elements": [mrkdwn(text) for text in ours]}


def mrkdwn(ours: str) -> Block:
    """A formatted text object, already escaped. `verbatim` keeps Slack from making links and mentions of its own."""
    return {"type": "mrkdwn", "text": ours, "verbatim": True}


def plain_text(text: str, limit: int) -> Block:
    """A text object that Slack shows as it is."""
    return {"type": "plain_text", "text": escape_within(text, limit), "emoji": False}


def repeat_note(envelope: Envelope) -> list[Block]:
    """For sales: that an earlier attempt may have arrived; nothing on a first one."""
    if not envelope.possible_repeat:
        return []
    return [context(f":repeat: *{REPEAT_MARK}* – wcześniejsza próba mogła już dotrzeć")]


def reach(phone: str | None, email: str | None) -> list[Block]:
    """For sales: fields with a visitor's number and address, as links where they are what they should be."""
    fields = []
    number = wording.phone_number(phone)
    if number is not None:
        fields.append(mrkdwn(f"*Telefon*\n<tel:{number}|{wording.phone_for_people(number)}>"))
    elif phone:
        fields.append(plain_text(f"Telefon: {wording.plain(phone, 60)}", FIELD_LIMIT))
    address = wording.email_address(email)
    if address is not None:
        fields.append(mrkdwn(f"*E-mail*\n<mailto:{address}|{address}>"))
    elif email:
        fields.append(plain_text(f"E-mail: {wording.plain(email, 254)}", FIELD_LIMIT))
    return fields
