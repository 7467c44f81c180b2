"""Sealed templates and kept photos in the data store: write, open, list and delete."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import structlog
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.consent.grant_keys import generations_in_use
from app.consent.tables import Grant
from app.faces import vectors
from app.faces.cards.card import Card
from app.faces.engine import Vector
from app.kit.errors import NotFoundError
from app.templates.tables import Photo, Template
from app.vault.register import KeyGoneError, Owner, Register
from app.vault.seal import KekError, Key, SealError
from app.vault.sealing_context import sealing_context
from app.vault.vault import Change, Vault

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class EnrolmentColumns:
    """Values that new template and photo rows take from their grant and enrolment."""

    grant: Grant
    enrolment_id: UUID
    entry_id: UUID
    enrolled_on: date
    key_generation: int

    def shared(self) -> dict[str, Any]:
        """Return the columns that both tables have."""
        return {
            "grant_id": self.grant.id,
            "subject_id": self.grant.subject_id,
            "purpose": self.grant.purpose,
            "enrolment_id": self.enrolment_id,
            "enrolled_on": self.enrolled_on,
            "key_generation": self.key_generation,
        }


def put_template(session: Session, vault: Vault, columns: EnrolmentColumns, card: Card, reference: Vector) -> None:
    """Seal *reference* as the grant's only template; delete the template that it replaces."""
    grant, template_id = columns.grant, uuid4()
    if grant.relying_party_id is None:
        raise ValueError(grant.purpose)
    key = vault.register.key(Owner.grant(grant.id), columns.key_generation)
    blob = vectors.pack(reference, weights_sha256=card.weights_sha256)
    session.execute(delete(Template).where(Template.grant_id == grant.id))
    session.add(
        Template(
            id=template_id,
            relying_party_id=grant.relying_party_id,
            engine_id=card.id,
            weights_sha256=card.weights_sha256,
            entry_id=columns.entry_id,
            sealed=key.seal(blob, sealing_context(Template.sealed, template_id)),
            **columns.shared(),
        )
    )
    session.flush()


def put_photos(session: Session, vault: Vault, columns: EnrolmentColumns, photos: Iterable[bytes]) -> None:
    """Seal *photos* under the renewal grant, in the order sent."""
    key = vault.register.key(Owner.grant(columns.grant.id), columns.key_generation)
    for position, jpeg in enumerate(photos):
        photo_id = uuid4()
        sealed = key.seal(jpeg, sealing_context(Photo.sealed, photo_id))
        session.add(Photo(id=photo_id, position=position, sealed=sealed, **columns.shared()))
    session.flush()


class SealedTemplate(NamedTuple):
    """The columns of a template row that opening it needs."""

    id: UUID
    grant_id: UUID
    subject_id: UUID
    key_generation: int
    weights_sha256: str
    """Label on the row. The label sealed with the vector decides."""
    sealed: bytes

    @classmethod
    def placeholder(cls) -> "SealedTemplate":
        """Return a template with ids of no row.

        Opening it reads the register as for a real one, so that timing does not reveal whether a reference exists.
        """
        return cls(uuid4(), uuid4(), uuid4(), 1, "", b"")


SEALED_TEMPLATE_COLUMNS = tuple(getattr(Template, name) for name in SealedTemplate._fields)
"""The columns to select for a `SealedTemplate`, in its order."""


class OpenTemplate(NamedTuple):
    """A template's vector, and the key of its subject."""

    vector: Vector
    subject_key: Key


class TemplateUnusableError(Exception):
    """The template cannot be compared: it or a key does not open, a key is missing, or the row's label is false."""


def open_template(register: Register, template: SealedTemplate) -> OpenTemplate:
    """Open a template with one read of the register.

    Raises:
        TemplateUnusableError: it must not be compared.
    """
    grant, subject = Owner.grant(template.grant_id), Owner.subject(template.subject_id)
    try:
        key, subject_key = register.keys((grant, template.key_generation), (subject, 1))
    except (KeyGoneError, KekError, SealError) as error:
        raise TemplateUnusableError from error
    try:
        opened = _unseal(key, template)
    except SealError as error:
        log.error("a template does not open")
        raise TemplateUnusableError from error
    if opened.weights_sha256 != template.weights_sha256:
        log.error("a template is labelled with another engine than its own")
        raise TemplateUnusableError
    return OpenTemplate(opened.vector, subject_key)


