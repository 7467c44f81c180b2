"""The day a token was last used, the number of cuts of a history, and indexes that find expired rows by their day."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BY_DAY = (
    ("tokens_by_last_use", "tokens", "last_used_on"),
    ("proofs_by_end", "consent_proofs", "ended_on"),
    ("erasures_by_completion", "erasures", "completed_on"),
    ("access_counts_by_day", "access_counts", "on_day"),
)


def upgrade() -> None:
    """Apply. The last use of an older token is unknown: the first maintenance run sets it to the day of the run."""
    op.add_column("tokens", sa.Column("last_used_on", sa.Date(), nullable=True))
    op.add_column("subjects", sa.Column("history_cuts", sa.Integer(), nullable=False, server_default="0"))
    for name, table, column in BY_DAY:
        op.create_index(name, table, [column])
