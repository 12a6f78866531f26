"""Tables of follow-ups: each conversation gets each number at most once."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db import Base


class FollowupEvent(Base):
    """The n-th follow-up of a conversation. Its alert carries it by mail, where there is an address."""

    __tablename__ = "followup_event"
    __table_args__ = (
        UniqueConstraint("conversation_id", "followup_number"),
        CheckConstraint("followup_number BETWEEN 1 AND 100", name="followup_number"),
        CheckConstraint("state IN ('pending', 'sent', 'cancelled', 'failed')", name="state"),
        CheckConstraint("(state = 'pending') = (closed_at IS NULL)", name="closed_at"),
        Index("ix_followup_event_created_at_id", "created_at", "id"),
        Index("ix_followup_event_person_hmac_created_at", "person_hmac", "created_at"),
        Index("ix_followup_event_state_created_at_id", "state", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("chat_conversations.id", ondelete="CASCADE"))
    followup_number: Mapped[int]
    message: Mapped[str | None] = mapped_column(Text)
    """The words, as the conversation shows them."""
    state: Mapped[str] = mapped_column(Text, server_default="pending")
    """`pending`: written and not yet out of the house."""
    reason: Mapped[str | None] = mapped_column(Text)
    """Why it was cancelled or failed."""
    language: Mapped[str] = mapped_column(Text, server_default="pl")
    author: Mapped[str] = mapped_column(Text, server_default="schedule")
    """`schedule`, or the operator that asked for it."""
    person_hmac: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Keyed hash of the address or number: at most one follow-up a day for one person in all conversations."""
    message_seq: Mapped[int | None]
    """Its number in the conversation."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    closed_at: Mapped[datetime | None]
