"""The context and legal basis of a relying party, and the time at which a replaced key ends."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Context and legal basis stay empty until the operator sets them; earlier keys end when replaced."""
    op.add_column("relying_parties", sa.Column("context", sa.String(length=2000), nullable=True))
    op.add_column("relying_parties", sa.Column("legal_basis", sa.String(length=2000), nullable=True))
    op.add_column("party_keys", sa.Column("ends_at", sa.DateTime(), nullable=True))
