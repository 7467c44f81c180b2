"""What a relying party says of itself besides, and when a key ends that is replaced."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. What was not said stays unsaid until the operator describes it; keys end when they are replaced."""
    op.add_column("relying_parties", sa.Column("context", sa.String(length=2000), nullable=True))
    op.add_column("relying_parties", sa.Column("legal_basis", sa.String(length=2000), nullable=True))
    op.add_column("party_keys", sa.Column("ends_at", sa.DateTime(), nullable=True))
