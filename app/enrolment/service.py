"""Enrolment: permit, measure, same-person check, one commit.

The engine works outside any transaction. The last transaction checks the permit again.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID, uuid4

from app.consent import permits
from app.consent.errors import ConsentRequiredError
from app.consent.grant_keys import renew_key
from app.consent.tables import Grant
from app.faces import vectors
from app.faces.cards.card import Card
from app.faces.flaws import Flaw, PhotoRefusedError
from app.faces.permit import Permit, Purpose
from app.faces.service import RunningEngine
from app.faces.workers.messages import Measurement
from app.kit.clock import Clock
from app.kit.crash_points import operation, step
from app.kit.errors import InvalidRequestError, NotFoundError
from app.subjects import service as subjects
from app.templates import policy, store
from app.templates.errors import NotTheSamePersonError
from app.templates.log_entries import record_deletion, record_entry
from app.templates.tables import Photo
from app.transparency.log.entries import LoggedAct
from app.vault.ending import ends
from app.vault.kept_answers import DependsOn, Keep, keep_nothing
from app.vault.register import KeyGoneError, Owner
from app.vault.vault import Change, Vault
from app.web.callers import Principal


@dataclass(frozen=True, slots=True)
class EnrolmentResult:
    """A finished enrolment, with the quality of each photo in the order sent."""

    enrolment_id: UUID
    qualities: list[Mapping[str, float]]
    purposes: frozenset[Purpose]
    """Purposes of the consents."""


@operation("enrolment")
def enrol(
    vault: Vault,
    engine: RunningEngine,
    *,
    by: Principal,
    consent_ids: Collection[UUID],
    photos: Sequence[bytes],
    keep_photos: bool,
    clock: Clock,
    keep: Keep[EnrolmentResult] = keep_nothing,
) -> EnrolmentResult:
    """Make one reference from *photos* for each consent, and replace its template. All or nothing.

    Raises:
        ConsentRequiredError: before any image is decoded, or because a consent ended meanwhile.
        PhotoRefusedError: a photo has a flaw.
        NotTheSamePersonError: the photos show more than one person.
        BusyError: the engine cannot take them now.
    """
    if not 1 <= len(photos) <= policy.MAX_PHOTOS:
        raise InvalidRequestError(("/photos", f"send 1 to {policy.MAX_PHOTOS} photos"))
    find_permit = partial(
        permits.find_for_enrolment, subject_id=by.id, consent_ids=consent_ids, keep_photos=keep_photos
    )
    with vault.data.read() as session:
        permit, _ = find_permit(session, now=clock())
    measured = _measure(engine, permit, photos)
    try:
        with vault.change() as change:
            now = clock()
            current, grants = find_permit(change.session, now=now)
            subjects.get(change.session, by.id, token_id=by.token_id)
            # If the renewal consent ended and was given anew, these photos were sent under the old one.
            if set(current.grant_ids) != set(permit.grant_ids):
                raise ConsentRequiredError
            result = _commit(change, vault, card=engine.card, grants=grants, measured=measured, now=now)
            keep(change.session, result, DependsOn(by.id, grants[0].id))
    except KeyGoneError as error:
        raise ConsentRequiredError from error
    return result


def _measure(engine: RunningEngine, permit: Permit, photos: Sequence[bytes]) -> list[Measurement]:
    results = engine.pool.measure(permit, photos)
    step("measured")
    if flaws := [(index, result) for index, result in enumerate(results) if isinstance(result, Flaw)]:
        details = [{"index": index, "slug": flaw.slug, "detail": flaw.detail} for index, flaw in flaws]
        raise PhotoRefusedError.from_flaw(flaws[0][1], photos=details)
    measured = [result for result in results if isinstance(result, Measurement)]
    photo_vectors = [photo.vector for photo in measured]
    if odd := policy.find_odd_photos(photo_vectors, metric=engine.card.metric, threshold=engine.threshold):
        raise NotTheSamePersonError(odd)
    return measured


def _commit(
    change: Change,
    vault: Vault,
    *,
    card: Card,
    grants: Sequence[Grant],
    measured: Sequence[Measurement],
    now: datetime,
) -> EnrolmentResult:
    """Replace templates and kept photos. Old keys are destroyed after the commit."""
    subject_id, enrolment_id = grants[0].subject_id, uuid4()
    before = store.enrolments_with_photos(change.session, subject_id)
    reference = vectors.mean([photo.vector for photo in measured], metric=card.metric)
    entry_id = record_entry(
        change.session,
        vault,
        LoggedAct.ENROLMENT,
        subject_id=subject_id,
        enrolment_id=str(enrolment_id),
        at=now.isoformat(),
        consents=len(grants),
        photos=len(measured),
        engine=card.id,
        weights_sha256=card.weights_sha256,
    )
    for grant in grants:
        generation = change.issue(Owner.grant(grant.id))
        columns = store.EnrolmentColumns(grant, enrolment_id, entry_id, now.date(), generation)
        if grant.purpose is Purpose.TEMPLATE_RENEWAL:
            jpegs = [photo.photo for photo in measured if photo.photo is not None]
            store.put_photos(change.session, vault, columns, jpegs)
        else:
            store.put_template(change.session, vault, columns, card, reference)
    emptied = store.drop_photos_without_template(change.session, before - {enrolment_id})
    for grant_id in emptied - {grant.id for grant in grants}:
        change.issue(Owner.grant(grant_id))
    store.drop_old_keys_after_commit(change)
    purposes = frozenset(grant.purpose for grant in grants)
    return EnrolmentResult(enrolment_id, [photo.quality for photo in measured], purposes)


@operation("deleting an enrolment")
@ends
def delete_enrolment(vault: Vault, *, subject_id: UUID, enrolment_id: UUID, clock: Clock) -> bool:
    """Delete one enrolment's templates, photos and keys. The consents stay in force.

    Returns:
        Whether every byte has also left the stores' write-ahead logs.

    Raises:
        NotFoundError: the subject has no such enrolment.
    """
    with vault.change() as change:
        grant_ids = store.drop_enrolment(change.session, subject_id=subject_id, enrolment_id=enrolment_id)
        if not grant_ids:
            raise NotFoundError
        record_deletion(change.session, vault, subject_id=subject_id, enrolment_id=enrolment_id, now=clock())
        for grant_id in grant_ids:
            renew_key(change, grant_id, after_commit=False)
    return change.erased_from_disk


def open_photo(vault: Vault, *, subject_id: UUID, photo_id: UUID) -> bytes:
    """Return one kept photo, as JPEG.

    Raises:
        NotFoundError: the subject has no such photo.
    """
    with vault.data.read() as session:
        row = session.get(Photo, photo_id)
    if row is None or row.subject_id != subject_id:
        raise NotFoundError
    return store.open_photo(vault, row)
