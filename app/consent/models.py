"""Tables of consent: versioned texts, current answers, the append-only log, the suppression list and its errands."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db import Base

PURPOSES = ("rodo", "marketing_email", "marketing_phone")
_PURPOSE_CHECK = "purpose IN ('rodo', 'marketing_email', 'marketing_phone')"


class ConsentText(Base):
    """The exact words somebody was shown. Rows are never changed: a new wording is a new version."""

    __tablename__ = "consent_text"
    __table_args__ = (CheckConstraint(_PURPOSE_CHECK, name="purpose"),)

    purpose: Mapped[str] = mapped_column(Text, primary_key=True)
    locale: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ConsentState(Base):
    """The latest answer of one conversation to one purpose. No row: never answered, which means no."""

    __tablename__ = "consent_state"
    __table_args__ = (CheckConstraint(_PURPOSE_CHECK, name="purpose"),)

    conversation_id: Mapped[UUID] = mapped_column(
        ForeignKey("chat_conversations.id", ondelete="CASCADE"), primary_key=True
    )
    purpose: Mapped[str] = mapped_column(Text, primary_key=True)
    granted: Mapped[bool]
    audit_seq: Mapped[int] = mapped_column(BigInteger)
    decided_at: Mapped[datetime]


class ConsentAudit(Base):
    """One event of somebody's consent. Append-only, hash-chained, without personal data.

    Rows are written by the database function `consent_audit_append` alone, which numbers them without gaps and
    chains `row_hash = sha256(prev_hash || canonical row)`; triggers refuse UPDATE, DELETE and TRUNCATE.
    """

    __tablename__ = "consent_audit_log"
    __table_args__ = (Index("ix_consent_audit_log_at", "at", postgresql_using="brin"),)

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    event: Mapped[str] = mapped_column(Text)
    subject_ref: Mapped[UUID] = mapped_column(index=True)
    """A random id: the conversation's, which says nothing once the conversation is erased."""
    purpose: Mapped[str | None] = mapped_column(Text)
    text_version: Mapped[int | None]
    text_sha256: Mapped[str | None] = mapped_column(Text)
    locale: Mapped[str | None] = mapped_column(Text)
    surface: Mapped[str] = mapped_column(Text)
    message_seq: Mapped[int | None]
    """The visitor's message that says it, when it was said in the chat."""
    prev_hash: Mapped[bytes] = mapped_column(LargeBinary)
    row_hash: Mapped[bytes] = mapped_column(LargeBinary)
    evidence_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Commitment to the row of `consent_evidence`: SHA-256 over its salt and its values. It outlives that row."""


class ConsentEvidence(Base):
    """From where somebody decided: personal data, kept apart from the log so that it can be deleted."""

    __tablename__ = "consent_evidence"

    audit_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("chat_conversations.id", ondelete="CASCADE"), index=True)
    salt: Mapped[bytes] = mapped_column(LargeBinary)
    ip: Mapped[str | None] = mapped_column(Text)
    """Truncated: IPv4 to /24, IPv6 to /48."""
    user_agent: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class ConsentAuditHead(Base):
    """The chain's last link, one row; locking it puts concurrent writers in one order."""

    __tablename__ = "consent_audit_head"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(BigInteger)
    row_hash: Mapped[bytes] = mapped_column(LargeBinary)


class Suppression(Base):
    """An address that must get no marketing, as a keyed hash: it outlives the person's other data.

    Only its owner's confirmation of a new consent lifts it. `scope` is `marketing`.
    """

    __tablename__ = "suppression"

    address_hmac: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    key_id: Mapped[str] = mapped_column(Text, primary_key=True)
    scope: Mapped[str] = mapped_column(Text, primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    renewed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    """When somebody last said no: a confirmation that was asked for earlier lifts nothing."""


class UnsubscribeRequest(Base):
    """An address that was unsubscribed and whose conversations do not all say so yet.

    The suppression list has it already, or a link was followed that reached another address of the same person. When
    the work is done the row goes, and with it the address.
    """

    __tablename__ = "unsubscribe_request"
    __table_args__ = (
        CheckConstraint("address IS NOT NULL OR address_hmac IS NOT NULL", name="address"),
        CheckConstraint("(address_hmac IS NULL) = (key_id IS NULL)", name="key_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    address: Mapped[str | None] = mapped_column(Text)
    """None: the worker looks for it, among those that are held, by its hash."""
    address_hmac: Mapped[bytes | None] = mapped_column(LargeBinary)
    key_id: Mapped[str | None] = mapped_column(Text)
    added: Mapped[bool]
    """Whether this request put the address on the suppression list, which the audit log has yet to say."""
    audit_seq: Mapped[int] = mapped_column(BigInteger)
    """The newest audit entry when it was asked for: consents given later, which lift the suppression, stay."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class MailedAddress(Base):
    """Where a marketing mail went, as a keyed hash: the link in it acts on that address, whatever is held by then."""

    __tablename__ = "mailed_address"
    __table_args__ = (
        UniqueConstraint("message_id", "address_hmac"),
        CheckConstraint("(address_hmac IS NULL) = (key_id IS NULL)", name="key_id"),
        Index("ix_mailed_address_address_hmac", "address_hmac"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    message_id: Mapped[UUID]
    """The follow-up, as the link names it."""
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("chat_conversations.id", ondelete="CASCADE"), index=True)
    address_hmac: Mapped[bytes | None] = mapped_column(LargeBinary)
    """None once its person was erased: the link then finds no address and takes no other for it."""
    key_id: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class OptInCheck(Base):
    """A conversation that agreed to marketing by e-mail, or gave an address afterwards.

    A worker looks whether the address is on the suppression list, and asks by mail if it is. The row is the same for
    every address and goes when the worker has looked.
    """

    __tablename__ = "opt_in_check"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("chat_conversations.id", ondelete="CASCADE"), index=True)
    asked_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
