"""Verification (1:1): decide whether a photo shows the face that was enrolled under a reference.

Permit and template are found in one read transaction, and their keys in one read of the register. The engine then works
outside any transaction. One write transaction commits the decision, if the consent is still in force (law 4).

A relying party that failed too often is refused twice: before any image is decoded, and with the decision.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import and_, bindparam

from app.comparisons.commit_decision import UncommittedDecision, commit_decision
from app.comparisons.enumeration_guard import EnumerationGuard
from app.comparisons.failed_attempts import FailureLog, failure_limits, find_row
from app.comparisons.history import ComparisonRecord
from app.comparisons.policy import Decision, Liveness
from app.comparisons.tables import Attempts
from app.consent import permits
from app.consent.errors import NoSuchConsentError
from app.faces.engine import Vector
from app.faces.flaws import Flaw, PhotoRefusedError
from app.faces.permit import Permit, Purpose
from app.faces.service import RunningEngine
from app.faces.vectors import distance
from app.kit.clock import Clock
from app.kit.crash_points import operation, step
from app.settings import Settings
from app.templates import store
from app.templates.tables import Template
from app.vault.kept_answers import Keep, keep_as, keep_nothing
from app.vault.seal import Key
from app.vault.vault import Vault
from app.verification import policy

_TEMPLATE = permits.verification_query(
    Template.grant_id,
    store.SEALED_TEMPLATE_COLUMNS,
    matches=and_(Template.engine_id == bindparam("engine_id"), Template.weights_sha256 == bindparam("weights_sha256")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationRequest:
    """The request of a relying party, without the photo."""

    relying_party_id: UUID
    key_id: UUID
    """The key with which the relying party authenticated."""
    subject_ref: str


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """A committed decision, which the subject can see."""

    comparison_id: UUID
    decision: Decision


@operation("verification")
def verify(
    vault: Vault,
    engine: RunningEngine,
    request: VerificationRequest,
    *,
    probe: bytes,
    settings: Settings,
    clock: Clock,
    keep: Keep[VerificationResult] = keep_nothing,
) -> VerificationResult:
    """Compare *probe* with the subject that the relying party knows under a reference.

    Raises:
        NoSuchConsentError: the relying party may not use this reference. Raised before the probe is decoded, or with
            the decision if the consent ended while the engine worked.
        TooManyAttemptsError: the relying party is blocked for every reference, or has to wait for this one.
        PhotoRefusedError: the probe is not suitable.
        BusyError: the engine has no capacity.
    """
    guard, limits = EnumerationGuard.of(vault, settings, request.relying_party_id), failure_limits(settings)
    try:
        found, template, failures = _find(vault, engine, request, guard, clock)
        permit, reference, subject_key = _open(vault, found, template)
        FailureLog(failures, subject_key).refuse_if_too_many(request.relying_party_id, limits, now=clock())
        record = _decide(engine, request, _measure(engine, permit, probe), reference, now=clock())
        uncommitted = UncommittedDecision(
            record=record,
            template=template,
            subject_key=subject_key,
            party_key_id=request.key_id,
            subject_ref=request.subject_ref,
        )
        result = partial(VerificationResult, decision=record.decision)
        comparison_id = commit_decision(
            vault, uncommitted, guard=guard, limits=limits, clock=clock, keep=keep_as(result, keep)
        )
    except (NoSuchConsentError, store.TemplateUnusableError) as error:
        guard.add_unusable(request.subject_ref, clock)
        raise NoSuchConsentError from error
    return result(comparison_id)


def _find(
    vault: Vault, engine: RunningEngine, request: VerificationRequest, guard: EnumerationGuard, clock: Clock
) -> tuple[Permit | None, store.SealedTemplate, Attempts]:
    """Find the permit, the template and the subject's failures, in one read transaction.

    Every unusable reference takes the same queries (law 9). Where there is no template, random ids take its place, so
    that reading its keys is as much work as for any other. A blocked relying party is refused first, for each reference
    alike.
    """
    with vault.data.read() as session:
        now = clock()
        guard.refuse_if_stopped(session, now=now, subject_ref=request.subject_ref)
        permit, columns = permits.find_for_verification(
            session,
            _TEMPLATE,
            relying_party_id=request.relying_party_id,
            subject_ref=request.subject_ref,
            now=now,
            values={"engine_id": engine.card.id, "weights_sha256": engine.card.weights_sha256},
        )
        template = store.SealedTemplate.placeholder() if None in columns else store.SealedTemplate(*columns)
        return permit, template, find_row(session, template.subject_id)


def _open(vault: Vault, permit: Permit | None, template: store.SealedTemplate) -> tuple[Permit, Vector, Key]:
    """Open the template first, so that a missing permit takes as much work as any other refusal."""
    reference, subject_key = store.open_template(vault.register, template)
    if permit is None:
        raise NoSuchConsentError
    return permit, reference, subject_key


def _decide(
    engine: RunningEngine, request: VerificationRequest, features: Vector, reference: Vector, *, now: datetime
) -> ComparisonRecord:
    return ComparisonRecord(
        at=now,
        relying_party_id=request.relying_party_id,
        purpose=Purpose.VERIFICATION,
        decision=policy.decide(distance(features, reference, metric=engine.card.metric), threshold=engine.threshold),
        target_fmr=engine.target_fmr,
        liveness=Liveness.NOT_CHECKED,
    )


def _measure(engine: RunningEngine, permit: Permit, probe: bytes) -> Vector:
    """Return the features of the face in the probe; no transaction is open."""
    (measured,) = engine.pool.measure(permit, [probe])
    step("measured")
    if isinstance(measured, Flaw):
        raise PhotoRefusedError.from_flaw(measured)
    return measured.vector
