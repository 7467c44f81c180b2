"""Read the state of the service and check it against the requirements of the live profile."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import exists, select

from app.compliance.live_requirements import policy
from app.consent import notices
from app.consent.tables import Grant, Notice
from app.faces.cards.card import Card
from app.parties.tables import RelyingParty
from app.settings import Settings
from app.vault.vault import Vault


def check(vault: Vault, *, settings: Settings, card: Card) -> policy.LiveReport:
    """Return each live requirement, met or missing, as the service is now."""
    with vault.data.read() as session:
        active = select(RelyingParty).where(RelyingParty.revoked_on.is_(None)).order_by(RelyingParty.id)
        consented = select(Notice).where(exists().where(Grant.notice_sha256 == Notice.sha256))
        state = policy.ServiceState(
            settings=settings,
            card=card,
            parties=[
                policy.PartyDescription(
                    name=party.name, context=party.context, legal_basis=party.legal_basis, alternative=party.alternative
                )
                for party in session.scalars(active)
            ],
            notices=_published(notices.list_in_force(session)),
            consented=_published(session.scalars(consented)),
        )
    return policy.check_requirements(state)


def _published(rows: Iterable[Notice]) -> list[policy.PublishedNotice]:
    published = []
    for notice in rows:
        controllers: list[dict[str, Any]] = notices.front_matter(notice.body)["pii_controllers"]
        names = [str(controller.get("party_name", "")) for controller in controllers]
        name = f"{notice.purpose} ({notice.language}, version {notice.version})"
        published.append(policy.PublishedNotice(name=name, controllers=names))
    return published
