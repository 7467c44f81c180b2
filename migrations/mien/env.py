"""Run Alembic on the data store, in the transaction that the caller opened."""

from alembic import context

from app.comparisons import tables as matching
from app.consent import tables as consent
from app.db.types import Row
from app.parties import tables as parties
from app.rights import tables as rights
from app.subjects import tables as subjects
from app.templates import tables as enrolment
from app.vault import tables as vault

ROOMS = (consent, enrolment, matching, parties, rights, subjects, vault)
"""Import every table into `Row.metadata`."""

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
