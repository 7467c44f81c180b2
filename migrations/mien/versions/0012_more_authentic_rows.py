"""Authentication codes of notices, purposes of relying parties, and waiting messages."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

COLUMNS = "sha256, purpose, language, version, published_at, body, template, facts"


def upgrade() -> None:
    """Apply. The start computes the codes: a migration has no key."""
    for table in ("notices", "party_purposes", "outbox"):
        op.add_column(table, sa.Column("mac", sa.LargeBinary(32), nullable=True))
    # The code of an older row is written once; every other column stays as it is for ever.
    op.execute("DROP TRIGGER notices_never_update")
    op.execute(
        f"CREATE TRIGGER notices_never_update BEFORE UPDATE OF {COLUMNS} ON notices"
        " BEGIN SELECT RAISE(ABORT, 'rows of notices are never changed: UPDATE'); END"
    )
