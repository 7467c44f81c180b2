"""Answers that are kept for a day, so that a request repeated with its Idempotency-Key has one effect."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "kept_answers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("grant_id", sa.Uuid(), nullable=True),
        sa.Column("lookup", sa.LargeBinary(length=32), nullable=False),
        sa.Column("kept_on", sa.Date(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["grant_id"], ["grants.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("lookup"),
    )
    op.create_index("ix_kept_answers_subject_id", "kept_answers", ["subject_id"])
    op.create_index("ix_kept_answers_grant_id", "kept_answers", ["grant_id"])
    op.create_index("kept_answers_by_day", "kept_answers", ["kept_on"])
