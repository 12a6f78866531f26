"""Privacy: evidence apart from the audit chain, look-up by address, proof of requests, erasures carried out."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)

AUDIT_CANONICAL = """
CREATE FUNCTION consent_audit_canonical(
    p_seq bigint, p_at timestamptz, p_event text, p_subject_ref uuid, p_purpose text, p_text_version integer,
    p_text_sha256 text, p_locale text, p_surface text, p_message_seq integer, p_evidence_hash bytea
) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT (jsonb_build_array(
        p_seq, to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), p_event, p_subject_ref, p_purpose,
        p_text_version, p_text_sha256, p_locale, p_surface, p_message_seq)
        || CASE WHEN p_evidence_hash IS NULL THEN '[]'::jsonb
                ELSE jsonb_build_array(encode(p_evidence_hash, 'hex')) END)::text
$$
"""
"""A row without evidence reads as it did before, so that every hash of the first version still holds."""

AUDIT_APPEND = """
CREATE FUNCTION consent_audit_append(
    p_event text, p_subject_ref uuid, p_purpose text, p_text_version integer, p_text_sha256 text, p_locale text,
    p_surface text, p_message_seq integer, p_evidence_hash bytea DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    head consent_audit_head%ROWTYPE;
    next_seq bigint;
    moment timestamptz;
    hash bytea;
BEGIN
    SELECT * INTO STRICT head FROM consent_audit_head WHERE id = 1 FOR UPDATE;
    moment := clock_timestamp();
    next_seq := head.seq + 1;
    hash := sha256(head.row_hash || convert_to(consent_audit_canonical(
        next_seq, moment, p_event, p_subject_ref, p_purpose, p_text_version, p_text_sha256, p_locale, p_surface,
        p_message_seq, p_evidence_hash), 'UTF8'));
    INSERT INTO consent_audit_log (
        seq, at, event, subject_ref, purpose, text_version, text_sha256, locale, surface, message_seq, prev_hash,
        row_hash, evidence_hash)
    VALUES (
        next_seq, moment, p_event, p_subject_ref, p_purpose, p_text_version, p_text_sha256, p_locale, p_surface,
        p_message_seq, head.row_hash, hash, p_evidence_hash);
    UPDATE consent_audit_head SET seq = next_seq, row_hash = hash WHERE id = 1;
    RETURN next_seq;
END $$
"""

FIRST_CANONICAL = """
CREATE FUNCTION consent_audit_canonical(
    p_seq bigint, p_at timestamptz, p_event text, p_subject_ref uuid, p_purpose text, p_text_version integer,
    p_text_sha256 text, p_locale text, p_surface text, p_message_seq integer
) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_array(
        p_seq, to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), p_event, p_subject_ref, p_purpose,
        p_text_version, p_text_sha256, p_locale, p_surface, p_message_seq)::text
$$
"""

FIRST_APPEND = """
CREATE FUNCTION consent_audit_append(
    p_event text, p_subject_ref uuid, p_purpose text, p_text_version integer, p_text_sha256 text, p_locale text,
    p_surface text, p_message_seq integer
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    head consent_audit_head%ROWTYPE;
    next_seq bigint;
    moment timestamptz := clock_timestamp();
    hash bytea;
BEGIN
    SELECT * INTO STRICT head FROM consent_audit_head WHERE id = 1 FOR UPDATE;
    next_seq := head.seq + 1;
    hash := sha256(head.row_hash || convert_to(consent_audit_canonical(
        next_seq, moment, p_event, p_subject_ref, p_purpose, p_text_version, p_text_sha256, p_locale, p_surface,
        p_message_seq), 'UTF8'));
    INSERT INTO consent_audit_log VALUES (
        next_seq, moment, p_event, p_subject_ref, p_purpose, p_text_version, p_text_sha256, p_locale, p_surface,
        p_message_seq, head.row_hash, hash);
    UPDATE consent_audit_head SET seq = next_seq, row_hash = hash WHERE id = 1;
    RETURN next_seq;
END $$
"""


def upgrade() -> None:
    """Apply."""
    op.execute("DROP FUNCTION consent_audit_append")
    op.execute("DROP FUNCTION consent_audit_canonical")
    op.add_column("consent_audit_log", sa.Column("evidence_hash", sa.LargeBinary(), nullable=True))
    op.execute(AUDIT_CANONICAL)
    op.execute(AUDIT_APPEND)
    op.create_table(
        "consent_evidence",
        sa.Column("audit_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("ip", sa.Text(), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.Column("created_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["chat_conversations.id"],
            name=op.f("fk_consent_evidence_conversation_id_chat_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("audit_seq", name=op.f("pk_consent_evidence")),
    )
    op.create_index(op.f("ix_consent_evidence_conversation_id"), "consent_evidence", ["conversation_id"])
    op.create_index(op.f("ix_consent_evidence_created_at"), "consent_evidence", ["created_at"])
    op.execute("UPDATE chat_conversations SET email = lower(email) WHERE email <> lower(email)")
    op.execute("UPDATE leads SET email = lower(email) WHERE email <> lower(email)")
    for table in ("chat_conversations", "leads"):
        op.create_index(f"ix_{table}_email", table, ["email"], postgresql_where=sa.text("email IS NOT NULL"))
    _requests()
    op.create_table(
        "erasure",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.Column("subject_refs", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("address_hmac", sa.LargeBinary(), nullable=True),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure")),
    )


def _requests() -> None:
    op.add_column("privacy_request", sa.Column("locale", sa.Text(), server_default="pl", nullable=False))
    op.add_column("privacy_request", sa.Column("tries", sa.Integer(), server_default="0", nullable=False))
    op.add_column("privacy_request", sa.Column("address", sa.Text(), nullable=True))
    for name in ("token_hash", "access_hash"):
        op.add_column("privacy_request", sa.Column(name, sa.LargeBinary(), nullable=True))
    for name in ("token_until", "access_until", "verified_at", "warned_at"):
        op.add_column("privacy_request", sa.Column(name, INSTANT, nullable=True))
    op.add_column(
        "privacy_request",
        sa.Column("result", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    )
    op.create_check_constraint(
        op.f("ck_privacy_request_closed_at"),
        "privacy_request",
        "(state IN ('done', 'expired')) = (closed_at IS NOT NULL)",
    )
    op.create_index(
        "ix_privacy_request_due_at",
        "privacy_request",
        ["due_at"],
        postgresql_where=sa.text("state IN ('received', 'verified')"),
    )
    op.create_index("ix_privacy_request_created_at_id", "privacy_request", ["created_at", "id"])


def downgrade() -> None:
    """Take back. Rows of the chain that commit to evidence no longer verify with the first version's reading."""
    op.drop_table("erasure")
    op.drop_index("ix_privacy_request_created_at_id", table_name="privacy_request")
    op.drop_index("ix_privacy_request_due_at", table_name="privacy_request")
    op.drop_constraint(op.f("ck_privacy_request_closed_at"), "privacy_request")
    for name in (
        *("result", "token_until", "access_until", "verified_at", "warned_at", "token_hash", "access_hash"),
        *("address", "tries", "locale"),
    ):
        op.drop_column("privacy_request", name)
    for table in ("chat_conversations", "leads"):
        op.drop_index(f"ix_{table}_email", table_name=table)
    op.drop_table("consent_evidence")
    op.execute("DROP FUNCTION consent_audit_append")
    op.execute("DROP FUNCTION consent_audit_canonical")
    op.drop_column("consent_audit_log", "evidence_hash")
    op.execute(FIRST_CANONICAL)
    op.execute(FIRST_APPEND)
