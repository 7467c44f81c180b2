"""What every paper says of the service: who, whom, what, for whom, how long. Each from where it is decided."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.orm import Mapper

from app.consent import notices
from app.db.data_map import Kind, Seal
from app.db.types import Row
from app.faces.cards.card import Card
from app.faces.permit import Purpose
from app.parties import describing
from app.rights import access, personal_data, retention
from app.settings import Settings
from app.vault.tables import RegisterRow
from app.vault.vault import Vault

Document = dict[str, Any]
UNSAID = "not said"
TRANSFERS = (
    "none by the service itself, which sends nothing but answers to the recipients named; whether one of them is in "
    "another country, the controller has to say (Art. 44-49)"
)
SUBJECTS = (
    "people who registered themselves, adults by their own word, and enrolled photos of their own face",
    "people in a photo that a relying party sends to be compared; nothing of it is kept",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a paper is made from, and when."""

    vault: Vault
    settings: Settings
    card: Card
    now: datetime


def controller(settings: Settings) -> Document:
    """Say who answers. In `prototype` nobody does, whatever is set."""
    said = {
        "address": settings.controller_address,
        "contact": settings.controller_contact,
        "data_protection_officer": settings.data_protection_officer,
        "authority": settings.authority,
    }
    if settings.profile == "prototype":
        return {"name": settings.controller, **dict.fromkeys(said, settings.controller)}
    return {"name": settings.controller, **{name: value or UNSAID for name, value in said.items()}}


def purposes(asked: Source) -> list[Document]:
    """Say for what, on which ground, and on which text people are asked."""
    with asked.vault.data.read() as session:
        texts = {(one.purpose, one.language): f"/v1/notices/{one.sha256}" for one in notices.in_force(session)}
    standing = recipients(asked)
    return [
        {
            "purpose": str(purpose),
            "in_words": access.PURPOSES[purpose],
            "legal_basis": access.LEGAL_BASIS,
            "asked_by": [one["name"] for one in standing if purpose in one["purposes"]] or [_itself(purpose)],
            "notices": [text for (of, _), text in texts.items() if of is purpose],
        }
        for purpose in Purpose
    ]


def _itself(purpose: Purpose) -> str:
    return "the controller itself" if purpose is Purpose.TEMPLATE_RENEWAL else "no relying party now"


def recipients(asked: Source) -> list[Document]:
    """Say who may learn something: every relying party that is not revoked."""
    with asked.vault.data.read() as session:
        found = [one.party for one in describing.every(session) if one.revoked_on is None]
    return [
        {
            "name": one.name,
            "contact": one.contact,
            "purposes": [str(purpose) for purpose in one.purposes],
            "context": one.context or UNSAID,
            "legal_basis": one.legal_basis or UNSAID,
            "alternative": one.alternative,
            "learns": access.LEARNS,
        }
        for one in found
    ]


def categories() -> list[Document]:
    """Say what is held about people: a category for each table that the data map finds, with its columns."""
    return [
        {
            "category": table.name,
            "about": _about(table),
            "special": any(personal_data.kind_of(column) is Kind.BIOMETRIC for column in table.columns),
            "fields": [
                _field(column) for column in table.columns if personal_data.kind_of(column) is not Kind.IMPERSONAL
            ],
        }
        for table in personal_data.tables()
    ]


def _field(column: Column[Any]) -> str:
    seal: Seal | None = column.info.get("seal")
    how = f", sealed under the key of the {seal.under}" if seal else ""
    digest = ", as a digest" if personal_data.kind_of(column) is Kind.CREDENTIAL else ""
    return f"{personal_data.name_of(column)} ({personal_data.kind_of(column)}{how}{digest})"


def _about(table: Table) -> str:
    """Return what the table's class says of itself."""
    (said,) = [one.class_.__doc__ or "" for one in _mappers() if one.local_table is table]
    return " ".join(said.split("\n\n")[0].split())


def _mappers() -> Iterator[Mapper[Any]]:
    yield from Row.registry.mappers
    yield from RegisterRow.registry.mappers


def time_limits(settings: Settings) -> list[Document]:
    """Say how long each thing is kept, as `/v1/retention-policy` does."""
    return [asdict(rule) for rule in retention.policy(settings)]


def head(asked: Source, *, title: str, law: str) -> Document:
    """Say which paper this is, of whom, and that it is no judgement."""
    return {
        "title": title,
        "law": law,
        "made_at": asked.now.isoformat(),
        "profile": asked.settings.profile,
        "controller": controller(asked.settings),
        "standing": STANDING,
    }


STANDING = (
    "Made by the program from its configuration as it was at this time. It says what the program does. Whether the use "
    "is lawful depends on the controller and on the use; this is no legal advice."
)
