"""Enrolling: the engine works outside any transaction; what it gave is then sealed in one short one."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID, uuid4

from app.consent import permits
from app.consent.errors import ConsentRequiredError
from app.consent.tables import Grant
from app.faces import vectors
from app.faces.cards.card import Card
from app.faces.flaws import Flaw
from app.faces.permit import Purpose
from app.faces.refusals import PhotoRefusedError
from app.faces.service import Measuring
from app.faces.workers.messages import Measured
from app.kit.clock import Clock
from app.kit.crash_points import operation, step
from app.kit.errors import InvalidRequestError, NotFoundError
from app.subjects import service as subjects
from app.templates import policy, store
from app.templates.entries import record_deletion, record_entry
from app.templates.errors import NotTheSamePersonError, refusals
from app.templates.tables import Photo
from app.transparency.log.entries import LoggedAct
from app.vault.register import KeyGoneError, Owner
from app.vault.vault import Change, Vault
from app.web.auth import Principal


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What enrolling gave: its id, and the quality of each photo in the order sent."""

    enrolment_id: UUID
    qualities: list[Mapping[str, float]]


@operation("enrolment")
def enrol(
    vault: Vault,
    faces: Measuring,
    *,
    by: Principal,
    consent_ids: Collection[UUID],
    photos: Sequence[bytes],
    keep_photos: bool,
    tell_time: Clock,
) -> Enrolled:
    """Make one reference out of *photos* for each consent, in place of any that it had. All or nothing.

    Raises:
        ConsentRequiredError: before any image is decoded, or because a consent ended meanwhile.
        PhotoRefusedError: a photo will not do.
        NotTheSamePersonError: they are not of one person.
        BusyError: the engine cannot take them now.
    """
    if not 1 <= len(photos) <= policy.MOST_PHOTOS:
        raise InvalidRequestError(("/photos", f"send 1 to {policy.MOST_PHOTOS} photos"))
    permitted = partial(permits.find_for_enrolment, subject_id=by.id, consent_ids=consent_ids, keep_photos=keep_photos)
    with vault.data.read() as session:
        permit, _ = permitted(session, now=tell_time())
    measured = _all_good(faces.pool.measure(permit, photos))
    step("measured")
    if odd := policy.odd_ones([one.vector for one in measured], metric=faces.card.metric, threshold=faces.threshold):
        raise NotTheSamePersonError(odd)
    enrolment_id = uuid4()
    try:
        with vault.change() as change:
            now = tell_time()
            still, grants = permitted(change.session, now=now)
            subjects.get(change.session, by.id, token_id=by.token_id)
            if set(still.grant_ids) != set(permit.grant_ids):
                # The consent to keep photos ended and was given anew: these photos were sent under the old one.
                raise ConsentRequiredError
            _seal(change, vault, card=faces.card, grants=grants, enrolment_id=enrolment_id, measured=measured, now=now)
    except KeyGoneError as error:
        raise ConsentRequiredError from error
    return Enrolled(enrolment_id, [one.quality for one in measured])


def _all_good(results: Sequence[Measured | Flaw]) -> list[Measured]:
    flaws = [(index, result) for index, result in enumerate(results) if isinstance(result, Flaw)]
    if flaws:
        raise PhotoRefusedError.of(flaws[0][1], photos=refusals(flaws))
    return [result for result in results if isinstance(result, Measured)]


def _seal(
    change: Change,
    vault: Vault,
    *,
    card: Card,
    grants: Sequence[Grant],
    enrolment_id: UUID,
    measured: Sequence[Measured],
    now: datetime,
) -> None:
    """Put the enrolment in place of what the grants had; the keys of what it replaces go after the commit."""
    before = store.enrolments_with_photos(change.session, grants[0].subject_id)
    reference = vectors.mean([one.vector for one in measured], metric=card.metric)
    entry_id = uuid4()
    record_entry(
        change.session,
        vault,
        subject_id=grants[0].subject_id,
        entry_id=entry_id,
        act=LoggedAct.ENROLMENT,
        enrolment_id=str(enrolment_id),
        at=now.isoformat(),
        consents=len(grants),
        photos=len(measured),
        engine=card.id,
        weights_sha256=card.weights_sha256,
    )
    for grant in grants:
        key_generation = change.issue(Owner.grant(grant.id))
        at = store.Place(grant, enrolment_id, entry_id, now.date(), key_generation)
        if grant.purpose is Purpose.TEMPLATE_RENEWAL:
            store.put_photos(change.session, vault, at, [one.photo for one in measured if one.photo is not None])
        else:
            store.put_template(change.session, vault, at, card, reference)
    emptied = store.drop_photos_without_template(change.session, before - {enrolment_id})
    for grant_id in emptied - {grant.id for grant in grants}:
        change.issue(Owner.grant(grant_id))
    for owner, generation in change.issued:
        change.supersede(owner, keep={generation, *store.generations_in_use(change.session, owner.id)})


@operation("deleting an enrolment")
def delete(vault: Vault, *, subject_id: UUID, enrolment_id: UUID, tell_time: Clock) -> bool:
    """Delete one enrolment's templates and photos, and the keys they were sealed under; the consents stand.

    Returns:
        Whether every byte is gone from the logs of the stores too.

    Raises:
        NotFoundError: the person has no such enrolment.
    """
    with vault.change() as change:
        grant_ids = store.drop_enrolment(change.session, subject_id=subject_id, enrolment_id=enrolment_id)
        if not grant_ids:
            raise NotFoundError
        record_deletion(change.session, vault, subject_id=subject_id, enrolment_id=enrolment_id, now=tell_time())
        for grant_id in grant_ids:
            fresh = change.issue(Owner.grant(grant_id))
            in_use = store.generations_in_use(change.session, grant_id)
            change.retire(Owner.grant(grant_id), keep={fresh, *in_use})
    return change.settled


def photo(vault: Vault, *, subject_id: UUID, photo_id: UUID) -> bytes:
    """Return one kept photo, as JPEG.

    Raises:
        NotFoundError: the person has no such photo.
    """
    with vault.data.read() as session:
        row = session.get(Photo, photo_id)
    if row is None or row.subject_id != subject_id:
        raise NotFoundError
    return store.open_photo(vault, row)
