"""Questions that the assistant could not answer; when a conversation that went quiet was last nudged."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply."""
    op.add_column("chat_conversations", sa.Column("nudged_after", sa.Integer(), server_default="0", nullable=False))
    op.create_index(
        "ix_chat_conversations_open",
        "chat_conversations",
        ["last_message_at", "id"],
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "unanswered_question",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("asked_at", INSTANT, nullable=False),
        sa.Column("status", sa.Text(), server_default="open", nullable=False),
        sa.Column("decided_at", INSTANT, nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unanswered_question")),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["chat_conversations.id"],
            name=op.f("fk_unanswered_question_conversation_id_chat_conversations"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("conversation_id", "seq", name=op.f("uq_unanswered_question_conversation_id_seq")),
        sa.CheckConstraint("status IN ('open', 'answered', 'dismissed')", name=op.f("ck_unanswered_question_status")),
        sa.CheckConstraint("(status = 'open') = (decided_at IS NULL)", name=op.f("ck_unanswered_question_decided_at")),
    )
    op.create_index(
        "ix_unanswered_question_status_asked_at_id",
        "unanswered_question",
        ["status", "asked_at", "id"],
        postgresql_include=["language"],
    )
    op.create_index(
        "ix_unanswered_question_decided_at",
        "unanswered_question",
        ["decided_at"],
        postgresql_where=sa.text("decided_at IS NOT NULL"),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("unanswered_question")
    op.drop_index("ix_chat_conversations_open", "chat_conversations")
    op.drop_column("chat_conversations", "nudged_after")
