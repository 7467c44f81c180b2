"""Read the state of the service and check it against the requirements of the live profile."""

from collections.abc import Sequence

from sqlalchemy import exists, select

from app.compliance.live_requirements import policy
from app.consent import notices
from app.consent.facts import Facts
from app.consent.notice_template import controllers, front_matter
from app.consent.notices import NoticeState, NoticeStatus
from app.consent.tables import Grant, Notice
from app.faces.cards.card import Card
from app.faces.service import RunningEngine
from app.kit.process_memory import missing_protections
from app.parties.tables import RelyingParty
from app.settings import Settings
from app.vault.open import find_exposed_files
from app.vault.vault import Vault
from app.web.live_gate import LiveGate


def check(
    vault: Vault, *, settings: Settings, card: Card, facts: Facts, sandbox: Sequence[str] | None
) -> policy.LiveReport:
    """Return each live requirement, met or missing, as the service is now.

    Args:
        sandbox: protections that the sandbox of the workers lacks, by `EnginePool.status` or `sandbox_probe`.
    """
    data, register = vault.data.server(), vault.register.store.server()
    with vault.data.read() as session:
        active = select(RelyingParty).where(RelyingParty.revoked_on.is_(None)).order_by(RelyingParty.id)
        consented = select(Notice).where(exists().where(Grant.notice_sha256 == Notice.sha256))
        state = policy.ServiceState(
            settings=settings,
            card=card,
            parties=[
                policy.PartyDescription(
                    name=party.name,
                    context=party.context,
                    legal_basis=party.legal_basis,
                    alternative=party.alternative,
                    purposes=party.purposes,
                )
                for party in session.scalars(active)
            ],
            notices=[_published(one.notice, one) for one in notices.list_statuses(session, facts) if _is_offered(one)],
            consented=[_published(notice) for notice in session.scalars(consented)],
            sandbox=sandbox,
            process=missing_protections(),
            servers=None if data is None or register is None else (data, register),
            exposed=find_exposed_files(vault),
        )
    return policy.check_requirements(state)


def create_gate(vault: Vault, settings: Settings, engine: RunningEngine, facts: Facts) -> LiveGate | None:
    """Return the gate that is open while every live requirement is met; None in `prototype`."""
    if settings.profile == "prototype":
        return None

    def is_complete() -> bool:
        sandbox = engine.pool.status().missing_if_known
        return not check(vault, settings=settings, card=engine.card, facts=facts, sandbox=sandbox).missing

    return LiveGate(is_complete)


def _is_offered(status: NoticeStatus) -> bool:
    return status.state is not NoticeState.RETIRED


def _published(notice: Notice, status: NoticeStatus | None = None) -> policy.PublishedNotice:
    changed: Sequence[str] = () if status is None else status.changed
    return policy.PublishedNotice(
        name=f"{notice.purpose} ({notice.language}, version {notice.version})",
        purpose=notice.purpose,
        controllers=controllers(front_matter(notice.body)),
        changed=changed,
    )
