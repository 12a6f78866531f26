"""Conversations that a person answers, and what visitors think of replies."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "handoff",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("requested_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.Column("taken_at", INSTANT, nullable=True),
        sa.Column("taken_by", sa.Text(), nullable=True),
        sa.Column("released_at", INSTANT, nullable=True),
        sa.CheckConstraint("(taken_at IS NULL) = (taken_by IS NULL)", name=op.f("ck_handoff_taken")),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["chat_conversations.id"],
            name=op.f("fk_handoff_conversation_id_chat_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_handoff")),
    )
    op.create_index(op.f("ix_handoff_conversation_id"), "handoff", ["conversation_id"])
    op.create_index(
        "uq_handoff_open", "handoff", ["conversation_id"], unique=True, postgresql_where=sa.text("released_at IS NULL")
    )
    op.create_table(
        "message_feedback",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("message_seq", sa.Integer(), nullable=False),
        sa.Column("rating", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("created_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("rating IN ('up', 'down')", name=op.f("ck_message_feedback_rating")),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["chat_conversations.id"],
            name=op.f("fk_message_feedback_conversation_id_chat_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message_feedback")),
        sa.UniqueConstraint(
            "conversation_id", "message_seq", name=op.f("uq_message_feedback_conversation_id_message_seq")
        ),
    )
    op.create_index("ix_message_feedback_created_at_id", "message_feedback", ["created_at", "id"])
    op.create_index("ix_message_feedback_rating_created_at_id", "message_feedback", ["rating", "created_at", "id"])
    op.create_index("ix_chat_conversations_state_created_at_id", "chat_conversations", ["state", "created_at", "id"])


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_chat_conversations_state_created_at_id", table_name="chat_conversations")
    op.drop_table("message_feedback")
    op.drop_table("handoff")
    op.execute("UPDATE chat_conversations SET state = 'open' WHERE state = 'handoff'")
