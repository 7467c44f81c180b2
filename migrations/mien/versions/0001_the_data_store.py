"""The data store. Personal values are sealed; all others are impersonal."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

IMMUTABLE = (("consent_events", "UPDATE"), ("notices", "UPDATE"), ("notices", "DELETE"))
"""Triggers forbid these changes: decisions of subjects, and the notices that they read. An erasure deletes events."""


def upgrade() -> None:
    """Apply."""
    op.create_table("bound_to", sa.Column("origin_id", sa.Uuid(), nullable=False), sa.PrimaryKeyConstraint("origin_id"))
    op.create_table(
        "notices",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("language", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("published_at", sa.DateTime(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256"),
        sa.UniqueConstraint("purpose", "language", "version"),
    )
    op.create_table(
        "relying_parties",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("contact", sa.String(500), nullable=False),
        sa.Column("alternative", sa.String(2000), nullable=False),
        sa.Column("added_on", sa.Date(), nullable=False),
        sa.Column("revoked_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "subjects",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("registered_on", sa.Date(), nullable=False),
        sa.Column("sealed_name", sa.LargeBinary(), nullable=True),
        sa.Column("restricted", sa.Boolean(), nullable=False),
        sa.Column("erasing", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "comparisons",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("subject_id", "position"),
    )
    op.create_table(
        "consent_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("subject_id", "position"),
    )
    op.create_table(
        "erasures",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("rebuilt", sa.Boolean(), nullable=False),
        sa.Column("requested_on", sa.Date(), nullable=False),
        sa.Column("completed_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("subject_id"),
    )
    op.create_table(
        "party_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("relying_party_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_on", sa.Date(), nullable=False),
        sa.ForeignKeyConstraint(["relying_party_id"], ["relying_parties.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index("ix_party_keys_relying_party_id", "party_keys", ["relying_party_id"])

    op.create_table(
        "party_purposes",
        sa.Column("relying_party_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(["relying_party_id"], ["relying_parties.id"]),
        sa.PrimaryKeyConstraint("relying_party_id", "purpose"),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_on", sa.Date(), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index("ix_tokens_subject_id", "tokens", ["subject_id"])

    op.create_table(
        "access_counts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("on_day", sa.Date(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("subject_id", "on_day"),
    )
    op.create_table(
        "grants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("relying_party_id", sa.Uuid(), nullable=True),
        sa.Column("subject_ref", sa.String(64), nullable=True),
        sa.Column("notice_sha256", sa.String(64), nullable=False),
        sa.Column("valid_until", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "(purpose = 'template_renewal') = (relying_party_id IS NULL) AND (relying_party_id IS NULL) = (subject_ref IS NULL)",
            name="party_by_purpose",
        ),
        sa.ForeignKeyConstraint(["notice_sha256"], ["notices.sha256"]),
        sa.ForeignKeyConstraint(
            ["relying_party_id", "purpose"], ["party_purposes.relying_party_id", "party_purposes.purpose"]
        ),
        sa.ForeignKeyConstraint(["subject_id"], ["subjects.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("id", "subject_id", "purpose"),
        sa.UniqueConstraint("id", "subject_id", "purpose", "relying_party_id"),
        sa.UniqueConstraint("relying_party_id", "subject_ref", "purpose"),
    )
    op.create_index("grants_by_end", "grants", ["valid_until"])
    op.create_index("one_grant_each", "grants", ["subject_id", "purpose", "relying_party_id"], unique=True)
    op.create_index(
        "one_renewal_grant_each",
        "grants",
        ["subject_id"],
        unique=True,
        sqlite_where=sa.text("relying_party_id IS NULL"),
    )

    op.create_table(
        "photos",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("grant_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("enrolment_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("enrolled_on", sa.Date(), nullable=False),
        sa.Column("key_generation", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("purpose = 'template_renewal'", name="purpose_of_a_photo"),
        sa.ForeignKeyConstraint(
            ["grant_id", "subject_id", "purpose"],
            ["grants.id", "grants.subject_id", "grants.purpose"],
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("enrolment_id", "position"),
    )
    op.create_index("ix_photos_grant_id", "photos", ["grant_id"])
    op.create_index("ix_photos_subject_id", "photos", ["subject_id"])

    op.create_table(
        "templates",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("grant_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("relying_party_id", sa.Uuid(), nullable=False),
        sa.Column("enrolment_id", sa.Uuid(), nullable=False),
        sa.Column("enrolled_on", sa.Date(), nullable=False),
        sa.Column("engine_id", sa.String(64), nullable=False),
        sa.Column("weights_sha256", sa.String(64), nullable=False),
        sa.Column("key_generation", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("purpose IN ('verification', 'identification')", name="purpose_of_a_template"),
        sa.ForeignKeyConstraint(
            ["grant_id", "subject_id", "purpose", "relying_party_id"],
            ["grants.id", "grants.subject_id", "grants.purpose", "grants.relying_party_id"],
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("grant_id"),
    )
    op.create_index("ix_templates_enrolment_id", "templates", ["enrolment_id"])
    op.create_index("ix_templates_subject_id", "templates", ["subject_id"])
    for table, action in IMMUTABLE:
        op.execute(
            f"CREATE TRIGGER {table}_never_{action.lower()} BEFORE {action} ON {table}"
            f" BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed: {action}'); END"
        )
