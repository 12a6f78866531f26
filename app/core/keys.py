"""Keyed hashes for what must be recognised and not read: addresses on the suppression list, signed links, checkpoints.

Keys are derived from SECRET_KEY, one for each use, so that a hash of one use is worth nothing in another. Secrets that
SECRET_KEY replaced stay in SECRET_KEYS_RETIRED: what they signed must still be recognised, and an erased person's
address cannot be hashed anew.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Self

from app.core.settings import DEVELOPMENT_SECRET, Settings


class KeyRing:
    """The current secret and those before it, each known by a short id that says nothing of it."""

    def __init__(self, current: str, retired: Sequence[str] = ()) -> None:
        self._secrets = {_key_id(secret): secret.encode() for secret in (current, *retired)}
        self.current = _key_id(current)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The ring that the environment describes."""
        current = settings.secret_key.get_secret_value() if settings.secret_key else DEVELOPMENT_SECRET
        return cls(current, [secret.get_secret_value() for secret in settings.secret_keys_retired])

    @property
    def ids(self) -> tuple[str, ...]:
        """Every key's id, the current one first."""
        return tuple(self._secrets)

    def digest(self, use: str, data: bytes, *, key_id: str | None = None) -> bytes:
        """HMAC-SHA256 of `data` for one use, with the current key or another. Raises KeyError for an unknown one."""
        derived = hmac.digest(self._secrets[key_id or self.current], use.encode(), hashlib.sha256)
        return hmac.digest(derived, data, hashlib.sha256)

    def digests(self, use: str, data: bytes) -> dict[str, bytes]:
        """The same under every key, by key id."""
        return {key_id: self.digest(use, data, key_id=key_id) for key_id in self._secrets}

    def matches(self, use: str, data: bytes, digest: bytes, *, key_id: str) -> bool:
        """Whether `digest` is that of `data`, in constant time; false for an unknown key."""
        if key_id not in self._secrets:
            return False
        return hmac.compare_digest(self.digest(use, data, key_id=key_id), digest)


def _key_id(secret: str) -> str:
    return hashlib.sha256(b"novahouse key id\0" + secret.encode()).hexdigest()[:8]
