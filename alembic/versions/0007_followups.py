"""Follow-ups with a life of their own, and answers kept for repeated requests."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply."""
    op.add_column("followup_event", sa.Column("state", sa.Text(), server_default="pending", nullable=False))
    op.add_column("followup_event", sa.Column("reason", sa.Text(), nullable=True))
    op.add_column("followup_event", sa.Column("language", sa.Text(), server_default="pl", nullable=False))
    op.add_column("followup_event", sa.Column("author", sa.Text(), server_default="schedule", nullable=False))
    op.add_column("followup_event", sa.Column("person_hmac", sa.LargeBinary(), nullable=True))
    op.add_column("followup_event", sa.Column("message_seq", sa.Integer(), nullable=True))
    op.add_column("followup_event", sa.Column("closed_at", INSTANT, nullable=True))
    op.create_check_constraint(
        op.f("ck_followup_event_state"), "followup_event", "state IN ('pending', 'sent', 'cancelled', 'failed')"
    )
    op.create_check_constraint(
        op.f("ck_followup_event_closed_at"), "followup_event", "(state = 'pending') = (closed_at IS NULL)"
    )
    op.create_index("ix_followup_event_created_at_id", "followup_event", ["created_at", "id"])
    op.create_index("ix_followup_event_person_hmac_created_at", "followup_event", ["person_hmac", "created_at"])
    op.create_index(
        "ix_followup_event_pending", "followup_event", ["created_at"], postgresql_where=sa.text("state = 'pending'")
    )
    op.create_index(
        "ix_chat_conversations_marketing",
        "chat_conversations",
        ["last_message_at"],
        postgresql_where=sa.text("marketing_consent"),
    )
    op.create_table(
        "idempotency_key",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_idempotency_key")),
    )
    op.create_index(op.f("ix_idempotency_key_created_at"), "idempotency_key", ["created_at"])


def downgrade() -> None:
    """Take back."""
    op.drop_table("idempotency_key")
    op.drop_index("ix_chat_conversations_marketing", table_name="chat_conversations")
    for name in ("pending", "person_hmac_created_at", "created_at_id"):
        op.drop_index(f"ix_followup_event_{name}", table_name="followup_event")
    op.drop_constraint(op.f("ck_followup_event_closed_at"), "followup_event")
    op.drop_constraint(op.f("ck_followup_event_state"), "followup_event")
    for name in ("state", "reason", "language", "author", "person_hmac", "message_seq", "closed_at"):
        op.drop_column("followup_event", name)
