"""Templates and photos in the database, sealed and opened. The rules are in `service` and `policy`."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.consent.tables import Grant
from app.faces import vectors
from app.faces.cards.card import Card
from app.faces.engine import Vector
from app.kit.errors import NotFoundError
from app.templates.tables import Photo, Template
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import Key
from app.vault.sealing_context import place
from app.vault.vault import Vault


@dataclass(frozen=True, slots=True)
class Place:
    """What a new row hangs from."""

    grant: Grant
    enrolment_id: UUID
    entry_id: UUID
    enrolled_on: date
    key_generation: int


def put_template(session: Session, vault: Vault, at: Place, card: Card, reference: Vector) -> None:
    """Seal *reference* as the grant's one template; any that it had is deleted."""
    grant, template_id = at.grant, uuid4()
    if grant.relying_party_id is None:
        raise ValueError(grant.purpose)
    key = vault.register.key(Owner.grant(grant.id), at.key_generation)
    session.execute(delete(Template).where(Template.grant_id == grant.id))
    session.add(
        Template(
            id=template_id,
            grant_id=grant.id,
            subject_id=grant.subject_id,
            purpose=grant.purpose,
            relying_party_id=grant.relying_party_id,
            enrolment_id=at.enrolment_id,
            enrolled_on=at.enrolled_on,
            engine_id=card.id,
            weights_sha256=card.weights_sha256,
            key_generation=at.key_generation,
            entry_id=at.entry_id,
            sealed=key.seal(
                vectors.packed(reference, weights_sha256=card.weights_sha256), place(Template.sealed, template_id)
            ),
        )
    )
    session.flush()


def put_photos(session: Session, vault: Vault, at: Place, photos: Iterable[bytes]) -> None:
    """Seal *photos* under the renewal grant, in the order sent."""
    key = vault.register.key(Owner.grant(at.grant.id), at.key_generation)
    for position, plain in enumerate(photos):
        photo_id = uuid4()
        session.add(
            Photo(
                id=photo_id,
                grant_id=at.grant.id,
                subject_id=at.grant.subject_id,
                purpose=at.grant.purpose,
                enrolment_id=at.enrolment_id,
                position=position,
                enrolled_on=at.enrolled_on,
                key_generation=at.key_generation,
                sealed=key.seal(plain, place(Photo.sealed, photo_id)),
            )
        )
    session.flush()


class SealedTemplate(NamedTuple):
    """What it takes to open a template."""

    id: UUID
    grant_id: UUID
    subject_id: UUID
    key_generation: int
    weights_sha256: str
    """What its row says; what is sealed with the vector is what holds."""
    sealed: bytes


class MislabelledError(Exception):
    """A template's row names other weights than those it was made with: it means nothing to them."""


def open_template(key: Key, template: SealedTemplate) -> Vector:
    """Return a template's vector.

    Raises:
        MislabelledError: its row says that it is of another engine than it is.
    """
    weights_sha256, vector = vectors.unpacked(key.open(template.sealed, place(Template.sealed, template.id)))
    if weights_sha256 != template.weights_sha256:
        raise MislabelledError
    return vector


def sealed_weights(vault: Vault, template: Template) -> str:
    """Return which weights a template was made with, as it is sealed with it.

    Raises:
        KeyGoneError: its key was destroyed.
        SealError: it does not open.
    """
    key = vault.register.key(Owner.grant(template.grant_id), template.key_generation)
    return vectors.unpacked(key.open(template.sealed, place(Template.sealed, template.id))).weights_sha256


def open_photo(vault: Vault, photo: Photo) -> bytes:
    """Return a kept photo.

    Raises:
        NotFoundError: its key was destroyed since it was read.
    """
    try:
        key = vault.register.key(Owner.grant(photo.grant_id), photo.key_generation)
    except KeyGoneError as error:
        raise NotFoundError from error
    return key.open(photo.sealed, place(Photo.sealed, photo.id))


def enrolments_with_photos(session: Session, subject_id: UUID) -> set[UUID]:
    """Return the person's enrolments of which photos are kept."""
    return set(session.scalars(select(Photo.enrolment_id).where(Photo.subject_id == subject_id)))


def drop_photos_without_template(session: Session, enrolment_ids: Collection[UUID]) -> set[UUID]:
    """Delete the photos of those enrolments that have no template left. Returns the grants they hung from."""
    renewed = select(Template.enrolment_id)
    replaced = (Photo.enrolment_id.in_(enrolment_ids), Photo.enrolment_id.not_in(renewed))
    grant_ids = set(session.scalars(select(Photo.grant_id).where(*replaced)))
    session.execute(delete(Photo).where(*replaced))
    return grant_ids


def drop_enrolment(session: Session, *, subject_id: UUID, enrolment_id: UUID) -> set[UUID]:
    """Delete an enrolment's templates and photos. Returns the grants they hung from; empty if there is none."""
    found: set[UUID] = set()
    for table in (Template, Photo):
        mine = (table.subject_id == subject_id, table.enrolment_id == enrolment_id)
        found |= set(session.scalars(select(table.grant_id).where(*mine)))
        session.execute(delete(table).where(*mine))
    return found


def generations_in_use(session: Session, grant_id: UUID) -> set[int]:
    """Return the generations of a grant's key that seal something."""
    return {
        generation
        for table in (Template, Photo)
        for generation in session.scalars(select(table.key_generation).where(table.grant_id == grant_id))
    }


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One enrolment as its person sees it."""

    id: UUID
    enrolled_on: date
    templates: list[Template]
    photo_ids: list[UUID]


def of(session: Session, subject_id: UUID) -> Sequence[Enrolment]:
    """Return the person's enrolments: an enrolment is the templates and photos that came of it."""
    templates = session.scalars(select(Template).where(Template.subject_id == subject_id)).all()
    photos = session.execute(
        select(Photo.enrolment_id, Photo.enrolled_on, Photo.id)
        .where(Photo.subject_id == subject_id)
        .order_by(Photo.enrolment_id, Photo.position)
    ).all()
    photo_ids = {key: [row.id for row in rows] for key, rows in groupby(photos, key=lambda row: row.enrolment_id)}
    days = {row.enrolment_id: row.enrolled_on for row in photos} | {t.enrolment_id: t.enrolled_on for t in templates}
    return [
        Enrolment(
            enrolment_id, day, [t for t in templates if t.enrolment_id == enrolment_id], photo_ids.get(enrolment_id, [])
        )
        for enrolment_id, day in sorted(days.items(), key=lambda item: (item[1], item[0]))
    ]
