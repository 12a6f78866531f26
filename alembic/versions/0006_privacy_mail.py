"""Privacy: when a proof was mailed, notices about requests, and the indexes that erasure and purge go by."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KINDS = "'notice.dead_letters', 'notice.channel_paused', 'notice.test'"
MORE_KINDS = f"{KINDS}, 'notice.privacy_due', 'notice.erasure_failed'"


def upgrade() -> None:
    """Apply."""
    op.add_column("privacy_request", sa.Column("mailed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_privacy_request_address_hmac_mailed_at",
        "privacy_request",
        ["address_hmac", "mailed_at"],
    )
    op.create_index(
        "ix_privacy_request_closed_at",
        "privacy_request",
        ["closed_at"],
        postgresql_where=sa.text("closed_at IS NOT NULL"),
    )
    op.drop_constraint(op.f("ck_operator_notice_kind"), "operator_notice")
    op.create_check_constraint(op.f("ck_operator_notice_kind"), "operator_notice", f"kind IN ({MORE_KINDS})")
    op.create_index(
        "ix_outbound_alert_erased", "outbound_alert", ["subject_id"], postgresql_where=sa.text("event = 'lead.erased'")
    )
    op.create_index(
        "ix_chat_conversations_no_contact",
        "chat_conversations",
        ["created_at", "id"],
        postgresql_where=sa.text("email IS NULL AND phone IS NULL"),
    )
    op.create_index("ix_erasure_at", "erasure", ["at"])
    op.create_index("ix_consent_audit_log_at", "consent_audit_log", ["at"], postgresql_using="brin")
    op.create_index("ix_delivery_attempt_started_at", "delivery_attempt", ["started_at"], postgresql_using="brin")


def downgrade() -> None:
    """Take back. Notices that the older version does not know are lost, and nothing else."""
    op.drop_index("ix_delivery_attempt_started_at", table_name="delivery_attempt")
    op.drop_index("ix_consent_audit_log_at", table_name="consent_audit_log")
    op.drop_index("ix_erasure_at", table_name="erasure")
    op.drop_index("ix_chat_conversations_no_contact", table_name="chat_conversations")
    op.drop_index("ix_outbound_alert_erased", table_name="outbound_alert")
    op.drop_constraint(op.f("ck_operator_notice_kind"), "operator_notice")
    op.execute("DELETE FROM operator_notice WHERE kind IN ('notice.privacy_due', 'notice.erasure_failed')")
    op.create_check_constraint(op.f("ck_operator_notice_kind"), "operator_notice", f"kind IN ({KINDS})")
    op.drop_index("ix_privacy_request_closed_at", table_name="privacy_request")
    op.drop_index("ix_privacy_request_address_hmac_mailed_at", table_name="privacy_request")
    op.drop_column("privacy_request", "mailed_at")
