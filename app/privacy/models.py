"""The table of privacy requests, with the clock that the law sets."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, LargeBinary, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db import Base


class PrivacyRequest(Base):
    """A request for access, erasure or withdrawal. The address is kept as a keyed hash."""

    __tablename__ = "privacy_request"
    __table_args__ = (
        CheckConstraint("type IN ('access', 'erasure', 'revoke')", name="type"),
        CheckConstraint("state IN ('received', 'verified', 'done', 'expired')", name="state"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default="received")
    address_hmac: Mapped[bytes] = mapped_column(LargeBinary)
    key_id: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[datetime]
    """One month after it was received, GDPR art. 12(3)."""
    closed_at: Mapped[datetime | None]
