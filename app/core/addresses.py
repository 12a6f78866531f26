"""The one form of an e-mail address: every write and every look-up uses it, so that `JAN@X.PL` is `jan@x.pl`."""

import unicodedata
from typing import Final

import idna

MAX_CHARACTERS: Final = 254
"""RFC 5321 section 4.5.3.1.3, less the angle brackets."""
MAX_LOCAL_CHARACTERS: Final = 64


def normalise_email(text: str) -> str:
    """`text` trimmed, in NFC and lower case, its domain in IDNA's ASCII form (RFC 5891).

    Dots and plus tags stay: some servers tell them apart, and to merge them would be to mistake one person for another.
    Raises ValueError, whose message repeats nothing of the text, when it is no address.
    """
    local, at, domain = unicodedata.normalize("NFC", text.strip()).lower().rpartition("@")
    if not (at and local and domain) or len(local) > MAX_LOCAL_CHARACTERS:
        raise ValueError("not an e-mail address")
    if any(not character.isprintable() or character.isspace() or character in '@<>,;:"()[]\\' for character in local):
        raise ValueError("not an e-mail address")
    try:
        host = idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise ValueError("not an e-mail address") from None
    address = f"{local}@{host}"
    if len(address) > MAX_CHARACTERS or "." not in host:
        raise ValueError("not an e-mail address")
    return address
