"""Callbacks of relying parties, their outbox, and the deliveries that subjects can see."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. No relying party has a callback yet; earlier events are not delivered."""
    op.add_column("relying_parties", sa.Column("callback", sa.String(2000), nullable=True))
    op.add_column("relying_parties", sa.Column("callback_id", sa.Uuid(), nullable=True))
    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("erasure_id", sa.Uuid(), nullable=True),
        sa.Column("relying_party_id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("subject_ref", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("made_on", sa.Date(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasures.id"], ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["relying_party_id"], ["relying_parties.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("relying_party_id", "subject_ref", "purpose"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_outbox_subject_id", "outbox", ["subject_id"])
    op.create_index("ix_outbox_erasure_id", "outbox", ["erasure_id"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("subject_id", "position"),
    )
