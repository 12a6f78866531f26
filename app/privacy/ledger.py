"""The ledger of erasures: a file outside the database, so that a restored backup cannot bring an erased person back.

One JSON object a line, signed, written and synced before the erasure commits. A crash in between leaves a line whose
erasure did not happen; it is carried out by the next replay, as the person asked. Keep the file on other storage than
the database's, and at least as long as the oldest backup.
"""

import fcntl
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID

import orjson

from app.core.errors import UnavailableError
from app.core.keys import KeyRing

USE: Final = "erasure-ledger"
VERSION: Final = 1


class LedgerUnavailableError(UnavailableError):
    """The ledger cannot be written, so nothing was erased."""

    code = "erasure-ledger-unavailable"
    title = "The erasure could not be recorded; nothing was changed."


class LedgerBrokenError(Exception):
    """A line is not ours or was changed. The message says which and repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One erasure. Addresses are keyed hashes, by the id of their key."""

    id: UUID
    at: datetime
    conversations: tuple[UUID, ...]
    erased: Mapping[str, str]
    """Of the address whose every conversation was erased; empty when one conversation was."""
    suppressed: Sequence[tuple[str, str]]
    """Key id and hash of every address that gets no marketing since."""

    def signed(self, keys: KeyRing) -> bytes:
        """The line, with its line end."""
        content = {
            "v": VERSION,
            "id": str(self.id),
            "at": self.at.isoformat(),
            "conversations": [str(conversation) for conversation in self.conversations],
            "erased": dict(self.erased),
            "suppressed": [list(pair) for pair in self.suppressed],
            "key": keys.current,
        }
        signature = keys.digest(USE, orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hex()
        return orjson.dumps({**content, "signature": signature}) + b"\n"

    @classmethod
    def read(cls, content: dict[str, Any], keys: KeyRing) -> Self:
        """The entry of a line. ValueError, KeyError or TypeError when it is none of ours."""
        signature = bytes.fromhex(content.pop("signature"))
        data = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        if not keys.matches(USE, data, signature, key_id=content["key"]):
            raise ValueError("not our signature")
        return cls(
            id=UUID(content["id"]),
            at=datetime.fromisoformat(content["at"]),
            conversations=tuple(UUID(conversation) for conversation in content["conversations"]),
            erased=content["erased"],
            suppressed=[(key_id, digest) for key_id, digest in content["suppressed"]],
        )


class Ledger:
    """The file at `path`, signed and read with `keys`. Its calls block for as long as the disk takes."""

    def __init__(self, path: Path, keys: KeyRing) -> None:
        self._path = path
        self._keys = keys

    def append(self, entry: Entry) -> None:
        """Add an entry; it is on the disk when this returns. Raises LedgerUnavailableError."""
        try:
            new = not self._path.exists()
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                _write(file, self._torn(file) + entry.signed(self._keys))
                os.fsync(file)
            finally:
                os.close(file)
            if new:
                _sync_folder(self._path.parent)
        except OSError as error:
            raise LedgerUnavailableError from error

    def _torn(self, file: int) -> bytes:
        """A line end, when a crash left the last line without one."""
        size = os.fstat(file).st_size
        return b"\n" if size and os.pread(file, 1, size - 1) != b"\n" else b""

    def read(self) -> list[Entry]:
        """Every entry. A line that a crash tore is left out: its erasure did not commit. Raises LedgerBrokenError."""
        entries = []
        for number, line in enumerate(self._lines(), start=1):
            try:
                content = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            try:
                entries.append(Entry.read(content, self._keys))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise LedgerBrokenError(f"line {number} of the erasure ledger is not ours or was changed") from None
        return entries

    def _lines(self) -> list[bytes]:
        try:
            return [line for line in self._path.read_bytes().splitlines() if line]
        except FileNotFoundError:
            return []

    def state(self) -> tuple[int, int, int]:
        """What changes with every entry: inode, size and time of change. All zero while there is no file."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return 0, 0, 0
        return found.st_ino, found.st_size, found.st_mtime_ns


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
