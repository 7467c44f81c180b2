"""Authentication codes of tokens, subjects, consents, and relying parties with their keys."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. The start computes the codes: a migration has no key."""
    for table in ("subjects", "tokens", "grants", "relying_parties", "party_keys"):
        op.add_column(table, sa.Column("mac", sa.LargeBinary(32), nullable=True))
