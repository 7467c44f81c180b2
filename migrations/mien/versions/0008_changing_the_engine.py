"""Engines that were in force. Each template refers to one, and its label never changes."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

UNKNOWN_ENGINE = """
CREATE TRIGGER templates_have_an_engine BEFORE INSERT ON templates
WHEN NOT EXISTS
  (SELECT 1 FROM engines WHERE weights_sha256 = NEW.weights_sha256 AND engine_id = NEW.engine_id)
BEGIN SELECT RAISE(ABORT, 'a template needs an engine that was in force'); END
"""
"""In place of a foreign key: SQLite can add one only to a new table."""
RELABELLED = """
CREATE TRIGGER templates_are_never_relabelled BEFORE UPDATE OF engine_id, weights_sha256 ON templates
BEGIN SELECT RAISE(ABORT, 'what a template was made by is never changed'); END
"""
STILL_NEEDED = """
CREATE TRIGGER engines_have_templates BEFORE DELETE ON engines
WHEN EXISTS (SELECT 1 FROM templates WHERE weights_sha256 = OLD.weights_sha256)
BEGIN SELECT RAISE(ABORT, 'there are templates of this engine'); END
"""
RENAMED = """
CREATE TRIGGER engines_are_never_renamed BEFORE UPDATE OF engine_id, weights_sha256 ON engines
BEGIN SELECT RAISE(ABORT, 'an engine is never renamed'); END
"""


def upgrade() -> None:
    """Apply. The engines of existing templates were in force; the next start records which one still is."""
    op.create_table(
        "engines",
        sa.Column("weights_sha256", sa.String(64), nullable=False),
        sa.Column("engine_id", sa.String(64), nullable=False),
        sa.Column("in_force_from", sa.Date(), nullable=False),
        sa.Column("in_force_until", sa.Date(), nullable=True),
        sa.Column("templates_end_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("weights_sha256"),
    )
    op.execute(
        "INSERT INTO engines (weights_sha256, engine_id, in_force_from)"
        " SELECT weights_sha256, engine_id, min(enrolled_on) FROM templates GROUP BY weights_sha256"
    )
    op.add_column("templates", sa.Column("not_renewable_by", sa.String(64), nullable=True))
    op.create_index("templates_by_engine", "templates", ["weights_sha256", "engine_id"])
    for trigger in (UNKNOWN_ENGINE, RELABELLED, STILL_NEEDED, RENAMED):
        op.execute(trigger)
