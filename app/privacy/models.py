"""Tables of privacy requests, with the clock that the law sets, and of erasures that were carried out."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db import Base


class PrivacyRequest(Base):
    """A request that waits for the proof of an address: for access, erasure or withdrawal, or for marketing again.

    `opt_in` is caused by a consent in a conversation whose address is on the suppression list (`app.privacy.opt_in`).
    """

    __tablename__ = "privacy_request"
    __table_args__ = (
        CheckConstraint("type IN ('access', 'erasure', 'revoke', 'opt_in')", name="type"),
        CheckConstraint("state IN ('received', 'verified', 'done', 'expired')", name="state"),
        CheckConstraint("(state IN ('done', 'expired')) = (closed_at IS NOT NULL)", name="closed_at"),
        Index("ix_privacy_request_due_at", "due_at", postgresql_where=text("state IN ('received', 'verified')")),
        Index("ix_privacy_request_created_at_id", "created_at", "id"),
        Index("ix_privacy_request_address_hmac_mailed_at", "address_hmac", "mailed_at"),
        Index("ix_privacy_request_closed_at", "closed_at", postgresql_where=text("closed_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default="received")
    """`received`: the proof is mailed. `verified`: proved. `done`. `expired`: never proved in time."""
    locale: Mapped[str] = mapped_column(Text, server_default="pl")
    address: Mapped[str | None] = mapped_column(Text)
    """The address, as long as it is needed to answer; removed when the request is closed."""
    address_hmac: Mapped[bytes] = mapped_column(LargeBinary)
    key_id: Mapped[str] = mapped_column(Text)
    token_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Of the single-use token that is mailed; made when the mail is written, so that no row holds the token."""
    token_until: Mapped[datetime | None]
    mailed_at: Mapped[datetime | None]
    """When the mail with the newest token was written."""
    tries: Mapped[int] = mapped_column(server_default="0")
    access_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Of the bearer token that a successful proof gives, for fetching the export."""
    access_until: Mapped[datetime | None]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """What was done, in counts."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[datetime]
    """One month after it was received, GDPR art. 12(3)."""
    verified_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    warned_at: Mapped[datetime | None]
    """When operators were told that the month is running out."""


class Erasure(Base):
    """One erasure that was carried out. What is needed to carry it out again after a backup was restored."""

    __tablename__ = "erasure"
    __table_args__ = (Index("ix_erasure_at", "at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    subject_refs: Mapped[list[str]] = mapped_column(JSONB)
    """Ids of the conversations that were erased."""
    address_hmac: Mapped[bytes | None] = mapped_column(LargeBinary)
    key_id: Mapped[str | None] = mapped_column(Text)
    counts: Mapped[dict[str, Any]] = mapped_column(JSONB)
