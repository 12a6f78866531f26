"""Who is one person: a keyed hash of the address, else of the number. Two conversations with one hash are one's."""

from typing import Final

from app.core.addresses import normalise_email
from app.core.keys import KeyRing

USE: Final = "person"
"""The use of `KeyRing` under which a person is hashed."""


def hmac_of(keys: KeyRing, *, email: str | None, phone: str | None) -> bytes | None:
    """The person as it is stored, with the current key; None for nobody we could reach."""
    known = _known(email, phone)
    return None if known is None else keys.digest(USE, known)


def hmacs_of(keys: KeyRing, *, email: str | None, phone: str | None) -> list[bytes]:
    """The person as it may be stored: with every key, the current one first."""
    known = _known(email, phone)
    return [] if known is None else list(keys.digests(USE, known).values())


def _known(email: str | None, phone: str | None) -> bytes | None:
    if email:
        try:
            return f"email:{normalise_email(email)}".encode()
        except ValueError:
            return f"email:{email}".encode()
    return f"phone:{phone}".encode() if phone else None
