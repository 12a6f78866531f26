"""The table of leads: one for each conversation that holds contact data."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Numeric, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db import Base


class Lead(Base):
    """Contact data and interest of one visitor. The conversation keeps filling it until sales takes over."""

    __tablename__ = "leads"
    __table_args__ = (
        CheckConstraint("status IN ('new', 'contacted', 'qualified', 'won', 'lost')", name="status"),
        CheckConstraint("score BETWEEN 0 AND 100", name="score"),
        Index("ix_leads_created_at_id", "created_at", "id"),
        Index("ix_leads_email", "email", postgresql_where=text("email IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("chat_conversations.id", ondelete="CASCADE"), unique=True)
    status: Mapped[str] = mapped_column(Text, server_default="new")
    score: Mapped[int]
    language: Mapped[str] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)
    phone: Mapped[str | None] = mapped_column(Text)
    email: Mapped[str | None] = mapped_column(Text)
    city: Mapped[str | None] = mapped_column(Text)
    property_type: Mapped[str | None] = mapped_column(Text)
    area_m2: Mapped[Decimal | None] = mapped_column(Numeric(8, 2))
    package: Mapped[str | None] = mapped_column(Text)
    budget_pln: Mapped[int | None] = mapped_column(BigInteger)
    rodo_consent: Mapped[bool | None]
    marketing_consent: Mapped[bool | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
