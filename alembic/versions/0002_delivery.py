"""Delivery under fire: the shared circuit breaker and pause of a channel, rounds of retries, notices, journals."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CHANNELS = "('slack', 'monday', 'email')"
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply."""
    _journals()
    _alerts()
    _dead_letters()
    _gate()


def _journals() -> None:
    op.create_table(
        "operator_action",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("count", sa.Integer(), server_default="1", nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operator_action")),
    )
    op.create_index("ix_operator_action_at_id", "operator_action", ["at", "id"])
    op.create_index("ix_operator_action_target_at", "operator_action", ["target", "at"])
    op.create_table(
        "scheduled_job",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("every", sa.Interval(), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("succeeded_at", INSTANT, nullable=True),
        sa.Column("failed_at", INSTANT, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_count", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_scheduled_job")),
    )
    op.create_table(
        "operator_notice",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(f"channel IN {CHANNELS}", name=op.f("ck_operator_notice_channel")),
        sa.CheckConstraint(
            "kind IN ('notice.dead_letters', 'notice.channel_paused', 'notice.test')",
            name=op.f("ck_operator_notice_kind"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operator_notice")),
    )


def _alerts() -> None:
    op.add_column("outbound_alert", sa.Column("attempts_before", sa.Integer(), server_default="0", nullable=False))
    op.add_column("outbound_alert", sa.Column("crashes", sa.Integer(), server_default="0", nullable=False))
    op.add_column("outbound_alert", sa.Column("generation", sa.Integer(), server_default="1", nullable=False))
    op.add_column("outbound_alert", sa.Column("ambiguous_since", INSTANT, nullable=True))
    op.execute("UPDATE outbound_alert SET ambiguous_since = created_at WHERE possible_repeat")
    op.drop_column("outbound_alert", "possible_repeat")
    op.drop_constraint(op.f("ck_outbound_alert_state"), "outbound_alert")
    op.drop_constraint(op.f("ck_outbound_alert_lease"), "outbound_alert")
    op.create_check_constraint(
        op.f("ck_outbound_alert_state"),
        "outbound_alert",
        "state IN ('pending', 'sending', 'retrying', 'delivered', 'cancelled', 'failed', 'discarded')",
    )
    op.create_check_constraint(
        op.f("ck_outbound_alert_lease"), "outbound_alert", "(state = 'sending') = (lease_until IS NOT NULL)"
    )
    op.create_check_constraint(
        op.f("ck_outbound_alert_lease_token"), "outbound_alert", "state <> 'sending' OR lease_token IS NOT NULL"
    )
    op.create_check_constraint(
        op.f("ck_outbound_alert_attempts"), "outbound_alert", "attempts >= attempts_before AND attempts_before >= 0"
    )
    op.execute(
        "UPDATE outbound_alert SET state = 'retrying' WHERE state = 'pending' AND id IN "
        "(SELECT alert_id FROM dead_letter_queue WHERE status = 'pending')"
    )
    op.drop_index("ix_outbound_alert_pending", table_name="outbound_alert")
    op.create_index(
        "ix_outbound_alert_pending",
        "outbound_alert",
        ["channel", "next_attempt_at"],
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_outbound_alert_retrying",
        "outbound_alert",
        ["next_attempt_at"],
        postgresql_where=sa.text("state = 'retrying'"),
    )
    op.alter_column("delivery_attempt", "duration_ms", nullable=True)


def _dead_letters() -> None:
    op.add_column("dead_letter_queue", sa.Column("escalation_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_dead_letter_queue_escalation_id_operator_notice"),
        "dead_letter_queue",
        "operator_notice",
        ["escalation_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.drop_constraint(op.f("ck_dead_letter_queue_status"), "dead_letter_queue")
    op.create_check_constraint(
        op.f("ck_dead_letter_queue_status"),
        "dead_letter_queue",
        "status IN ('pending', 'delivered', 'failed', 'cancelled', 'discarded')",
    )
    op.execute("UPDATE dead_letter_queue SET closed_at = created_at WHERE status <> 'pending' AND closed_at IS NULL")
    op.create_check_constraint(
        op.f("ck_dead_letter_queue_closed_at"), "dead_letter_queue", "(status = 'pending') = (closed_at IS NULL)"
    )
    op.create_index(
        "ix_dead_letter_queue_delivered",
        "dead_letter_queue",
        ["closed_at"],
        postgresql_where=sa.text("status = 'delivered'"),
    )
    op.create_index(
        "ix_dead_letter_queue_unreported",
        "dead_letter_queue",
        ["closed_at"],
        postgresql_where=sa.text("status = 'failed' AND escalation_id IS NULL"),
    )
    op.create_index("ix_dead_letter_queue_escalation_id", "dead_letter_queue", ["escalation_id"])
    op.create_index(
        "ix_dead_letter_queue_status_created_at_id",
        "dead_letter_queue",
        ["status", "created_at", "id"],
        postgresql_include=["channel"],
    )


def _gate() -> None:
    op.alter_column("channel_gate", "blocked_until", nullable=True)
    op.alter_column("channel_gate", "reason", new_column_name="blocked_reason", nullable=True)
    op.add_column("channel_gate", sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("channel_gate", sa.Column("failures", sa.Integer(), server_default="0", nullable=False))
    for name in ("open_until", "opened_at", "probe_until", "paused_at", "trial_at", "next_slot_at"):
        op.add_column("channel_gate", sa.Column(name, INSTANT, nullable=True))
    for name in ("open_reason", "paused_by", "paused_reason"):
        op.add_column("channel_gate", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("channel_gate", sa.Column("probe_token", sa.Uuid(), nullable=True))
    op.create_check_constraint(
        op.f("ck_channel_gate_probe"), "channel_gate", "(probe_token IS NULL) = (probe_until IS NULL)"
    )
    op.execute(
        "INSERT INTO channel_gate (channel) VALUES ('slack'), ('monday'), ('email') ON CONFLICT (channel) DO NOTHING"
    )


def downgrade() -> None:
    """Take back. What the first version cannot say is lost: pauses, breakers, discards and the journals."""
    op.execute("DELETE FROM channel_gate WHERE blocked_until IS NULL")
    op.drop_constraint(op.f("ck_channel_gate_probe"), "channel_gate")
    for name in (
        *("probe_token", "open_reason", "paused_by", "paused_reason", "open_until", "opened_at", "probe_until"),
        *("paused_at", "trial_at", "next_slot_at", "failures", "epoch"),
    ):
        op.drop_column("channel_gate", name)
    op.execute("UPDATE channel_gate SET blocked_reason = 'unknown' WHERE blocked_reason IS NULL")
    op.alter_column("channel_gate", "blocked_reason", new_column_name="reason", nullable=False)
    op.alter_column("channel_gate", "blocked_until", nullable=False)

    for name in (
        "ix_dead_letter_queue_status_created_at_id",
        "ix_dead_letter_queue_escalation_id",
        "ix_dead_letter_queue_unreported",
        "ix_dead_letter_queue_delivered",
    ):
        op.drop_index(name, table_name="dead_letter_queue")
    op.drop_constraint(op.f("ck_dead_letter_queue_closed_at"), "dead_letter_queue")
    op.drop_constraint(op.f("ck_dead_letter_queue_status"), "dead_letter_queue")
    op.execute("UPDATE dead_letter_queue SET status = 'cancelled' WHERE status = 'discarded'")
    op.create_check_constraint(
        op.f("ck_dead_letter_queue_status"),
        "dead_letter_queue",
        "status IN ('pending', 'delivered', 'failed', 'cancelled')",
    )
    op.drop_column("dead_letter_queue", "escalation_id")

    op.execute("UPDATE delivery_attempt SET duration_ms = 0 WHERE duration_ms IS NULL")
    op.alter_column("delivery_attempt", "duration_ms", nullable=False)
    op.drop_index("ix_outbound_alert_retrying", table_name="outbound_alert")
    op.drop_index("ix_outbound_alert_pending", table_name="outbound_alert")
    for name in ("attempts", "lease_token", "lease", "state"):
        op.drop_constraint(op.f(f"ck_outbound_alert_{name}"), "outbound_alert")
    op.execute("UPDATE outbound_alert SET state = 'pending' WHERE state = 'retrying'")
    op.execute("UPDATE outbound_alert SET state = 'cancelled' WHERE state = 'discarded'")
    op.execute("UPDATE outbound_alert SET lease_token = NULL WHERE state <> 'sending'")
    op.create_check_constraint(
        op.f("ck_outbound_alert_state"),
        "outbound_alert",
        "state IN ('pending', 'sending', 'delivered', 'cancelled', 'failed')",
    )
    op.create_check_constraint(
        op.f("ck_outbound_alert_lease"),
        "outbound_alert",
        "(state = 'sending') = (lease_token IS NOT NULL AND lease_until IS NOT NULL)",
    )
    op.create_index(
        "ix_outbound_alert_pending",
        "outbound_alert",
        ["next_attempt_at"],
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.add_column(
        "outbound_alert", sa.Column("possible_repeat", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.execute("UPDATE outbound_alert SET possible_repeat = true WHERE ambiguous_since IS NOT NULL")
    for name in ("ambiguous_since", "generation", "crashes", "attempts_before"):
        op.drop_column("outbound_alert", name)
    op.drop_table("operator_notice")
    op.drop_table("scheduled_job")
    op.drop_table("operator_action")
