"""The register says which key-encryption key is in force."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. The first start fills it in: only who holds the key knows its id."""
    op.add_column("origin", sa.Column("kek_id", sa.String(16), nullable=True))
