"""Facts of a notice, retired notices, and photos that end with the last consent that they served."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

WITHOUT_FACTS = """
CREATE TRIGGER notices_record_their_facts BEFORE INSERT ON notices
WHEN NEW.facts IS NULL OR NEW.template IS NULL
BEGIN SELECT RAISE(ABORT, 'a notice records the facts that it states'); END
"""
NO_CONSENT = """
CREATE TRIGGER no_consent_to_a_retired_notice BEFORE INSERT ON grants
WHEN EXISTS (SELECT 1 FROM retired_notices WHERE sha256 = NEW.notice_sha256)
BEGIN SELECT RAISE(ABORT, 'a retired notice takes no new consents'); END
"""
LAST_CONSENT = """
CREATE TRIGGER photos_end_with_the_last_consent BEFORE DELETE ON grants
BEGIN
  DELETE FROM photos
  WHERE enrolment_id IN (SELECT enrolment_id FROM templates WHERE grant_id = OLD.id)
    AND enrolment_id NOT IN (SELECT enrolment_id FROM templates WHERE grant_id <> OLD.id);
END
"""
"""A kept photo serves the templates of its enrolment; without one, nothing is left to renew."""


def upgrade() -> None:
    """Apply. The facts of earlier notices are unknown, so these notices are stale."""
    op.add_column("notices", sa.Column("template", sa.LargeBinary(), nullable=True))
    op.add_column("notices", sa.Column("facts", sa.JSON(), nullable=True))
    op.create_table(
        "retired_notices",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("retired_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["notices.sha256"]),
        sa.PrimaryKeyConstraint("sha256"),
    )
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER retired_notices_never_{action.lower()} BEFORE {action} ON retired_notices"
            f" BEGIN SELECT RAISE(ABORT, 'rows of retired_notices are never changed: {action}'); END"
        )
    for trigger in (WITHOUT_FACTS, NO_CONSENT, LAST_CONSENT):
        op.execute(trigger)
