"""Parts that several documents share, each read from the place that decides it."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.orm import Mapper

from app.compliance import notice_facts
from app.consent import notices
from app.consent.facts import Facts
from app.db.data_map import Kind, Seal
from app.db.types import Row
from app.faces.cards.card import Card
from app.faces.permit import Purpose
from app.parties import queries as parties
from app.rights import explanations, personal_data, retention
from app.settings import Settings
from app.vault.tables import RegisterRow
from app.vault.vault import Vault

Document = dict[str, Any]
MEASURES: list[Document] = tomllib.loads(Path(__file__).with_name("measures.toml").read_text("utf-8"))["measures"]
"""Measures that protect people, each with its law and the command that shows it."""
NOT_STATED = "not stated"
TRANSFERS = (
    "none by the service, which sends only answers and messages to the recipients listed; the controller has to state "
    "whether a recipient is in another country (Art. 44-49)"
)
DATA_SUBJECTS = (
    "people who registered themselves, are adults by their own statement, and enrolled photos of their own face",
    "people in a photo that a relying party sends for a comparison; nothing measured from it is stored",
)
DISCLAIMER = (
    "Made by the program from its configuration at this time. It describes the program. Whether the use is lawful "
    "depends on the controller and on the use; this is no legal advice."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The service and the time that a document describes."""

    vault: Vault
    settings: Settings
    card: Card
    now: datetime

    @property
    def facts(self) -> Facts:
        """The facts that notices state."""
        return notice_facts.collect(self.settings, self.card)


def head(source: Source, *, title: str, law: str) -> Document:
    """Return the first fields of a document: title, law, time, controller and disclaimer."""
    return {
        "title": title,
        "law": law,
        "made_at": source.now.isoformat(),
        "profile": source.settings.profile,
        "controller": controller(source.settings),
        "standing": DISCLAIMER,
    }


def controller(settings: Settings) -> Document:
    """Return the controller's details; in `prototype` each of them names the demonstration."""
    details = {
        "address": settings.controller_address,
        "contact": settings.controller_contact,
        "data_protection_officer": settings.data_protection_officer,
        "authority": settings.authority,
    }
    if settings.profile == "prototype":
        return {"name": settings.controller, **dict.fromkeys(details, settings.controller)}
    return {"name": settings.controller, **{name: value or NOT_STATED for name, value in details.items()}}


def purposes(source: Source) -> list[Document]:
    """Return each purpose with its legal basis, the relying parties that ask for it, and its notices."""
    with source.vault.data.read() as session:
        root = source.settings.root_path
        in_force = notices.list_in_force(session, source.facts)
        addresses = {(one.purpose, one.language): f"{root}/v1/notices/{one.sha256}" for one in in_force}
    listed = recipients(source)
    return [
        {
            "purpose": str(purpose),
            "in_words": explanations.PURPOSES[purpose],
            "legal_basis": explanations.LEGAL_BASIS,
            "asked_by": [one["name"] for one in listed if purpose in one["purposes"]] or [_no_party(purpose)],
            "notices": [address for (of, _), address in addresses.items() if of is purpose],
        }
        for purpose in Purpose
    ]


def _no_party(purpose: Purpose) -> str:
    return "the controller itself" if purpose is Purpose.TEMPLATE_RENEWAL else "no relying party now"


def recipients(source: Source) -> list[Document]:
    """Return every relying party that is not revoked."""
    with source.vault.data.read() as session:
        found = [party for party in parties.list_all(session) if party.revoked_on is None]
    return [
        {
            "name": one.name,
            "contact": one.contact,
            "purposes": [str(purpose) for purpose in one.purposes],
            "context": one.context or NOT_STATED,
            "legal_basis": one.legal_basis or NOT_STATED,
            "alternative": one.alternative,
            "learns": explanations.LEARNS,
        }
        for one in found
    ]


def categories() -> list[Document]:
    """Return a category for each table with personal data, with its columns."""
    return [
        {
            "category": table.name,
            "about": _about(table),
            "special": any(personal_data.classification(column) is Kind.BIOMETRIC for column in table.columns),
            "fields": [
                _field(column)
                for column in table.columns
                if personal_data.classification(column) is not Kind.IMPERSONAL
            ],
        }
        for table in personal_data.tables()
    ]


def _field(column: Column[Any]) -> str:
    seal: Seal | None = column.info.get("seal")
    kind = personal_data.classification(column)
    how = f", sealed under the key of the {seal.under}" if seal else ""
    digest = ", as a digest" if kind is Kind.CREDENTIAL else ""
    return f"{personal_data.opened_name(column)} ({kind}{how}{digest})"


def _about(table: Table) -> str:
    """Return the first paragraph of the docstring of the table's class."""
    (docstring,) = [one.class_.__doc__ or "" for one in _mappers() if one.local_table is table]
    return " ".join(docstring.split("\n\n")[0].split())


def _mappers() -> Iterator[Mapper[Any]]:
    yield from Row.registry.mappers
    yield from RegisterRow.registry.mappers


def time_limits(settings: Settings) -> list[Document]:
    """Return the retention rules, as `/v1/retention-policy` does."""
    return [rule.model_dump() for rule in retention.policy(settings)]
