"""The table of follow-ups: each conversation gets each number at most once."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Text, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db import Base


class FollowupEvent(Base):
    """The n-th follow-up of a conversation."""

    __tablename__ = "followup_event"
    __table_args__ = (
        UniqueConstraint("conversation_id", "followup_number"),
        CheckConstraint("followup_number BETWEEN 1 AND 100", name="followup_number"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("chat_conversations.id", ondelete="CASCADE"))
    followup_number: Mapped[int]
    message: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
