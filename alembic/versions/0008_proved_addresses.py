"""Links act on the address that was mailed, and a suppressed address is asked before it gets marketing again."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
TYPES = "'access', 'erasure', 'revoke'"


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "suppression", sa.Column("renewed_at", INSTANT, server_default=sa.text("clock_timestamp()"), nullable=False)
    )
    op.execute("UPDATE suppression SET renewed_at = created_at")
    op.alter_column("unsubscribe_request", "address", existing_type=sa.Text(), nullable=True)
    op.add_column("unsubscribe_request", sa.Column("address_hmac", sa.LargeBinary(), nullable=True))
    op.add_column("unsubscribe_request", sa.Column("key_id", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("ck_unsubscribe_request_address"),
        "unsubscribe_request",
        "address IS NOT NULL OR address_hmac IS NOT NULL",
    )
    op.create_check_constraint(
        op.f("ck_unsubscribe_request_key_id"), "unsubscribe_request", "(address_hmac IS NULL) = (key_id IS NULL)"
    )
    op.create_table(
        "mailed_address",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("address_hmac", sa.LargeBinary(), nullable=True),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("created_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(address_hmac IS NULL) = (key_id IS NULL)", name=op.f("ck_mailed_address_key_id")),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["chat_conversations.id"],
            name=op.f("fk_mailed_address_conversation_id_chat_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mailed_address")),
        sa.UniqueConstraint("message_id", "address_hmac", name=op.f("uq_mailed_address_message_id_address_hmac")),
    )
    op.create_index("ix_mailed_address_address_hmac", "mailed_address", ["address_hmac"])
    op.create_index(op.f("ix_mailed_address_conversation_id"), "mailed_address", ["conversation_id"])
    op.create_table(
        "opt_in_check",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("asked_at", INSTANT, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["chat_conversations.id"],
            name=op.f("fk_opt_in_check_conversation_id_chat_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_opt_in_check")),
    )
    op.create_index(op.f("ix_opt_in_check_conversation_id"), "opt_in_check", ["conversation_id"])
    op.drop_constraint(op.f("ck_privacy_request_type"), "privacy_request")
    op.create_check_constraint(op.f("ck_privacy_request_type"), "privacy_request", f"type IN ({TYPES}, 'opt_in')")


def downgrade() -> None:
    """Take back. Confirmations that wait are lost; the addresses stay suppressed, which is the safe direction."""
    op.execute("DELETE FROM outbound_alert WHERE subject_id IN (SELECT id FROM privacy_request WHERE type = 'opt_in')")
    op.execute("DELETE FROM privacy_request WHERE type = 'opt_in'")
    op.drop_constraint(op.f("ck_privacy_request_type"), "privacy_request")
    op.create_check_constraint(op.f("ck_privacy_request_type"), "privacy_request", f"type IN ({TYPES})")
    op.drop_table("opt_in_check")
    op.drop_table("mailed_address")
    op.execute("DELETE FROM unsubscribe_request WHERE address IS NULL")
    op.drop_constraint(op.f("ck_unsubscribe_request_key_id"), "unsubscribe_request")
    op.drop_constraint(op.f("ck_unsubscribe_request_address"), "unsubscribe_request")
    op.drop_column("unsubscribe_request", "key_id")
    op.drop_column("unsubscribe_request", "address_hmac")
    op.alter_column("unsubscribe_request", "address", existing_type=sa.Text(), nullable=False)
    op.drop_column("suppression", "renewed_at")
