"""Verification (1:1): is this the face that was enrolled under this reference?

Three steps, and no transaction spans two of them: one query says whether the party may use the reference; the engine
works outside any transaction; the decision is one `INSERT … SELECT` that writes its entry of the log only if the grant
is still in force and the template is still the one compared, and then the person's line, which the database refuses
without the entry. Without both no decision leaves (law 4).

Who has failed too often is refused twice: before any image is decoded, and with the decision. What failed is counted
in the transaction that writes the decision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID, uuid4

from sqlalchemy import and_, bindparam, insert, select
from sqlalchemy.orm import Session

from app.comparisons import failed_attempts, history
from app.comparisons.enumeration_guard import Watch
from app.comparisons.failed_attempts import Attempted
from app.comparisons.policy import Decision, Limits, Liveness, decide
from app.comparisons.tables import Comparison
from app.consent import permits
from app.consent.errors import NoSuchConsentError
from app.consent.tables import Grant
from app.db.types import UtcDateTime
from app.faces.flaws import Flaw, PhotoRefusedError
from app.faces.permit import Permit, Purpose
from app.faces.service import RunningEngine
from app.faces.vectors import distance
from app.kit.clock import Clock
from app.kit.crash_points import operation, step
from app.parties import keys
from app.templates import store
from app.templates.tables import Template
from app.transparency.log import entries
from app.transparency.tables import EntryRow
from app.vault.seal import Key
from app.vault.sealed_list import add_next, insert_next, next_position
from app.vault.vault import Vault

_STILL = (
    select(
        bindparam("comparison_id", type_=EntryRow.id.type),
        Grant.subject_id,
        next_position(EntryRow),
        bindparam("sealed", type_=EntryRow.sealed.type),
    )
    .join(Template, Template.grant_id == Grant.id)
    .where(
        permits.in_force(bindparam("now", type_=UtcDateTime())),
        Grant.id == bindparam("grant_id"),
        Template.id == bindparam("template_id"),
        keys.is_active(bindparam("key_id", type_=Comparison.id.type), now=bindparam("now", type_=UtcDateTime())),
    )
    # SQLite has one writer and drops this; PostgreSQL needs it (READ COMMITTED).
    .with_for_update(read=True, of=Grant)
)
_ENTRY = insert(EntryRow).from_select(["id", "subject_id", "position", "sealed"], _STILL).returning(EntryRow.id)
_LINE = insert_next(Comparison)


@dataclass(frozen=True, slots=True)
class Verified:
    """A decision that was written for the person to see."""

    comparison_id: UUID
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a relying party asks, but for the photo."""

    vault: Vault
    faces: RunningEngine
    watch: Watch
    key_id: UUID
    subject_ref: str
    tell_time: Clock

    @property
    def limits(self) -> Limits:
        """How often it may fail."""
        return failed_attempts.limits(self.vault.settings)


@operation("verification")
def verify(
    vault: Vault,
    faces: RunningEngine,
    *,
    relying_party_id: UUID,
    key_id: UUID,
    subject_ref: str,
    probe: bytes,
    tell_time: Clock,
) -> Verified:
    """Compare *probe* with the person that the party knows as *subject_ref*.

    Raises:
        NoSuchConsentError: the party may not use this reference now, whatever the reason; before decoding, or because
            it ended while the engine worked.
        TooManyAttemptsError: the party is stopped, for every reference; or it has to wait, for one that it may use.
        PhotoRefusedError: the probe will not do.
        BusyError: the engine cannot take it now.
    """
    watch = Watch.on(vault, relying_party_id)
    asked = Asked(vault=vault, faces=faces, watch=watch, key_id=key_id, subject_ref=subject_ref, tell_time=tell_time)
    try:
        return _verified(asked, probe)
    except NoSuchConsentError:
        watch.add_unusable(subject_ref, tell_time)
        raise


