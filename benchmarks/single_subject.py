"""One person who may be compared, on stores of their own: with the log, or as it was before there was one.

Without the log, the triggers that require an entry are removed. The written row is the same under the same conditions,
without an entry and a pending leaf.
"""

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

from sqlalchemy import bindparam, func, insert, select

from app.comparisons import history
from app.comparisons.commit_decision import UncommittedDecision, commit_decision
from app.comparisons.enumeration_guard import EnumerationGuard
from app.comparisons.failed_attempts import failure_limits
from app.comparisons.policy import Decision, Liveness
from app.comparisons.tables import Comparison
from app.consent import events, permits
from app.consent import receipts as receipting
from app.consent.policy import ConsentEvent, EventState
from app.consent.tables import ConsentEventRow, Grant, Notice
from app.db.types import UtcDateTime
from app.faces.permit import Purpose
from app.kit.clock import utc_now
from app.kit.errors import NotFoundError
from app.parties import keys
from app.parties import service as parties
from app.parties.tables import PartyKey
from app.settings import Settings
from app.startup import Run, prepare
from app.templates import store
from app.templates.tables import Template
from app.transparency.verify import receipt as receipts
from app.vault.open import open_vault
from app.vault.register import Owner
from app.vault.sealed_list import next_position
from app.vault.sealing_context import sealing_context
from benchmarks.people_as_rows import Filler
from tests.support.sqlite_stores import in_file

_UNLOGGED = (
    insert(Comparison)
    .from_select(
        ["id", "subject_id", "position", "sealed"],
        select(
            bindparam("comparison_id", type_=Comparison.id.type),
            Grant.subject_id,
            next_position(Comparison),
            bindparam("sealed", type_=Comparison.sealed.type),
        )
        .join(Template, Template.grant_id == Grant.id)
        .where(
            permits.in_force(bindparam("now", type_=UtcDateTime())),
            Grant.id == bindparam("grant_id"),
            Template.id == bindparam("template_id"),
            keys.is_active(bindparam("key_id", type_=Comparison.id.type), now=bindparam("now", type_=UtcDateTime())),
        ),
    )
    .returning(Comparison.id)
)


class SingleSubject:
    """Requester enrolled for a relying party."""

    def __init__(self, root: Path, *, logged: bool) -> None:
        settings = Settings(data_dir=root / "data", keys_dir=root / "keys")
        self.settings, self.vault = settings, open_vault(settings)
        prepare(self.vault, settings, Run.MIGRATE)
        with self.vault.data.write() as session:
            party, _ = parties.add(
                session, name="Door", contact="-", purposes=[Purpose.VERIFICATION], alternative="-", now=utc_now()
            )
        Filler(self.vault, settings, str(party.relying_party_id)).add(1)
        with self.vault.data.read() as session:
            columns = select(*store.SEALED_TEMPLATE_COLUMNS)
            self.template = store.SealedTemplate(*session.execute(columns).one())
            self._key_id = session.execute(select(PartyKey.id)).scalar_one()
            asked = select(Notice.sha256).where(Notice.purpose == Purpose.VERIFICATION)
            self._notice = session.execute(asked).scalar_one()
        self._party_id = party.relying_party_id
        self.subject_id = self.template.subject_id
        self.key = self.vault.register.key(Owner.subject(self.subject_id))
        self._line = partial(
            history.ComparisonRecord,
            relying_party_id=party.relying_party_id,
            purpose=Purpose.VERIFICATION,
            decision=Decision.MATCH,
            target_fmr=1e-3,
            liveness=Liveness.NOT_CHECKED,
        )
        if not logged:
            # Without these triggers the schema is another, which the service would refuse.
            in_file(self.vault.data)._schema = None  # noqa: SLF001
            with self.vault.data.write() as session:
                for name in ("comparisons", "consent_events"):
                    session.connection().exec_driver_sql(f"DROP TRIGGER {name}_have_an_entry")

    def close(self) -> None:
        """Close the stores."""
        self.vault.close()

    def compare(self) -> None:
        """Commit a decision, as a verification does."""
        made = UncommittedDecision(
            record=self._line(at=utc_now()),
            template=self.template,
            subject_key=self.key,
            party_key_id=self._key_id,
            subject_ref="-",
        )
        guard = EnumerationGuard.of(self.vault, self.settings, self._party_id)
        commit_decision(self.vault, made, guard=guard, limits=failure_limits(self.settings), clock=utc_now)

    def compare_unlogged(self) -> None:
        """Commit a decision, as a verification did before there was a log."""
        comparison_id = uuid4()
        with self.vault.data.write() as session:
            now = utc_now()
            values = {
                "comparison_id": comparison_id,
                "sealed": history.COMPARISONS.seal(self.key, comparison_id, self._line(at=now)),
                "person_id": self.subject_id,
                "grant_id": self.template.grant_id,
                "template_id": self.template.id,
                "key_id": self._key_id,
                "now": now,
            }
            written = session.connection().execute(_UNLOGGED, values).first()
        if written is None:
            raise NotFoundError

    def note(self) -> None:
        """Commit a consent event with its receipt."""
        now = utc_now()
        with self.vault.data.write() as session:
            events.append(
                session,
                self.vault,
                self.key,
                subject_id=self.subject_id,
                event=self._event(now),
                settings=self.settings,
                now=now,
            )

    def note_unreceipted(self) -> None:
        """Commit a consent event by itself, as `events.append` did before there were receipts."""
        row_id, event = uuid4(), self._event(utc_now())
        with self.vault.data.write() as session:
            mine = ConsentEventRow.subject_id == self.subject_id
            last = session.scalar(select(func.max(ConsentEventRow.position)).where(mine))
            plain = json.dumps(asdict(event), default=str).encode()
            sealed = self.key.seal(plain, sealing_context(ConsentEventRow.sealed, row_id))
            session.add(ConsentEventRow(id=row_id, subject_id=self.subject_id, position=(last or 0) + 1, sealed=sealed))

    def build_receipt(self) -> receipts.ConsentReceipt:
        """Fill in the receipt of a consent."""
        with self.vault.data.read() as session:
            return receipting.build_content(session, self.settings, self._event(utc_now()))

    def _event(self, now: datetime) -> ConsentEvent:
        return ConsentEvent(
            consent_id=self.template.grant_id,
            state=EventState.GIVEN,
            event_time=now,
            purpose=Purpose.VERIFICATION,
            relying_party_id=self._party_id,
            notice_sha256=self._notice,
            valid_until=now + timedelta(days=365),
        )
