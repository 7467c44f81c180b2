"""Sealed entries of the transparency log, sealed receipts, pending leaves, and the receipt and counts of an erasure."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

HAVE_AN_ENTRY = (
    ("comparisons", "entries", "id"),
    ("templates", "entries", "entry_id"),
    ("consent_events", "receipts", "id"),
)
"""The table of an act, the table of its entry or receipt, and the act's column that names it."""


def upgrade() -> None:
    """Apply. Earlier acts get no entry: the transparency log records an act only when it happens."""
    for table in ("entries", "receipts"):
        op.create_table(
            table,
            sa.Column("id", sa.Uuid(), nullable=False),
            sa.Column("subject_id", sa.Uuid(), nullable=False),
            sa.Column("position", sa.Integer(), nullable=False),
            sa.Column("sealed", sa.LargeBinary(), nullable=False),
            sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], ondelete="CASCADE"),
            sa.PrimaryKeyConstraint("id"),
            sa.UniqueConstraint("subject_id", "position"),
        )
    op.create_table(
        "pending_leaves",
        sa.Column("leaf", sa.LargeBinary(length=32), nullable=False),
        sa.Column("salt", sa.LargeBinary(length=32), nullable=True),
        sa.Column("record", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("leaf"),
        sqlite_with_rowid=False,
    )
    op.create_index("open_entries_that_wait", "pending_leaves", ["record"], sqlite_where=sa.text("record IS NOT NULL"))
    op.create_table(
        "seen_heads",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute("ALTER TABLE templates ADD COLUMN entry_id CHAR(32) REFERENCES entries (id)")
    op.add_column("erasures", sa.Column("held", sa.Text(), nullable=True))
    op.add_column("erasures", sa.Column("receipt", sa.Text(), nullable=True))
    op.execute(
        "UPDATE erasures SET held = json_object('rows_before', 0, 'rows_after', 0, 'keys_before', 1,"
        " 'owners', json_array(key_owner), 'keys_destroyed_at', NULL) WHERE key_owner IS NOT NULL"
    )
    op.execute("ALTER TABLE erasures DROP COLUMN key_owner")
    for table, log, column in HAVE_AN_ENTRY:
        op.execute(
            f"CREATE TRIGGER {table}_have_an_entry BEFORE INSERT ON {table}"
            f" WHEN NOT EXISTS (SELECT 1 FROM {log} WHERE id = NEW.{column} AND subject_id = NEW.subject_id)"
            f" BEGIN SELECT RAISE(ABORT, 'a row of {table} has an entry in the log'); END"
        )
    op.execute(
        "CREATE TRIGGER receipts_never_update BEFORE UPDATE ON receipts"
        " BEGIN SELECT RAISE(ABORT, 'rows of receipts are never changed: UPDATE'); END"
    )