def sealed_weights(vault: Vault, template: Template | SealedTemplate) -> str:
    """Return the weights hash that is sealed with a template's vector.

    Raises:
        KeyGoneError: its key was destroyed.
        SealError: it does not open, or a newer version made it.
    """
    key = vault.register.key(Owner.grant(template.grant_id), template.key_generation)
    return _unseal(key, template).weights_sha256


def _unseal(key: Key, template: Template | SealedTemplate) -> vectors.LabelledVector:
    content = key.open(template.sealed, sealing_context(Template.sealed, template.id))
    try:
        return vectors.unpack(content)
    except ValueError as error:
        raise SealError from error


def open_photo(vault: Vault, photo: Photo) -> bytes:
    """Return a kept photo as JPEG.

    Raises:
        NotFoundError: its key was destroyed after its row was read.
    """
    try:
        key = vault.register.key(Owner.grant(photo.grant_id), photo.key_generation)
    except KeyGoneError as error:
        raise NotFoundError from error
    return key.open(photo.sealed, sealing_context(Photo.sealed, photo.id))


def enrolments_with_photos(session: Session, subject_id: UUID) -> set[UUID]:
    """Return the subject's enrolments that have kept photos."""
    return set(session.scalars(select(Photo.enrolment_id).where(Photo.subject_id == subject_id)))


def drop_photos_without_template(session: Session, enrolment_ids: Collection[UUID]) -> set[UUID]:
    """Delete the photos of those enrolments that have no template left. Return the grants of the photos."""
    orphaned = (Photo.enrolment_id.in_(enrolment_ids), Photo.enrolment_id.not_in(select(Template.enrolment_id)))
    grant_ids = set(session.scalars(select(Photo.grant_id).where(*orphaned)))
    session.execute(delete(Photo).where(*orphaned))
    return grant_ids


def drop_enrolment(session: Session, *, subject_id: UUID, enrolment_id: UUID) -> set[UUID]:
    """Delete an enrolment's templates and photos. Return their grants; empty if the enrolment does not exist."""
    grant_ids: set[UUID] = set()
    for table in (Template, Photo):
        selected = (table.subject_id == subject_id, table.enrolment_id == enrolment_id)
        grant_ids |= set(session.scalars(select(table.grant_id).where(*selected)))
        session.execute(delete(table).where(*selected))
    return grant_ids


def drop_old_keys_after_commit(change: Change) -> None:
    """Destroy, after the commit, the keys that the new ones of *change* replace and that seal no row."""
    for owner, generation in change.issued:
        in_use = generations_in_use(change.session, owner.id)
        change.drop_old_keys(owner, keep={generation, *in_use}, after_commit=True)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One enrolment, as its templates and photos show it."""

    id: UUID
    enrolled_on: date
    photo_ids: list[UUID] = field(default_factory=list)


def list_enrolments(session: Session, subject_id: UUID) -> Sequence[Enrolment]:
    """Return the subject's enrolments, oldest first, each with its kept photos in the order sent."""
    found: dict[UUID, Enrolment] = {}
    templates = select(Template.enrolment_id, Template.enrolled_on).where(Template.subject_id == subject_id)
    for enrolment_id, day in session.execute(templates):
        found[enrolment_id] = Enrolment(enrolment_id, day)
    photos = select(Photo.enrolment_id, Photo.enrolled_on, Photo.id).where(Photo.subject_id == subject_id)
    for enrolment_id, day, photo_id in session.execute(photos.order_by(Photo.position)):
        found.setdefault(enrolment_id, Enrolment(enrolment_id, day)).photo_ids.append(photo_id)
    return sorted(found.values(), key=lambda enrolment: (enrolment.enrolled_on, enrolment.id))
