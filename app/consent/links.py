"""Unsubscribe links: a signed token that needs no login, never expires and names nobody. Pure.

`v1.<key id>.<payload>.<mac>`, the last two in base64url without padding. The payload is the conversation's id, the
purpose and the id of the message that carried the link; the mac is HMAC-SHA256 over everything before it, under the
key ring's use `unsubscribe`. A secret that was replaced still verifies as long as it is in SECRET_KEYS_RETIRED.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.core.errors import NotFoundError
from app.core.keys import KeyRing

USE: Final = "unsubscribe"
MARKETING_EMAIL: Final = 1
"""The purpose's code in the payload. There is no other yet."""
_TOKEN: Final = re.compile(r"(v1\.([0-9a-f]{8})\.([A-Za-z0-9_-]{44}))\.([A-Za-z0-9_-]{43})")


class LinkUnknownError(NotFoundError):
    """The link was not made by us, or only a part of it arrived."""

    code = "link-unknown"
    title = "This link is not one of ours, or it is incomplete."


@dataclass(frozen=True, slots=True)
class Link:
    """What a token says: whose e-mail marketing to end, and which message said so."""

    conversation_id: UUID
    message_id: UUID


def make_token(keys: KeyRing, link: Link) -> str:
    """The token of a link, signed with the current key. The same link gives the same token."""
    payload = link.conversation_id.bytes + bytes([MARKETING_EMAIL]) + link.message_id.bytes
    signed = f"v1.{keys.current}.{_encode(payload)}"
    return f"{signed}.{_encode(keys.digest(USE, signed.encode()))}"


def read_token(keys: KeyRing, token: str) -> Link:
    """What a token says. Raises LinkUnknownError for whatever we did not sign, be it one bit."""
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        raise LinkUnknownError
    signed, key_id, payload, mac = parts.groups()
    digest = _decode(mac)
    if digest is None or not keys.matches(USE, signed.encode(), digest, key_id=key_id):
        raise LinkUnknownError
    content = _decode(payload)
    if content is None or content[16] != MARKETING_EMAIL:
        raise LinkUnknownError
    return Link(UUID(bytes=content[:16]), UUID(bytes=content[17:]))


def unsubscribe_url(base_url: str, keys: KeyRing, *, conversation_id: UUID, message_id: UUID) -> str:
    """The address that ends e-mail marketing of a conversation, for one message to it. `base_url` has no slash."""
    return f"{base_url}/u/{make_token(keys, Link(conversation_id, message_id))}"


def list_unsubscribe_headers(url: str) -> dict[str, str]:
    """The headers that every marketing mail carries (RFC 2369 section 3.2, RFC 8058 section 3.1).

    DKIM must cover both; RFC 8058 asks for an https address.
    """
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes | None:
    """The bytes, or None where the text is not the one way to write them: no token has a second spelling."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return None
    return data if _encode(data) == text else None
