"""Proofs of consent, matching periods, steps of an erasure, endings that follow a commit, and restores."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NEW_PERIODS = """
UPDATE subjects
SET spell_id = lower(hex(randomblob(6)) || '4' || substr(hex(randomblob(2)), 2) || 'a' || substr(hex(randomblob(8)), 2))
WHERE NOT restricted
"""
"""A version 4 UUID for each row, made by SQLite."""


def upgrade() -> None:
    """Apply. Earlier consents get no proof, because the day they were given is sealed.

    No table that foreign keys refer to is created again: dropping the old one would delete the rows that refer to it.
    """
    op.create_table(
        "consent_proofs",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("notice_sha256", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("relying_party_id", sa.Uuid(), nullable=True),
        sa.Column("given_on", sa.Date(), nullable=False),
        sa.Column("ended_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["notice_sha256"], ["notices.sha256"]),
        sa.ForeignKeyConstraint(
            ["relying_party_id", "purpose"], ["party_purposes.relying_party_id", "party_purposes.purpose"]
        ),
        sa.PrimaryKeyConstraint("digest"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "endings",
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("ended_as", sa.String(32), nullable=False),
        sa.Column("ended_on", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "id"),
    )
    op.add_column("subjects", sa.Column("spell_id", sa.Uuid(), nullable=True))
    op.execute(NEW_PERIODS)
    op.execute("ALTER TABLE subjects DROP COLUMN restricted")
    op.create_table(
        "restorations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("restored_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    _erasures()


def _erasures() -> None:
    op.rename_table("erasures", "old_erasures")
    op.create_table(
        "erasures",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("step", sa.String(16), nullable=False),
        sa.Column("key_owner", sa.String(64), nullable=True),
        sa.Column("rebuilt", sa.Boolean(), nullable=False),
        sa.Column("requested_on", sa.Date(), nullable=False),
        sa.Column("completed_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("subject_id"),
    )
    op.execute(
        "INSERT INTO erasures SELECT id, subject_id, CASE WHEN status = 'completed' THEN 'completed'"
        " WHEN subject_id IS NULL THEN 'deleted' ELSE 'intent' END, NULL, rebuilt, requested_on, completed_on"
        " FROM old_erasures"
    )
    op.drop_table("old_erasures")
