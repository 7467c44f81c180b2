"""The key-encryption key in force, and the timelines that a restore discarded."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. The first start sets the id of the key-encryption key, which only the holder of that key knows."""
    op.add_column("origin", sa.Column("kek_id", sa.String(16), nullable=True))
    op.create_table(
        "left_histories",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("restored_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
