"""Commit a decision together with the subject's record of it, or not at all (laws 4 and 10)."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import Session

from app.comparisons import history
from app.comparisons.enumeration_guard import EnumerationGuard
from app.comparisons.failed_attempts import FailureLog, find_row
from app.comparisons.history import ComparisonRecord
from app.comparisons.policy import Decision, FailureLimits
from app.comparisons.tables import Comparison
from app.consent import permits
from app.consent.errors import NoSuchConsentError
from app.consent.tables import Grant
from app.db.store import lock_until_commit
from app.db.types import UtcDateTime
from app.kit.clock import Clock
from app.parties import keys
from app.subjects.tables import Subject
from app.templates.store import SealedTemplate
from app.templates.tables import Template
from app.transparency.log import entries
from app.transparency.tables import EntryRow
from app.vault.kept_answers import DependsOn, Keep, keep_nothing
from app.vault.seal import Key
from app.vault.sealed_list import next_position
from app.vault.vault import Vault

_NOW = bindparam("now", type_=UtcDateTime())
_IN_FORCE = (
    select(
        bindparam("comparison_id", type_=EntryRow.id.type),
        Grant.subject_id,
        next_position(EntryRow),
        bindparam("sealed", type_=EntryRow.sealed.type),
    )
    .join(Template, Template.grant_id == Grant.id)
    .join(Subject, Subject.id == Grant.subject_id)
    .where(
        permits.in_force_with_subject(_NOW),
        Grant.id == bindparam("grant_id"),
        Template.id == bindparam("template_id"),
        keys.is_active(bindparam("key_id", type_=Comparison.id.type), now=_NOW),
    )
    # PostgreSQL waits for a transaction that changes one of these rows, and checks the rows again. SQLite, which has
    # one writer, drops this.
    .with_for_update(read=True, of=(Grant, Subject, Template))
)
_INSERT_ENTRY = (
    insert(EntryRow).from_select(["id", "subject_id", "position", "sealed"], _IN_FORCE).returning(EntryRow.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UncommittedDecision:
    """A decision that has no effect yet, and the objects that it was made with."""

    record: ComparisonRecord
    """The subject's record of the decision; the commit sets its time."""
    template: SealedTemplate
    subject_key: Key
    party_key_id: UUID
    subject_ref: str


def commit_decision(
    vault: Vault,
    made: UncommittedDecision,
    *,
    guard: EnumerationGuard,
    limits: FailureLimits,
    clock: Clock,
    keep: Keep[UUID] = keep_nothing,
) -> UUID:
    """Commit a decision in one write transaction and return the comparison's id, which goes to *keep* as well.

    The consent, the template and the relying party's key must still be those of the comparison. The limits are checked
    again, because parallel comparisons may have failed since the first check.

    Raises:
        NoSuchConsentError: the consent, the template or the key ended while the engine worked.
        TooManyAttemptsError: the relying party was blocked meanwhile, or has to wait.
    """
    comparison_id, party_id, subject_id = uuid4(), made.record.relying_party_id, made.template.subject_id
    # A match writes only rows of its subject. A failure may block its relying party and inform other subjects.
    with vault.data.write(shared=made.record.decision is Decision.MATCH) as session:
        lock_until_commit(session, f"subject:{subject_id}")
        now = clock()
        record = replace(made.record, at=now)
        entry = history.log_entry(comparison_id, record)
        if not _insert_entry_if_in_force(session, made, comparison_id, entry, now=now):
            raise NoSuchConsentError
        guard.refuse_if_stopped(session, now=now)
        failures = FailureLog(find_row(session, subject_id), made.subject_key)
        failures.refuse_if_too_many(party_id, limits, now=now)
        history.COMPARISONS.append(
            session, made.subject_key, row_id=comparison_id, subject_id=subject_id, record=record
        )
        entries.add_pending_leaf(session, entry.leaf)
        failures.add(session, record.decision, party_id, now=now)
        if record.decision is Decision.NO_MATCH:
            guard.add(session, made.subject_ref, comparison_id, now=now)
        keep(session, comparison_id, DependsOn(subject_id, made.template.grant_id))
    return comparison_id


def _insert_entry_if_in_force(
    session: Session, made: UncommittedDecision, comparison_id: UUID, entry: entries.LogEntry, *, now: datetime
) -> bool:
    """Insert the transparency log entry in one statement that also checks consent, template and key.

    The database refuses a comparison without this entry.
    """
    values = {
        "comparison_id": comparison_id,
        "sealed": entries.seal_entry(made.subject_key, comparison_id, entry),
        "person_id": made.template.subject_id,
        "grant_id": made.template.grant_id,
        "template_id": made.template.id,
        "key_id": made.party_key_id,
        "now": now,
    }
    return session.connection().execute(_INSERT_ENTRY, values).first() is not None
