"""An index by which operators read follow-ups of one state, however rare it is."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_followup_event_state_created_at_id", "followup_event", ["state", "created_at", "id"])
    op.drop_index("ix_followup_event_pending", table_name="followup_event")


def downgrade() -> None:
    """Take back."""
    op.create_index(
        "ix_followup_event_pending", "followup_event", ["created_at"], postgresql_where=sa.text("state = 'pending'")
    )
    op.drop_index("ix_followup_event_state_created_at_id", table_name="followup_event")
