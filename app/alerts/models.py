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
        CheckConstraint(
            "state IN ('pending', 'sending', 'retrying', 'delivered', 'cancelled', 'failed', 'discarded')", name="state"
        ),
        CheckConstraint("(state = 'delivered') = (delivered_at IS NOT NULL)", name="delivered_at"),
        CheckConstraint("(state = 'sending') = (lease_until IS NOT NULL)", name="lease"),
        CheckConstraint("state <> 'sending' OR lease_token IS NOT NULL", name="lease_token"),
        CheckConstraint("attempts >= attempts_before AND attempts_before >= 0", name="attempts"),
        Index("ix_outbound_alert_created_at_id", "created_at", "id"),
        Index("ix_outbound_alert_pending", "channel", "next_attempt_at", postgresql_where=text("state = 'pending'")),
        Index("ix_outbound_alert_retrying", "next_attempt_at", postgresql_where=text("state = 'retrying'")),
        Index("ix_outbound_alert_erased", "subject_id", postgresql_where=text("event = 'lead.erased'")),
        Index("ix_outbound_alert_sending", "lease_until", postgresql_where=text("state = 'sending'")),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    event: Mapped[str] = mapped_column(Text)
    """What happened, for example `lead.captured`."""
    channel: Mapped[str] = mapped_column(Text)
    subject_id: Mapped[UUID]
    """The row the event is about: the lead of `lead.captured` and `lead.hot`, the notice of `notice.*`."""
    conversation_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("chat_conversations.id", ondelete="SET NULL"), index=True
    )
    dedupe_key: Mapped[str] = mapped_column(Text, unique=True)
    state: Mapped[str] = mapped_column(Text, server_default="pending")
    """`pending`: the next free worker sends it. `retrying`: a dead letter that waits for its turn."""
    attempts: Mapped[int] = mapped_column(server_default="0")
    """Attempts begun. Counted before sending, so that an alert that kills its worker is bounded."""
    attempts_before: Mapped[int] = mapped_column(server_default="0")
    """Attempts of earlier rounds: an operator's retry begins a new round."""
    crashes: Mapped[int] = mapped_column(server_default="0")
    """Attempts in a row whose worker was never heard of again."""
    generation: Mapped[int] = mapped_column(server_default="1")
    """Rises when the remote proved that it created nothing: the number in idempotency keys."""
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_token: Mapped[UUID | None]
    """Who may settle. Stays after the lease lapsed until somebody else claims, so that a late answer still counts."""
    lease_until: Mapped[datetime | None]
    ambiguous_since: Mapped[datetime | None]
    """The first attempt that may have arrived without our hearing of it."""
    last_outcome: Mapped[str | None] = mapped_column(Text)
    last_error: Mapped[str | None] = mapped_column(Text)
    remote_ref: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(Text)
    """The HTTP request that caused it, to follow it through the logs."""
    trace_id: Mapped[str | None] = mapped_column(Text)
    """Of the W3C trace that this request belongs to."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    delivered_at: Mapped[datetime | None]


class DeliveryAttempt(Base):
    """What one attempt came to. Append-only."""

    __tablename__ = "delivery_attempt"
    __table_args__ = (Index("ix_delivery_attempt_started_at", "started_at", postgresql_using="brin"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    alert_id: Mapped[UUID] = mapped_column(ForeignKey("outbound_alert.id", ondelete="CASCADE"), index=True)
    attempt: Mapped[int]
    outcome: Mapped[str] = mapped_column(Text)
    status: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime]
    duration_ms: Mapped[int | None]
    """None for an attempt whose worker was never heard of again."""


class DeadLetter(Base):
    """An alert whose first delivery failed, as operators see it."""

    __tablename__ = "dead_letter_queue"
    __table_args__ = (
        CheckConstraint("status IN ('pending', 'delivered', 'failed', 'cancelled', 'discarded')", name="status"),
        CheckConstraint("(status = 'pending') = (closed_at IS NULL)", name="closed_at"),
        Index("ix_dead_letter_queue_created_at_id", "created_at", "id"),
        Index(
            "ix_dead_letter_queue_status_created_at_id", "status", "created_at", "id", postgresql_include=["channel"]
        ),
        Index("ix_dead_letter_queue_delivered", "closed_at", postgresql_where=text("status = 'delivered'")),
        Index(
            "ix_dead_letter_queue_unreported",
            "closed_at",
            postgresql_where=text("status = 'failed' AND escalation_id IS NULL"),
        ),
        Index("ix_dead_letter_queue_escalation_id", "escalation_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    alert_id: Mapped[UUID] = mapped_column(ForeignKey("outbound_alert.id", ondelete="CASCADE"), unique=True)
    channel: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default="pending")
    reason: Mapped[str] = mapped_column(Text)
    """The class of the last failure, for example `http_500`."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    closed_at: Mapped[datetime | None]
    escalation_id: Mapped[UUID | None] = mapped_column(ForeignKey("operator_notice.id", ondelete="SET NULL"))
    """The notice that told people of its failure."""


class OperatorNotice(Base):
    """Something that the people who run the service must be told; an alert of its own carries it."""

    __tablename__ = "operator_notice"
    __table_args__ = (
        CheckConstraint(_CHANNEL_CHECK, name="channel"),
        CheckConstraint(
            "kind IN ('notice.dead_letters', 'notice.channel_paused', 'notice.test', 'notice.privacy_due', "
            "'notice.erasure_failed')",
            name="kind",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    channel: Mapped[str | None] = mapped_column(Text)
    """The channel it is about, where it is about one."""
    reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ChannelGate(Base):
    """What holds a whole channel back, for all workers: its circuit breaker, the remote's wish, an operator's pause.

    One row for each channel, made by the migration.
    """

    __tablename__ = "channel_gate"
    __table_args__ = (
        CheckConstraint(_CHANNEL_CHECK, name="channel"),
        CheckConstraint("(probe_token IS NULL) = (probe_until IS NULL)", name="probe"),
    )

    channel: Mapped[str] = mapped_column(Text, primary_key=True)
    epoch: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Rises with every opening and closing of the breaker: results of sends from before count no more."""
    failures: Mapped[int] = mapped_column(server_default="0")
    """Failures in a row."""
    open_until: Mapped[datetime | None]
    """None: the breaker is closed. Past: half open, one trial call may pass."""
    open_reason: Mapped[str | None] = mapped_column(Text)
    opened_at: Mapped[datetime | None]
    probe_token: Mapped[UUID | None]
    """The lease token of the trial call under way."""
    probe_until: Mapped[datetime | None]
    blocked_until: Mapped[datetime | None]
    """Until when the remote asked us to wait."""
    blocked_reason: Mapped[str | None] = mapped_column(Text)
    paused_at: Mapped[datetime | None]
    paused_by: Mapped[str | None] = mapped_column(Text)
    """An operator as in `operator_action.actor`, or `worker` when the remote refused our settings."""
    paused_reason: Mapped[str | None] = mapped_column(Text)
    trial_at: Mapped[datetime | None]
    """When one call may try whether a pause of the worker's is over; None for an operator's pause."""
    next_slot_at: Mapped[datetime | None]
    """When the next send may begin on a channel with a pace."""
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
