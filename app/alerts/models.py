"""Tables of delivery. `outbound_alert` is the only row that may cause a send; the others say what became of it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db import Base

CHANNELS = ("slack", "monday", "email")
_CHANNEL_CHECK = "channel IN ('slack', 'monday', 'email')"


class OutboundAlert(Base):
    """One event for one channel. It names its subject; the words are made from current rows when it is sent."""

    __tablename__ = "outbound_alert"
    __table_args__ = (
        CheckConstraint(_CHANNEL_CHECK, name="channel"),
        CheckConstraint("state IN ('pending', 'sending', 'delivered', 'cancelled', 'failed')", name="state"),
        CheckConstraint("(state = 'delivered') = (delivered_at IS NOT NULL)", name="delivered_at"),
        CheckConstraint("(state = 'sending') = (lease_token IS NOT NULL AND lease_until IS NOT NULL)", name="lease"),
        Index("ix_outbound_alert_created_at_id", "created_at", "id"),
        Index("ix_outbound_alert_pending", "next_attempt_at", postgresql_where=text("state = 'pending'")),
        Index("ix_outbound_alert_sending", "lease_until", postgresql_where=text("state = 'sending'")),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    event: Mapped[str] = mapped_column(Text)
    """What happened, for example `lead.captured`."""
    channel: Mapped[str] = mapped_column(Text)
    subject_id: Mapped[UUID]
    """The row the event is about: the lead of `lead.captured`."""
    conversation_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("chat_conversations.id", ondelete="SET NULL"), index=True
    )
    dedupe_key: Mapped[str] = mapped_column(Text, unique=True)
    state: Mapped[str] = mapped_column(Text, server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default="0")
    """Attempts begun. Counted before sending, so that an alert that kills its worker is bounded."""
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_token: Mapped[UUID | None]
    lease_until: Mapped[datetime | None]
    possible_repeat: Mapped[bool] = mapped_column(server_default=text("false"))
    """An attempt may have arrived without our hearing of it."""
    last_outcome: Mapped[str | None] = mapped_column(Text)
    last_error: Mapped[str | None] = mapped_column(Text)
    remote_ref: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(Text)
    """The HTTP request that caused it, to follow it through the logs."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    delivered_at: Mapped[datetime | None]


class DeliveryAttempt(Base):
    """One settled attempt. Append-only."""

    __tablename__ = "delivery_attempt"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    alert_id: Mapped[UUID] = mapped_column(ForeignKey("outbound_alert.id", ondelete="CASCADE"), index=True)
    attempt: Mapped[int]
    outcome: Mapped[str] = mapped_column(Text)
    status: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime]
    duration_ms: Mapped[int]


class DeadLetter(Base):
    """An alert whose first delivery failed, as operators see it."""

    __tablename__ = "dead_letter_queue"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'delivered', 'failed', 'cancelled')", name="status"),
        Index("ix_dead_letter_queue_created_at_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    alert_id: Mapped[UUID] = mapped_column(ForeignKey("outbound_alert.id", ondelete="CASCADE"), unique=True)
    channel: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default="pending")
    reason: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    closed_at: Mapped[datetime | None]


class ChannelGate(Base):
    """What holds a whole channel back, for all workers. No row: nothing does."""

    __tablename__ = "channel_gate"
    __table_args__ = (CheckConstraint(_CHANNEL_CHECK, name="channel"),)

    channel: Mapped[str] = mapped_column(Text, primary_key=True)
    blocked_until: Mapped[datetime]
    reason: Mapped[str] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
