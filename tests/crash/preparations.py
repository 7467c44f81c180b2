"""Preparations: each brings a service to the state before an operation, and returns its people and relying parties."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import httpx
from sqlalchemy import delete
from sqlalchemy.exc import OperationalError

from app.backup.create import back_up
from app.backup.restore import restore
from app.callbacks.registration import set_callback
from app.comparisons import enumeration_guard
from app.kit import crash_points
from app.kit.version import __version__
from app.parties import service as parties
from app.templates import engine_history
from app.templates.tables import Template
from app.transparency.log import signing_keys
from app.transparency.log.entries import LoggedAct, append_open_entry_in_register
from app.transparency.tables import KeyUse
from app.vault.open import open_vault
from app.vault.register import Owner
from app.vault.rotation import rotate
from app.vault.vault import Vault
from tests.consent.drafts import draft, publish
from tests.crash.key_and_backup_files import BACKUP
from tests.crash.process_launcher import MOMENT
from tests.support.service_fixture import Party, Person, RunningService, enrol, settings_for
from tests.support.toy_engine import other_toy_card
from tests.support.toy_faces import toy_photo
from tests.support.waiting import wait_until

LOG_KEYS = "SELECT id FROM origin UNION SELECT id FROM log_signing_keys"
PHOTOS = [toy_photo(1), toy_photo(1, variant=2)]


@dataclass
class Story:
    """The people and relying parties of a service, with their credentials and ids."""

    people: dict[str, Person]
    doors: dict[str, Party]
    references: list[tuple[str, str, int]]
    """A relying party, a reference, and the face of its subject."""
    about: dict[str, str] = field(default_factory=dict)

    def at(self, client: httpx.Client) -> "Story":
        """Return the same story with another *client*."""
        people = {name: replace(one, client=client) for name, one in self.people.items()}
        doors = {name: replace(one, client=client) for name, one in self.doors.items()}
        return replace(self, people=people, doors=doors)

    @property
    def ada(self) -> Person:
        """Return the subject who acts."""
        return self.people["Ada"]

    @property
    def door(self) -> Party:
        """Return the relying party that verifies her."""
        return self.doors["Door"]


def enrolled(service: RunningService) -> Story:
    """Enrol Ada and Ben at the door, and verify Ada once."""
    ada, door, given = service.enrolled(face=1)
    ben, _, his = service.enrolled(face=2, party=door)
    assert door.verify(given["subject_ref"], toy_photo(1)).status_code == 200
    enrolments = ada("GET", "/v1/me/enrolments").json()["items"]
    return Story(
        people={"Ada": ada, "Ben": ben},
        doors={"Door": door, "Gate": service.party("Gate")},
        references=[("Door", given["subject_ref"], 1), ("Door", his["subject_ref"], 2)],
        about={"consent": given["consent_id"], "enrolment": enrolments[0]["enrolment_id"], "door": door.id},
    )


def arrived(service: RunningService) -> Story:
    """Register Ada, without any act that the transparency log records."""
    return Story(people={"Ada": service.person()}, doors={"Door": service.party()}, references=[])


def failed(service: RunningService) -> Story:
    """Verify Ada with the photo of another face."""
    story = enrolled(service)
    assert story.door.verify(story.references[0][1], toy_photo(2)).json()["decision"] == "no_match"
    return story


def consented(service: RunningService) -> Story:
    """Let Ada also consent to another gate and to keeping photos, without an enrolment for them."""
    story = enrolled(service)
    given = service.consent(story.ada, story.doors["Gate"])
    service.consent(story.ada, None, "template_renewal")
    story.references.append(("Gate", given["subject_ref"], 1))
    return replace(story, about={**story.about, "consent": given["consent_id"]})


def with_photos(service: RunningService) -> Story:
    """Enrol Ada with kept photos."""
    story = enrolled(service)
    service.consent(story.ada, None, "template_renewal")
    answer = enrol(story.ada, [story.about["consent"]], PHOTOS, keep_photos="true")
    assert answer.status_code == 201, answer.text
    return replace(story, about={**story.about, "enrolment": answer.json()["enrolment_id"]})


def photos_left(service: RunningService) -> Story:
    """Ada's photos are kept, and the template that they served is gone, as an earlier version left it."""
    story = with_photos(service)
    with service.vault.data.write() as session:
        session.execute(delete(Template).where(Template.enrolment_id == UUID(story.about["enrolment"])))
    return replace(story, references=story.references[1:])


