"""Tables of the operation itself. None holds personal data."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, LargeBinary, Text, func
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db import Base


class OperatorAction(Base):
    """One thing that an operator did, written in the transaction that did it. Append-only."""

    __tablename__ = "operator_action"
    __table_args__ = (
        Index("ix_operator_action_at_id", "at", "id"),
        Index("ix_operator_action_target_at", "target", "at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor: Mapped[str] = mapped_column(Text)
    """Who: `key:<prefix>/<name>` of an API key, `key:admin`, or `cli:<user of the machine>`."""
    action: Mapped[str] = mapped_column(Text)
    """What, for example `channel.pause` or `dead_letter.retry`."""
    target: Mapped[str] = mapped_column(Text)
    """On what: a channel's name, an API key's prefix or a row's id."""
    reason: Mapped[str | None] = mapped_column(Text)
    """Why, in the operator's words."""
    count: Mapped[int] = mapped_column(server_default="1")
    """How many rows it changed, or took out of the house."""
    request_id: Mapped[str | None] = mapped_column(Text)


class ScheduledJob(Base):
    """The last runs of one scheduled job. PostgreSQL decides whose run is due, whoever rings for it."""

    __tablename__ = "scheduled_job"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    every: Mapped[timedelta]
    """The interval that the last worker to run it was set to."""
    started_at: Mapped[datetime]
    succeeded_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    """The class of the last failure's error."""
    last_count: Mapped[int | None]
    """How many rows the last success touched."""


class IdempotencyKey(Base):
    """The answer to a request that named an `Idempotency-Key`, written in the transaction of its effect."""

    __tablename__ = "idempotency_key"

    scope: Mapped[str] = mapped_column(Text, primary_key=True)
    """Whose key it is, and on which operation."""
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    """SHA-256 of the request, so that another one under the same key is noticed."""
    status: Mapped[int]
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class ApiKey(Base):
    """A program's way in. The key itself was shown once and is kept nowhere."""

    __tablename__ = "api_key"
    __table_args__ = (CheckConstraint("octet_length(key_hash) = 32", name="key_hash"),)

    prefix: Mapped[str] = mapped_column(Text, primary_key=True)
    """The part of the key that people may see, never given twice."""
    key_hash: Mapped[bytes] = mapped_column(LargeBinary)
    """SHA-256 of the whole key. It has 256 random bits, so a plain digest cannot be guessed back."""
    name: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    """To the minute."""


class RateLimit(Base):
    """What operators made of one limit while the service runs, and what it refused."""

    __tablename__ = "rate_limit"

    policy: Mapped[str] = mapped_column(Text, primary_key=True)
    """`chat`, `api-hour` and so on; what the policy adds to its name in headers is not part of it."""
    value: Mapped[str | None] = mapped_column(Text)
    """In place of the environment's; None where that holds."""
    changed_at: Mapped[datetime | None]
    changed_by: Mapped[str | None] = mapped_column(Text)
    limited: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """How many requests all processes answered with 429 so far."""
    limited_at: Mapped[datetime | None]
