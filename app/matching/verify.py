"""Verification (1:1): is this the face that was enrolled under this reference?

Three steps, and no transaction spans two of them: one query says whether the party may use the reference; the engine
works outside any transaction; the decision is one `INSERT … SELECT` that writes its entry of the log only if the grant
is still in force and the template is still the one compared, and then the person's line, which the database refuses
without the entry. Without both no decision leaves (law 4).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID, uuid4

from sqlalchemy import and_, bindparam, insert, select

from app.consent import permits
from app.consent.errors import NoSuchConsentError
from app.consent.tables import Grant
from app.enrolment import store
from app.enrolment.tables import Template
from app.faces.cards import Card
from app.faces.engine import Vector
from app.faces.features import distance
from app.faces.flaws import Flaw
from app.faces.measuring import Measuring
from app.faces.permit import Permit, Purpose
from app.faces.refusals import PhotoRefusedError
from app.kit.clock import Clock
from app.kit.db import UtcDateTime
from app.kit.prepared import Prepared, Statements
from app.kit.steps import operation, step
from app.ledger import entries
from app.ledger.tables import EntryRow
from app.matching import history
from app.matching.policy import Decision, Liveness, decide
from app.matching.tables import Comparison
from app.parties import keys
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import KekError, Key, SealError
from app.vault.vault import Vault

_PERMITTED = permits.ForVerification(
    Template,
    wanted=(Template.id, Template.grant_id, Template.subject_id, Template.key_generation, Template.sealed),
    fits=and_(Template.grant_id == Grant.id, Template.weights_sha256 == bindparam("weights_sha256")),
)
_STILL = (
    select(
        bindparam("comparison_id", type_=EntryRow.id.type),
        Grant.subject_id,
        entries.next_position(EntryRow),
        bindparam("sealed", type_=EntryRow.sealed.type),
    )
    .join(Template, Template.grant_id == Grant.id)
    .where(
        permits.live(bindparam("now", type_=UtcDateTime())),
        Grant.id == bindparam("grant_id"),
        Template.id == bindparam("template_id"),
        keys.may_still_ask(bindparam("key_id", type_=Comparison.id.type), now=bindparam("now", type_=UtcDateTime())),
    )
    # SQLite has one writer and drops this; PostgreSQL needs it (READ COMMITTED).
    .with_for_update(read=True, of=Grant)
)
_ENTRY = Prepared(
    insert(EntryRow).from_select(["id", "subject_id", "position", "sealed"], _STILL).returning(EntryRow.id)
)
_LINE = entries.next_row(Comparison)


@dataclass(frozen=True, slots=True)
class Verified:
    """A decision that was written for the person to see."""

    comparison_id: UUID
    decision: Decision


@operation("verification")
def verify(
    vault: Vault,
    faces: Measuring,
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
        PhotoRefusedError: the probe will not do.
        BusyError: the engine cannot take it now.
    """
    permit, template = _usable(
        vault, faces.card, relying_party_id=relying_party_id, subject_ref=subject_ref, now=tell_time()
    )
    key, reference = _opened(vault, template)
    if permit is None:
        raise NoSuchConsentError
    (measured,) = faces.pool.measure(permit, [probe])
    step("measured")
    if isinstance(measured, Flaw):
        raise PhotoRefusedError.of(measured)
    decision = decide(distance(measured.vector, reference), threshold=faces.threshold)
    line = partial(
        history.Line,
        relying_party_id=relying_party_id,
        purpose=Purpose.VERIFICATION,
        decision=decision,
        target_fmr=faces.target_fmr,
        liveness=Liveness.NOT_CHECKED,
    )
    return Verified(_commit(vault, template, key_id=key_id, key=key, line=line, tell_time=tell_time), decision)


def _usable(
    vault: Vault, card: Card, *, relying_party_id: UUID, subject_ref: str, now: datetime
) -> tuple[Permit | None, store.SealedTemplate]:
    """Find permit and template in one query, so that every reason not to is the same query with the same answer.

    Where there is no template it gives that of nobody, so that looking for its keys is as much work as for any other's.
    """
    with vault.data.reading() as reading:
        permit, wanted = _PERMITTED.find(
            reading,
            relying_party_id=relying_party_id,
            subject_ref=subject_ref,
            now=now,
            weights_sha256=card.weights_sha256,
        )
    nobody = store.SealedTemplate(uuid4(), uuid4(), uuid4(), 1, b"")
    return permit, nobody if None in wanted else store.SealedTemplate(*wanted)


def _opened(vault: Vault, template: store.SealedTemplate) -> tuple[Key, Vector]:
    """Return the person's key and their template, before any image is measured: without them it is for nothing."""
    grant, subject = Owner.grant(template.grant_id), Owner.subject(template.subject_id)
    try:
        template_key, key = vault.register.keys((grant, template.key_generation), (subject, 1))
    except (KeyGoneError, KekError, SealError) as error:
        raise NoSuchConsentError from error
    return key, store.open_template(template_key, template)


def _commit(
    vault: Vault,
    template: store.SealedTemplate,
    *,
    key_id: UUID,
    key: Key,
    line: Callable[..., history.Line],
    tell_time: Clock,
) -> UUID:
    """Write the person's line if they may still be compared, and return its id: without it no decision leaves."""
    comparison_id = uuid4()
    with vault.data.writing() as writing:
        now = tell_time()
        told = line(at=now)
        entry = history.entry(comparison_id, told)
        sealed = entries.sealed(key, comparison_id, entry)
        if not _write_if_in_force(writing, template, key_id=key_id, entry=(comparison_id, sealed), now=now):
            raise NoSuchConsentError
        writing.all(
            _LINE,
            id=comparison_id,
            subject_id=template.subject_id,
            person_id=template.subject_id,
            sealed=history.sealed(key, comparison_id, told),
        )
        entries.pend(writing, entry.leaf)
    return comparison_id


def _write_if_in_force(
    writing: Statements, template: store.SealedTemplate, *, key_id: UUID, entry: tuple[UUID, bytes], now: datetime
) -> bool:
    """Write the entry, in one statement, if grant, template and the party's key are still those compared."""
    comparison_id, sealed = entry
    written = writing.first(
        _ENTRY,
        comparison_id=comparison_id,
        sealed=sealed,
        person_id=template.subject_id,
        grant_id=template.grant_id,
        template_id=template.id,
        key_id=key_id,
        now=now,
    )
    return written is not None