def superseded(service: RunningService) -> Story:
    """Keep photos of Ada but not of Ben, and put another engine in force."""
    story = with_photos(service)
    engine_history.put_in_force(service.vault, other_toy_card(), days=90, now=service.clock())
    return story


def superseded_for_long(service: RunningService) -> Story:
    """Put another engine in force so long ago that older templates have expired; no maintenance has run since."""
    story = with_photos(service)
    engine_history.put_in_force(service.vault, other_toy_card(), days=90, now=service.clock() - timedelta(days=90))
    return story


def with_a_callback(service: RunningService) -> Story:
    """Give the gate a callback; the first delivery, of Ada's consent, has failed."""
    story = enrolled(service)
    gate = story.doors["Gate"]
    set_callback(service.vault, party_id=UUID(gate.id), to="https://127.0.0.1/", private=True, now=service.clock())
    given = service.consent(story.ada, gate)
    story.references.append(("Gate", given["subject_ref"], 1))
    wait_until(lambda: story.ada("GET", "/v1/me/deliveries").json()["items"][0]["tries"])
    return replace(story, about={**story.about, "gate": gate.id})


def notice_changed(service: RunningService) -> Story:
    """Publish a newer notice than the one that Ada consented to."""
    story = enrolled(service)
    publish(service.vault, draft(), now=service.clock())
    return story


def with_two_tokens(service: RunningService) -> Story:
    """Give Ada a second token."""
    story = enrolled(service)
    other = story.ada("POST", "/v1/me/tokens").json()
    people = {**story.people, "Ada, elsewhere": replace(story.ada, token=other["access_token"], recovery_code="")}
    return replace(story, people=people, about={**story.about, "token": other["token_id"]})


@contextmanager
def _failing(operation: str, step: str) -> Iterator[None]:
    """Let the store fail at a step."""
    watched = crash_points.watcher

    def fail(*passed: str) -> None:
        if passed == (operation, step):
            raise OperationalError("", None, OSError("disk I/O error"))

    crash_points.watcher = fail
    try:
        yield
    finally:
        crash_points.watcher = watched


def key_replaced(service: RunningService) -> Story:
    """Give the relying party a new key; the old one goes on for an hour."""
    story = enrolled(service)
    door = story.door
    _, door.key = parties.rotate_key(
        service.vault,
        party_id=UUID(door.id),
        overlap=timedelta(hours=1),
        settings=service.settings,
        now=service.clock(),
    )
    return story


def half_withdrawn(service: RunningService) -> Story:
    """Let a withdrawal destroy the keys and then fail to write the data."""
    story = enrolled(service)
    with _failing("withdrawal", "mien.db written"):
        assert story.ada("DELETE", f"/v1/me/consents/{story.about['consent']}").status_code == 503
    return story


def half_erased(step: str) -> Callable[[RunningService], Story]:
    """Let the store fail at *step* of an erasure that was promised to Ada."""

    def prepare(service: RunningService) -> Story:
        story = enrolled(service)
        with _failing("erasure", step):
            answer = story.ada("DELETE", "/v1/me")
        assert answer.status_code == 202, answer.text
        return replace(story, about={**story.about, "erasure": answer.json()["erasure_id"]})

    return prepare


def changed_since_backup(*, half_erased: bool = False) -> Callable[[RunningService], Story]:
    """Create a backup, then verify Ada once more and erase Ben, or begin to erase him."""

    def prepare(service: RunningService) -> Story:
        story = enrolled(service)
        to, now = service.root / BACKUP, service.clock()
        back_up(service.settings, to=to, version=__version__, now=now, progress=lambda _doing: None)
        assert story.door.verify(story.references[0][1], toy_photo(1)).status_code == 200
        with _failing("erasure", "register.db written") if half_erased else nullcontext():
            answer = story.people["Ben"]("DELETE", "/v1/me")
        assert answer.status_code == (202 if half_erased else 200), answer.text
        return replace(story, about={**story.about, "erasure": answer.json()["erasure_id"]})

    return prepare


