"""The arithmetic of the audit chain, without I/O and without the database's own functions.

`row_hash = SHA-256(prev_hash ‖ canonical)`, where `canonical` is the row as the text of a `jsonb` array in UTF-8:
seq, at (UTC, microseconds, `Z`), event, subject_ref, purpose, text_version, text_sha256, locale, surface, message_seq,
and the hex of evidence_hash when there is one. The first row's prev_hash is 32 zero bytes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from json import JSONEncoder
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from app.consent.service import Evidence

GENESIS: Final = bytes(32)
INSTANT_CHARACTERS: Final = len("2026-01-31T00:00:00.000000")

Reason = Literal[
    "seq_gap",
    "prev_hash",
    "row_hash",
    "evidence",
    "head",
    "checkpoint_differs",
    "checkpoint_beyond_end",
    "checkpoint_malformed",
    "checkpoint_signature",
    "checkpoint_key_unknown",
    "checkpoint_order",
    "anchor_unreadable",
]

_as_jsonb = JSONEncoder(ensure_ascii=False, check_circular=False).encode
"""PostgreSQL's text of a jsonb array of strings, integers and nulls: the same separators, the same escapes."""


class Row(NamedTuple):
    """One row of the log, and what is left of its evidence, in the order of `audit_repository.ROWS_SQL`."""

    seq: int
    at: datetime | None
    """None when it is an instant that Python cannot tell, which no clock of ours ever said."""
    event: str
    subject_ref: UUID
    purpose: str | None
    text_version: int | None
    text_sha256: str | None
    locale: str | None
    surface: str
    message_seq: int | None
    evidence_hash: bytes | None
    prev_hash: bytes
    row_hash: bytes
    salt: bytes | None
    ip: str | None
    user_agent: str | None
    conversation_id: UUID | None


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that does not hold, the entry it is at, and the anchor's line when it is a checkpoint."""

    reason: Reason
    seq: int | None = None
    line: int | None = None


def canonical(row: Row) -> bytes:
    """What is hashed of a row."""
    at = f"{row.at.isoformat(timespec='microseconds')[:INSTANT_CHARACTERS]}Z" if row.at else None
    values: list[str | int | None] = [row.seq, at, row.event, str(row.subject_ref), *row[4:10]]
    if row.evidence_hash is not None:
        values.append(row.evidence_hash.hex())
    return _as_jsonb(values).encode()


class Walk:
    """Follows the chain row by row from `seq` and its hash, by default from before the first row."""

    def __init__(self, seq: int = 0, row_hash: bytes = GENESIS) -> None:
        self.seq = seq
        self.row_hash = row_hash

    def follow(self, row: Row) -> Fault | None:
        """Go on to `row`; its fault when it is not the next one."""
        expected = self.seq + 1
        if row.seq != expected:
            return Fault("seq_gap", expected)
        if row.prev_hash != self.row_hash:
            return Fault("prev_hash", expected)
        if sha256(row.prev_hash + canonical(row)).digest() != row.row_hash:
            return Fault("row_hash", expected)
        self.seq, self.row_hash = expected, row.row_hash
        return None

    def end(self, head: tuple[int, bytes] | None) -> Fault | None:
        """The fault when the head row says that the chain ends elsewhere or otherwise."""
        if head == (self.seq, self.row_hash):
            return None
        if head is None or head[0] == self.seq:
            return Fault("head", self.seq)
        return Fault("head", min(self.seq, head[0]) + 1)


def evidence_holds(row: Row) -> bool:
    """Whether the evidence that is kept is what the row committed to, of the same person. None kept: it is."""
    if row.salt is None:
        return True
    kept = Evidence(salt=row.salt, ip=row.ip, user_agent=row.user_agent)
    return row.conversation_id == row.subject_ref and row.evidence_hash == kept.commitment


def rows_of(records: Iterable[Any]) -> Iterable[Row]:
    """Records of `audit_repository.ROWS_SQL` as rows."""
    return map(Row._make, records)
