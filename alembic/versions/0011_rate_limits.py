"""Limits that operators change while the service runs, and how many requests each refused."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "rate_limit",
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("changed_at", INSTANT, nullable=True),
        sa.Column("changed_by", sa.Text(), nullable=True),
        sa.Column("limited", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("limited_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("policy", name=op.f("pk_rate_limit")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("rate_limit")