def _verified(asked: Asked, probe: bytes) -> Verified:
    permit, template = _usable(asked)
    try:
        reference, key = store.open_template(asked.vault.register, template)
    except store.TemplateUnusableError as error:
        raise NoSuchConsentError from error
    if permit is None:
        raise NoSuchConsentError
    _refuse_too_many(asked, template, key)
    faces = asked.faces
    (measured,) = faces.pool.measure(permit, [probe])
    step("measured")
    if isinstance(measured, Flaw):
        raise PhotoRefusedError.from_flaw(measured)
    apart = distance(measured.vector, reference, metric=faces.card.metric)
    decision = decide(apart, threshold=faces.threshold)
    line = partial(
        history.Line,
        relying_party_id=asked.watch.relying_party_id,
        purpose=Purpose.VERIFICATION,
        decision=decision,
        target_fmr=faces.target_fmr,
        liveness=Liveness.NOT_CHECKED,
    )
    return Verified(_commit(asked, template, key=key, line=line), decision)


def _usable(asked: Asked) -> tuple[Permit | None, store.SealedTemplate]:
    """Find permit and template in one query, so that every reason not to is the same query with the same answer.

    Where there is no template it gives that of nobody, so that looking for its keys is as much work as for any other's.
    A party that is stopped is refused before, whatever the reference.
    """
    with asked.vault.data.read() as session:
        now = asked.tell_time()
        asked.watch.refuse_if_stopped(session, now=now)
        card = asked.faces.card
        permit, wanted = permits.find_for_verification(
            session,
            relying_party_id=asked.watch.relying_party_id,
            subject_ref=asked.subject_ref,
            now=now,
            dependent=Template,
            columns=store.SEALED_TEMPLATE_COLUMNS,
            matches=and_(
                Template.grant_id == Grant.id,
                Template.engine_id == card.id,
                Template.weights_sha256 == card.weights_sha256,
            ),
        )
    return permit, store.SealedTemplate.placeholder() if None in wanted else store.SealedTemplate(*wanted)


def _refuse_too_many(asked: Asked, template: store.SealedTemplate, key: Key) -> None:
    """Refuse a reference that may be used before any image is decoded, if too many photos have failed for it."""
    with asked.vault.data.read() as session:
        attempted = Attempted(session, key, subject_id=template.subject_id)
    attempted.refuse_if_too_many(asked.watch.relying_party_id, asked.limits, now=asked.tell_time())


def _commit(asked: Asked, template: store.SealedTemplate, *, key: Key, line: Callable[..., history.Line]) -> UUID:
    """Write the person's line if they may still be compared, and return its id: without it no decision leaves."""
    comparison_id = uuid4()
    with asked.vault.data.write() as session:
        now = asked.tell_time()
        told = line(at=now)
        entry = history.entry(comparison_id, told)
        sealed = entries.seal_entry(key, comparison_id, entry)
        if not _write_if_in_force(session, template, key_id=asked.key_id, entry=(comparison_id, sealed), now=now):
            raise NoSuchConsentError
        attempted = _still_allowed(asked, session, template, key, now=now)
        row = history.sealed(key, comparison_id, told)
        add_next(session, _LINE, row_id=comparison_id, subject_id=template.subject_id, sealed=row)
        entries.add_pending_leaf(session, entry.leaf)
        attempted.add(told.decision, told.relying_party_id, now=now)
        if told.decision is Decision.NO_MATCH:
            asked.watch.add(session, asked.subject_ref, comparison_id, now=now)
    return comparison_id


def _still_allowed(
    asked: Asked, session: Session, template: store.SealedTemplate, key: Key, *, now: datetime
) -> Attempted:
    """Refuse once more: of many that were measured at once, others may have failed meanwhile."""
    asked.watch.refuse_if_stopped(session, now=now)
    attempted = Attempted(session, key, subject_id=template.subject_id)
    attempted.refuse_if_too_many(asked.watch.relying_party_id, asked.limits, now=now)
    return attempted


def _write_if_in_force(
    session: Session, template: store.SealedTemplate, *, key_id: UUID, entry: tuple[UUID, bytes], now: datetime
) -> bool:
    """Write the entry, in one statement, if grant, template and the party's key are still those compared."""
    comparison_id, sealed = entry
    values = {
        "comparison_id": comparison_id,
        "sealed": sealed,
        "person_id": template.subject_id,
        "grant_id": template.grant_id,
        "template_id": template.id,
        "key_id": key_id,
        "now": now,
    }
    return session.connection().execute(_ENTRY, values).first() is not None
