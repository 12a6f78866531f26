"""The whole schema of the first version, the audit chain's functions, and the first consent texts."""

import hashlib

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

AUDIT_APPEND = """
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

AUDIT_CANONICAL = """
CREATE FUNCTION consent_audit_canonical(
    p_seq bigint, p_at timestamptz, p_event text, p_subject_ref uuid, p_purpose text, p_text_version integer,
    p_text_sha256 text, p_locale text, p_surface text, p_message_seq integer
) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_array(
        p_seq, to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), p_event, p_subject_ref, p_purpose,
        p_text_version, p_text_sha256, p_locale, p_surface, p_message_seq)::text
$$
"""

AUDIT_REFUSE = """
CREATE FUNCTION consent_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'consent_audit_log is append-only: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$
"""

AUDIT_TRIGGERS = (
    (
        "CREATE TRIGGER consent_audit_rows BEFORE UPDATE OR DELETE ON consent_audit_log "
        "FOR EACH ROW EXECUTE FUNCTION consent_audit_refuse()"
    ),
    (
        "CREATE TRIGGER consent_audit_truncate BEFORE TRUNCATE ON consent_audit_log "
        "FOR EACH STATEMENT EXECUTE FUNCTION consent_audit_refuse()"
    ),
    "ALTER TABLE consent_audit_log ENABLE ALWAYS TRIGGER consent_audit_rows",
    "ALTER TABLE consent_audit_log ENABLE ALWAYS TRIGGER consent_audit_truncate",
)

CONSENT_TEXTS = {
    ("rodo", "pl"): (
        "Czy zgadzasz się, aby NovaHouse Sp. z o.o. przetwarzała podane dane i skontaktowała się z Tobą w sprawie "
        "oferty? Zgoda jest dobrowolna i możesz ją wycofać w każdej chwili, na przykład tu w rozmowie."
    ),
    ("rodo", "en"): (
        "Do you agree that NovaHouse Sp. z o.o. processes the data you gave and contacts you about the offer? "
        "Your consent is voluntary and you can withdraw it at any time, for example here in the chat."
    ),
    ("marketing_email", "pl"): (
        "Zgadzam się na otrzymywanie informacji handlowych NovaHouse Sp. z o.o. pocztą elektroniczną. Zgoda jest "
        "dobrowolna, nie jest warunkiem rozmowy ani wyceny i mogę ją wycofać w każdej chwili."
    ),
    ("marketing_email", "en"): (
        "I agree to receive commercial information from NovaHouse Sp. z o.o. by e-mail. My consent is voluntary, is "
        "not a condition of the chat or a quote, and I can withdraw it at any time."
    ),
    ("marketing_phone", "pl"): (
        "Zgadzam się na otrzymywanie informacji handlowych NovaHouse Sp. z o.o. telefonicznie. Zgoda jest dobrowolna, "
        "nie jest warunkiem rozmowy ani wyceny i mogę ją wycofać w każdej chwili."
    ),
    ("marketing_phone", "en"): (
        "I agree to receive commercial information from NovaHouse Sp. z o.o. by phone. My consent is voluntary, is "
        "not a condition of the chat or a quote, and I can withdraw it at any time."
    ),
}


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "channel_gate",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("channel IN ('slack', 'monday', 'email')", name=op.f("ck_channel_gate_channel")),
        sa.PrimaryKeyConstraint("channel", name=op.f("pk_channel_gate")),
    )
    op.create_table(
        "chat_conversations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("area_m2", sa.Numeric(precision=8, scale=2), nullable=True),
        sa.Column("package", sa.Text(), nullable=True),
        sa.Column("city", sa.Text(), nullable=True),
        sa.Column("budget_pln", sa.BigInteger(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("property_type", sa.Text(), nullable=True),
        sa.Column("rodo_consent", sa.Boolean(), nullable=True),
        sa.Column("marketing_consent", sa.Boolean(), nullable=True),
        sa.Column(
            "memory", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("last_seq", sa.Integer(), server_default="0", nullable=False),
        sa.Column("visitor_messages", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_message_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('open', 'handoff', 'closed')", name=op.f("ck_chat_conversations_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chat_conversations")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_chat_conversations_token_hash")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index("ix_chat_conversations_created_at_id", "chat_conversations", ["created_at", "id"], unique=False)
    op.create_table(
        "consent_audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("row_hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_consent_audit_head_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent_audit_head")),
    )
    op.create_table(
        "consent_audit_log",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("subject_ref", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=True),
        sa.Column("text_version", sa.Integer(), nullable=True),
        sa.Column("text_sha256", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("surface", sa.Text(), nullable=False),
        sa.Column("message_seq", sa.Integer(), nullable=True),
        sa.Column("prev_hash", sa.LargeBinary(), nullable=False),
        sa.Column("row_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_consent_audit_log")),
    )
    op.create_index(op.f("ix_consent_audit_log_subject_ref"), "consent_audit_log", ["subject_ref"], unique=False)
    op.create_table(
        "consent_text",
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "purpose IN ('rodo', 'marketing_email', 'marketing_phone')", name=op.f("ck_consent_text_purpose")
        ),
        sa.PrimaryKeyConstraint("purpose", "locale", "version", name=op.f("pk_consent_text")),
    )
    op.create_table(
        "privacy_request",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="received", nullable=False),
        sa.Column("address_hmac", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('received', 'verified', 'done', 'expired')", name=op.f("ck_privacy_request_state")
        ),
        sa.CheckConstraint("type IN ('access', 'erasure', 'revoke')", name=op.f("ck_privacy_request_type")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_privacy_request")),
    )
    op.create_table(
        "suppression",
        sa.Column("address_hmac", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("address_hmac", "key_id", "scope", name=op.f("pk_suppression")),
    )
    op.create_table(
        "chat_messages",
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_message_id", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("quick_replies", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("outcome", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("role IN ('visitor', 'bot', 'human')", name=op.f("ck_chat_messages_role")),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["chat_conversations.id"],
            name=op.f("fk_chat_messages_conversation_id_chat_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("conversation_id", "seq", name=op.f("pk_chat_messages")),
    )
    op.create_index(
        "uq_chat_messages_conversation_id_client_message_id",
        "chat_messages",
        ["conversation_id", "client_message_id"],
        unique=True,
        postgresql_where=sa.text("client_message_id IS NOT NULL"),
    )
    op.create_table(
        "consent_state",
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("granted", sa.Boolean(), nullable=False),
        sa.Column("audit_seq", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "purpose IN ('rodo', 'marketing_email', 'marketing_phone')", name=op.f("ck_consent_state_purpose")
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["chat_conversations.id"],
            name=op.f("fk_consent_state_conversation_id_chat_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("conversation_id", "purpose", name=op.f("pk_consent_state")),
    )
    op.create_table(
        "followup_event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("followup_number", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("followup_number BETWEEN 1 AND 100", name=op.f("ck_followup_event_followup_number")),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["chat_conversations.id"],
            name=op.f("fk_followup_event_conversation_id_chat_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_followup_event")),
        sa.UniqueConstraint(
            "conversation_id", "followup_number", name=op.f("uq_followup_event_conversation_id_followup_number")
        ),
    )
    op.create_table(
        "leads",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), server_default="new", nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("city", sa.Text(), nullable=True),
        sa.Column("property_type", sa.Text(), nullable=True),
        sa.Column("area_m2", sa.Numeric(precision=8, scale=2), nullable=True),
        sa.Column("package", sa.Text(), nullable=True),
        sa.Column("budget_pln", sa.BigInteger(), nullable=True),
        sa.Column("rodo_consent", sa.Boolean(), nullable=True),
        sa.Column("marketing_consent", sa.Boolean(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status IN ('new', 'contacted', 'qualified', 'won', 'lost')", name=op.f("ck_leads_status")),
        sa.CheckConstraint("score BETWEEN 0 AND 100", name=op.f("ck_leads_score")),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["chat_conversations.id"],
            name=op.f("fk_leads_conversation_id_chat_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leads")),
        sa.UniqueConstraint("conversation_id", name=op.f("uq_leads_conversation_id")),
    )
    op.create_index("ix_leads_created_at_id", "leads", ["created_at", "id"], unique=False)
    op.create_table(
        "outbound_alert",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=True),
        sa.Column("dedupe_key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("possible_repeat", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("last_outcome", sa.Text(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("remote_ref", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'delivered') = (delivered_at IS NOT NULL)", name=op.f("ck_outbound_alert_delivered_at")
        ),
        sa.CheckConstraint(
            "(state = 'sending') = (lease_token IS NOT NULL AND lease_until IS NOT NULL)",
            name=op.f("ck_outbound_alert_lease"),
        ),
        sa.CheckConstraint("channel IN ('slack', 'monday', 'email')", name=op.f("ck_outbound_alert_channel")),
        sa.CheckConstraint(
            "state IN ('pending', 'sending', 'delivered', 'cancelled', 'failed')", name=op.f("ck_outbound_alert_state")
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["chat_conversations.id"],
            name=op.f("fk_outbound_alert_conversation_id_chat_conversations"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbound_alert")),
        sa.UniqueConstraint("dedupe_key", name=op.f("uq_outbound_alert_dedupe_key")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(op.f("ix_outbound_alert_conversation_id"), "outbound_alert", ["conversation_id"], unique=False)
    op.create_index("ix_outbound_alert_created_at_id", "outbound_alert", ["created_at", "id"], unique=False)
    op.create_index(
        "ix_outbound_alert_pending",
        "outbound_alert",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_outbound_alert_sending",
        "outbound_alert",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("state = 'sending'"),
    )
    op.create_table(
        "dead_letter_queue",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'delivered', 'failed', 'cancelled')", name=op.f("ck_dead_letter_queue_status")
        ),
        sa.ForeignKeyConstraint(
            ["alert_id"],
            ["outbound_alert.id"],
            name=op.f("fk_dead_letter_queue_alert_id_outbound_alert"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letter_queue")),
        sa.UniqueConstraint("alert_id", name=op.f("uq_dead_letter_queue_alert_id")),
    )
    op.create_index("ix_dead_letter_queue_created_at_id", "dead_letter_queue", ["created_at", "id"], unique=False)
    op.create_table(
        "delivery_attempt",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["alert_id"],
            ["outbound_alert.id"],
            name=op.f("fk_delivery_attempt_alert_id_outbound_alert"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_attempt")),
    )
    op.create_index(op.f("ix_delivery_attempt_alert_id"), "delivery_attempt", ["alert_id"], unique=False)

    op.execute("INSERT INTO consent_audit_head (id, seq, row_hash) VALUES (1, 0, decode(repeat('00', 32), 'hex'))")
    op.execute(AUDIT_CANONICAL)
    op.execute(AUDIT_APPEND)
    op.execute(AUDIT_REFUSE)
    for trigger in AUDIT_TRIGGERS:
        op.execute(trigger)
    op.bulk_insert(
        sa.table("consent_text", *(sa.column(name) for name in ("purpose", "locale", "version", "body", "sha256"))),
        [
            {
                "purpose": purpose,
                "locale": locale,
                "version": 1,
                "body": text,
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
            }
            for (purpose, locale), text in CONSENT_TEXTS.items()
        ],
    )


def downgrade() -> None:
    """Take back."""
    op.execute("DROP FUNCTION consent_audit_append")
    op.drop_index(op.f("ix_delivery_attempt_alert_id"), table_name="delivery_attempt")
    op.drop_table("delivery_attempt")
    op.drop_index("ix_dead_letter_queue_created_at_id", table_name="dead_letter_queue")
    op.drop_table("dead_letter_queue")
    op.drop_index(
        "ix_outbound_alert_sending", table_name="outbound_alert", postgresql_where=sa.text("state = 'sending'")
    )
    op.drop_index(
        "ix_outbound_alert_pending", table_name="outbound_alert", postgresql_where=sa.text("state = 'pending'")
    )
    op.drop_index("ix_outbound_alert_created_at_id", table_name="outbound_alert")
    op.drop_index(op.f("ix_outbound_alert_conversation_id"), table_name="outbound_alert")
    op.drop_table("outbound_alert")
    op.drop_index("ix_leads_created_at_id", table_name="leads")
    op.drop_table("leads")
    op.drop_table("followup_event")
    op.drop_table("consent_state")
    op.drop_index(
        "uq_chat_messages_conversation_id_client_message_id",
        table_name="chat_messages",
        postgresql_where=sa.text("client_message_id IS NOT NULL"),
    )
    op.drop_table("chat_messages")
    op.drop_table("suppression")
    op.drop_table("privacy_request")
    op.drop_table("consent_text")
    op.drop_index(op.f("ix_consent_audit_log_subject_ref"), table_name="consent_audit_log")
    op.drop_table("consent_audit_log")
    op.drop_table("consent_audit_head")
    op.drop_index("ix_chat_conversations_created_at_id", table_name="chat_conversations")
    op.drop_table("chat_conversations")
    op.drop_table("channel_gate")
    op.execute("DROP FUNCTION consent_audit_canonical")
    op.execute("DROP FUNCTION consent_audit_refuse")
