"""The first revision on PostgreSQL: everything that SQLite has at the same revision."""

from pathlib import Path

from alembic import op

revision = "0012"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    script = Path(__file__).with_suffix(".sql").read_text("utf-8")
    # Without parameters a percent sign is one, and the server takes several statements.
    op.get_bind().exec_driver_sql(script, execution_options={"no_parameters": True})
