"""Tables of the chat. Facts the visitor told us are columns; what the engine remembers is one small document."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    Numeric,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db import Base


class ChatConversation(Base):
    """One visitor's chat. Its id is the public `session_id`; its token is stored as a hash."""

    __tablename__ = "chat_conversations"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'handoff', 'closed')", name="state"),
        Index("ix_chat_conversations_created_at_id", "created_at", "id"),
        Index("ix_chat_conversations_state_created_at_id", "state", "created_at", "id"),
        Index("ix_chat_conversations_marketing", "last_message_at", postgresql_where=text("marketing_consent")),
        Index("ix_chat_conversations_email", "email", postgresql_where=text("email IS NOT NULL")),
        Index(
            "ix_chat_conversations_no_contact",
            "created_at",
            "id",
            postgresql_where=text("email IS NULL AND phone IS NULL"),
        ),
        Index("ix_chat_conversations_open", "last_message_at", "id", postgresql_where=text("state = 'open'")),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    locale: Mapped[str] = mapped_column(Text)
    language: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default="open")

    area_m2: Mapped[Decimal | None] = mapped_column(Numeric(8, 2))
    package: Mapped[str | None] = mapped_column(Text)
    city: Mapped[str | None] = mapped_column(Text)
    budget_pln: Mapped[int | None] = mapped_column(BigInteger)
    name: Mapped[str | None] = mapped_column(Text)
    phone: Mapped[str | None] = mapped_column(Text)
    email: Mapped[str | None] = mapped_column(Text)
    property_type: Mapped[str | None] = mapped_column(Text)

    rodo_consent: Mapped[bool | None]
    """The answer to `rodo`. NULL: not answered, which means no. The consent room's table is what sends rely on."""
    marketing_consent: Mapped[bool | None]

    memory: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    last_seq: Mapped[int] = mapped_column(server_default="0")
    """The newest message's number, and the version that a turn must have read in order to write."""
    visitor_messages: Mapped[int] = mapped_column(server_default="0")
    nudged_after: Mapped[int] = mapped_column(server_default="0")
    """How many messages the visitor had sent when they were last nudged."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_message_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ChatMessage(Base):
    """One bubble. `seq` counts from 1 within the conversation, without gaps."""

    __tablename__ = "chat_messages"
    __table_args__ = (
        CheckConstraint("role IN ('visitor', 'bot', 'human')", name="role"),
        Index(
            "uq_chat_messages_conversation_id_client_message_id",
            "conversation_id",
            "client_message_id",
            unique=True,
            postgresql_where=text("client_message_id IS NOT NULL"),
        ),
    )

    conversation_id: Mapped[UUID] = mapped_column(
        ForeignKey("chat_conversations.id", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID]
    client_message_id: Mapped[str | None] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    quick_replies: Mapped[list[dict[str, str]] | None] = mapped_column(JSONB(none_as_null=True))
    outcome: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """On a visitor's message: `context`, `state` and number of replies after its turn, so that a replay is exact."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Handoff(Base):
    """One time that a visitor asked for a person: from then until it is released the bot is silent."""

    __tablename__ = "handoff"
    __table_args__ = (
        CheckConstraint("(taken_at IS NULL) = (taken_by IS NULL)", name="taken"),
        Index("uq_handoff_open", "conversation_id", unique=True, postgresql_where=text("released_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("chat_conversations.id", ondelete="CASCADE"), index=True)
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    taken_at: Mapped[datetime | None]
    """When a person first answered."""
    taken_by: Mapped[str | None] = mapped_column(Text)
    """An operator as in `operator_action.actor`."""
    released_at: Mapped[datetime | None]


class MessageFeedback(Base):
    """What a visitor thinks of one of our messages: the last word counts."""

    __tablename__ = "message_feedback"
    __table_args__ = (
        CheckConstraint("rating IN ('up', 'down')", name="rating"),
        UniqueConstraint("conversation_id", "message_seq"),
        Index("ix_message_feedback_created_at_id", "created_at", "id"),
        Index("ix_message_feedback_rating_created_at_id", "rating", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("chat_conversations.id", ondelete="CASCADE"))
    message_seq: Mapped[int]
    rating: Mapped[str] = mapped_column(Text)
    comment: Mapped[str | None] = mapped_column(Text)
    """In the visitor's own words: personal data."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class UnansweredQuestion(Base):
    """A visitor's message that the assistant could not answer. The words are the message's own and nowhere else."""

    __tablename__ = "unanswered_question"
    __table_args__ = (
        UniqueConstraint("conversation_id", "seq"),
        CheckConstraint("status IN ('open', 'answered', 'dismissed')", name="status"),
        CheckConstraint("(status = 'open') = (decided_at IS NULL)", name="decided_at"),
        Index("ix_unanswered_question_status_asked_at_id", "status", "asked_at", "id", postgresql_include=["language"]),
        Index("ix_unanswered_question_decided_at", "decided_at", postgresql_where=text("decided_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("chat_conversations.id", ondelete="CASCADE"))
    seq: Mapped[int]
    """Of the message."""
    language: Mapped[str] = mapped_column(Text)
    asked_at: Mapped[datetime]
    status: Mapped[str] = mapped_column(Text, server_default="open")
    """`answered`: the knowledge has an answer since. `dismissed`: it needs none."""
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None] = mapped_column(Text)
    """An operator as in `operator_action.actor`."""