def with_a_wal(root: Path) -> None:
    """Leave the last commit, which changed every subject, in the write-ahead log only."""
    with closing(sqlite3.connect(root / "data" / "mien.db")) as connection:
        connection.execute("UPDATE subjects SET registered_on = '2026-01-02'")
        connection.commit()
        left = {path: path.read_bytes() for path in (root / "data").glob("mien.db*")}
    for path, content in left.items():
        path.write_bytes(content)


def without_data(root: Path) -> None:
    """Delete the data, with all changes since the backup."""
    shutil.rmtree(root / "data")


def restored(root: Path) -> None:
    """Restore the backup, without a start of the service."""
    restore(settings_for(root), backup=root / BACKUP, now=lambda: MOMENT, progress=lambda _doing: None)


def half_rotated(root: Path) -> None:
    """Put another key-encryption key in force while every key is still wrapped under the old one."""
    vault = open_vault(settings_for(root))
    failing = _failing("rotating the key-encryption key", "register.db committed")
    with closing(vault.data), closing(vault.register.store), suppress(OperationalError), failing:
        rotated(vault, MOMENT)


def rotated(vault: Vault, now: datetime) -> None:
    """Rotate the key-encryption key, as the operator's command does."""
    rotate(
        vault.register,
        record=partial(append_open_entry_in_register, act=LoggedAct.KEY_ENCRYPTION_KEY_ROTATED, at=now.isoformat()),
    )


def with_an_old_receipt_key(service: RunningService) -> Story:
    """Sign with a receipt key that was made at the time of the stopped clock."""
    signing_keys.rotate(service.vault, now=MOMENT)
    story = enrolled(service)
    return replace(
        story, about={**story.about, "signs": signing_keys.current_thumbprint(service.vault, KeyUse.RECEIPTS)}
    )


def without_a_log(root: Path) -> None:
    """Change the stores to those of a version without a transparency log, after their migration."""
    with closing(sqlite3.connect(root / "keys" / "register.db")) as register, register:
        owners = [Owner.log(UUID(one)).digest for (one,) in register.execute(LOG_KEYS)]
        # A destroyed key keeps its slot, see `tables.KeySlot`.
        register.executemany(
            "UPDATE keys SET wrapped = zeroblob(length(wrapped)) WHERE owner = ?", [(one,) for one in owners]
        )
        for table in ("tiles", "leaves", "heads", "open_entries", "signing_keys"):
            register.execute(f"DELETE FROM log_{table}")  # noqa: S608 - fixed names
    with closing(sqlite3.connect(root / "data" / "mien.db")) as data, data:
        for table in ("entries", "receipts", "pending_leaves", "seen_heads"):
            data.execute(f"DELETE FROM {table}")  # noqa: S608 - as above


def without_counts(root: Path) -> None:
    """Change the register to that of a version that counted no failures."""
    with closing(sqlite3.connect(root / "keys" / "register.db")) as register, register:
        gone = "UPDATE keys SET wrapped = zeroblob(length(wrapped)) WHERE owner = ?"
        register.execute(gone, (enumeration_guard.KEY_OWNER.digest,))


def erased_in_a_large_store(service: RunningService) -> Story:
    """Erase Ada from a store whose unused space must still be rebuilt."""
    story = enrolled(service)
    answer = story.ada("DELETE", "/v1/me")
    assert "unused space of the database file" in {one["what"] for one in answer.json()["kept"]}
    return replace(story, about={**story.about, "erasure": answer.json()["erasure_id"]})


def with_expired_records(service: RunningService) -> Story:
    """Give Ada an unused token and one access count, and let Ben erase his data."""
    story = with_two_tokens(service)
    story.ada("GET", "/v1/me/access").raise_for_status()
    with service.vault.data.write() as session:
        session.connection().exec_driver_sql(
            "UPDATE tokens SET last_used_on = '2025-12-31' WHERE id = ?", (UUID(story.about["token"]).hex,)
        )
    answer = story.people["Ben"]("DELETE", "/v1/me")
    assert answer.json()["status"] == "completed"
    return replace(story, about={**story.about, "erasure": answer.json()["erasure_id"]})
