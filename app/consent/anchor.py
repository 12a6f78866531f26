"""The anchor: a file outside the database whose lines say, signed, where the audit chain stood.

One JSON object a line: `{"seq", "row_hash", "at", "key_id", "signature"}`, seq ascending. `signature` is the hex of
`KeyRing.digest("audit-checkpoint", data)` where `data` is the JSON array `[seq,row_hash,at]` without spaces.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.consent.chain import Reason
from app.core.keys import KeyRing
from app.core.settings import Settings

USE: Final = "audit-checkpoint"
MAX_LINE_BYTES: Final = 1_024
_START: Final = b'{"seq":'

_Hash = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class AnchorError(Exception):
    """The anchor cannot be used as it is. The message says why in one sentence."""

    def __init__(self, reason: Reason, message: str, *, seq: int | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.seq = seq
        self.line = line


class Checkpoint(BaseModel):
    """Where the chain stood: its row `seq` had the hash `row_hash`."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    seq: Annotated[int, Field(ge=1)]
    row_hash: _Hash
    at: Annotated[str, StringConstraints(max_length=40)]
    key_id: Annotated[str, StringConstraints(max_length=64)]
    signature: _Hash

    @classmethod
    def sign(cls, keys: KeyRing, *, seq: int, row_hash: bytes, at: datetime) -> Self:
        """A checkpoint signed with the current key."""
        data = orjson.dumps([seq, row_hash.hex(), at.isoformat()])
        return cls(
            seq=seq,
            row_hash=row_hash.hex(),
            at=at.isoformat(),
            key_id=keys.current,
            signature=keys.digest(USE, data).hex(),
        )

    def check(self, keys: KeyRing, *, line: int | None = None) -> None:
        """Raises AnchorError when it is not signed with one of `keys`."""
        if self.key_id not in keys.ids:
            raise AnchorError(
                "checkpoint_key_unknown",
                f"signed with the key {self.key_id[:16]!a}, which is neither SECRET_KEY nor in SECRET_KEYS_RETIRED",
                seq=self.seq,
                line=line,
            )
        data = orjson.dumps([self.seq, self.row_hash, self.at])
        if not keys.matches(USE, data, bytes.fromhex(self.signature), key_id=self.key_id):
            raise AnchorError("checkpoint_signature", "the signature is not ours", seq=self.seq, line=line)


class Anchor:
    """The file at `path`, read and written with `keys`. Its methods block: call them in a thread where that matters."""

    def __init__(self, path: Path, keys: KeyRing) -> None:
        self._path = path
        self.keys = keys

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """The anchor that AUDIT_ANCHOR names; None without one."""
        return cls(settings.audit_anchor, KeyRing.of(settings)) if settings.audit_anchor else None

    def prepare(self) -> None:
        """Create the file unless it is there. Raises AnchorError when it cannot be written."""
        with self._open():
            pass

    def checkpoints(self) -> Iterator[Checkpoint]:
        """Every checkpoint, checked, in the file's order; none when there is no file. Raises AnchorError at the first
        that is not valid.

        A last line without its end that is no checkpoint is a write that a crash cut short: it never counted.
        """
        try:
            with self._path.open("rb") as file:
                yield from self._read(iter(lambda: file.readline(MAX_LINE_BYTES), b""))
        except FileNotFoundError:
            return
        except OSError as error:
            raise AnchorError("anchor_unreadable", f"cannot be read: {error.strerror}") from error

    def _read(self, lines: Iterator[bytes]) -> Iterator[Checkpoint]:
        last = 0
        for number, line in enumerate(lines, 1):
            try:
                checkpoint = Checkpoint.model_validate_json(line)
            except ValidationError:
                if not _cut_short(line):
                    raise AnchorError("checkpoint_malformed", "is no checkpoint", line=number) from None
                return
            checkpoint.check(self.keys, line=number)
            if checkpoint.seq <= last:
                raise AnchorError("checkpoint_order", "goes back", seq=checkpoint.seq, line=number)
            last = checkpoint.seq
            yield checkpoint

    def last(self) -> Checkpoint | None:
        """The newest checkpoint, checked; None when there is none yet. Raises AnchorError."""
        with self._open() as file:
            return self._last(file)

    def append(self, checkpoint: Checkpoint, *, after: Checkpoint | None) -> bool:
        """Write `checkpoint` behind `after`, durably; false when another process has written meanwhile.

        Raises AnchorError.
        """
        with self._open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if self._last(file) != after:
                return False
            self._end_last_line(file)
            line = checkpoint.model_dump_json().encode() + b"\n"
            if os.write(file, line) != len(line):
                raise AnchorError("anchor_unreadable", "cannot be written: no space")
            os.fsync(file)
            if after is None:
                _keep_name(self._path.parent)
            return True

    @contextmanager
    def _open(self) -> Iterator[int]:
        file = None
        try:
            file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            yield file
        except OSError as error:
            raise AnchorError("anchor_unreadable", f"cannot be written: {error.strerror}") from error
        finally:
            if file is not None:
                os.close(file)

    def _last(self, file: int) -> Checkpoint | None:
        *complete, rest = _tail(file).split(b"\n")
        for line in (rest, *complete[-1:]):
            try:
                checkpoint = Checkpoint.model_validate_json(line)
            except ValidationError:
                if line is rest and _cut_short(rest):
                    continue
                raise AnchorError("checkpoint_malformed", "the last line is no checkpoint") from None
            checkpoint.check(self.keys)
            return checkpoint
        return None

    def _end_last_line(self, file: int) -> None:
        """Complete the last line when only its end is missing; take it away when more is, as a crash may leave it."""
        rest = _tail(file).rpartition(b"\n")[2]
        if not rest:
            return
        try:
            Checkpoint.model_validate_json(rest)
        except ValidationError:
            os.ftruncate(file, os.fstat(file).st_size - len(rest))
        else:
            os.write(file, b"\n")


def _tail(file: int) -> bytes:
    """The end of a file: its last line that is complete and whatever follows it."""
    return os.pread(file, 2 * MAX_LINE_BYTES, max(0, os.fstat(file).st_size - 2 * MAX_LINE_BYTES))


def _cut_short(line: bytes) -> bool:
    """Whether a line may be the beginning of a checkpoint, and nothing but that."""
    return len(line) < MAX_LINE_BYTES and not line.endswith(b"\n") and line[: len(_START)] == _START[: len(line)]


def _keep_name(folder: Path) -> None:
    """Make the name of a new file as durable as what is in it."""
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
