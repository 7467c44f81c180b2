"""When a token was last used; how often a history was shortened; what has its time is found by its day."""

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
    """Apply. When older tokens were last used is not known: the first sweep takes it for its own day."""
    op.add_column("tokens", sa.Column("last_used_on", sa.Date(), nullable=True))
    op.add_column("subjects", sa.Column("history_cuts", sa.Integer(), nullable=False, server_default="0"))
    for name, table, column in BY_DAY:
        op.create_index(name, table, [column])
