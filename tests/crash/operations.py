"""All operations of Mien that must be complete or undone after a crash. Add a new one to `OPERATIONS`.

`prepare` brings a service to the state before the operation, and returns its people and relying parties. It runs once;
every trial starts with a copy of its stores. `act` is the operation: a request, or an `OperatorCommand`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from app.backup.create import back_up
from app.backup.restore import restore
from app.callbacks.delivery_worker import DeliveryWorker
from app.callbacks.http_client import CallResult, Outcome
from app.callbacks.registration import set_callback
from app.comparisons import enumeration_guard
from app.faces.service import RunningEngine
from app.jobs.maintenance import destroy_discarded_keys, purge_dead_rows, run_maintenance
from app.kit.version import __version__
from app.parties import keys as party_keys
from app.parties import service as parties
from app.subjects.token_usage import TokenUsage
from app.templates import engine_history, renewal
from app.transparency.log import batch, signing_keys
from app.vault import rotation
from app.vault.directory_lock import in_use
from app.vault.open import open_vault
from app.vault.vault import Vault
from app.web.callers import Principal, Role
from tests.crash.key_and_backup_files import BACKUP
from tests.crash.preparations import (
    PHOTOS,
    Story,
    arrived,
    changed_since_backup,
    consented,
    enrolled,
    erased_in_a_large_store,
    failed,
    half_erased,
    half_rotated,
    half_withdrawn,
    key_replaced,
    notice_changed,
    photos_left,
    restored,
    rotated,
    superseded,
    superseded_for_long,
    with_a_callback,
    with_a_wal,
    with_an_old_receipt_key,
    with_expired_records,
    with_photos,
    with_two_tokens,
    without_a_log,
    without_counts,
    without_data,
)
from tests.crash.process_launcher import Command
from tests.support.service_fixture import RunningService, ToyPool, enrol, settings_for
from tests.support.toy_engine import OtherToyEngine, other_toy_card
from tests.support.toy_faces import toy_photo

JOINED = "its leaves are in the tree; the next batch deletes their pending rows"
IN_PROGRESS = "everything opens; `mien keys rotate` completes the rotation"
LARGE = {"rebuild_at_once_mib": 0}
"""Settings that make every data store count as large."""


@dataclass(frozen=True)
class OperatorCommand:
    """An act that is a command of the operator."""

    command: Command


@dataclass(frozen=True)
class Operation:
    """An operation: the state before, the act, and the states that it may leave."""

    name: str
    prepare: Callable[[RunningService], Story]
    act: Callable[[Story], httpx.Response] | OperatorCommand
    more: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the service."""
    delay: timedelta = timedelta()
    """Time between `prepare` and the operation."""
    acknowledged: bool = False
    """Whether the answer in `prepare` already promised the result."""
    change_files: Callable[[Path], None] = lambda _root: None
    """Change of the files between `prepare` and the operation."""
    again: Command | None = None
    """Command to run after the crash, without a start of the service in between."""
    in_progress: str = ""
    """Outcome for a working state in which `again` completes the operation; empty if there is none."""
    refused: bool = False
    """Whether the answer is a refusal."""
    appends_batch: bool = False
    """Whether the operation or `again` appends a batch; then the places of leaves show nothing about the outcome."""
    sealed_bytes_stay: bool = False
    """Whether sealed bytes, but not their keys, may stay in unused space of the data store, as the answer states."""


# --- Requests


def _decide(story: Story, door: str, decision: str) -> httpx.Response:
    notices = story.ada("GET", "/v1/notices").json()["items"]
    digest = next(one["sha256"] for one in notices if one["purpose"] == "verification")
    body = {"purpose": "verification", "relying_party_id": story.doors[door].id, "notice_sha256": digest}
    return story.ada("POST", "/v1/me/consents", json={**body, "decision": decision})


def _sign_up(story: Story) -> httpx.Response:
    return story.ada.client.post("/v1/subjects", json={"declared_adult": True, "display_name": "Eve"})


def _dispute(story: Story) -> httpx.Response:
    line = story.ada("GET", "/v1/me/comparisons").json()["items"][-1]
    return story.ada("PUT", f"/v1/me/comparisons/{line['comparison_id']}/dispute", json={"note": "not me"})


def _recover(story: Story) -> httpx.Response:
    return story.ada.client.post("/v1/recoveries", json={"recovery_code": story.ada.recovery_code})


def _renew(story: Story) -> httpx.Response:
    notices = story.ada("GET", "/v1/notices").json()["items"]
    digest = next(one["sha256"] for one in notices if one["purpose"] == "verification")
    until = "2028-06-01T00:00:00Z"
    body = {"notice_sha256": digest, "valid_until": until}
    return story.ada("POST", f"/v1/me/consents/{story.about['consent']}/renewal", json=body)


def _shorten(story: Story) -> httpx.Response:
    return story.ada("DELETE", "/v1/me/comparisons", params={"before": "2026-03-02"})


@contextmanager
def _opened(root: Path) -> Iterator[Vault]:
    vault = open_vault(settings_for(root))
    yield vault
    vault.close()


def _maintain(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    with _opened(root) as vault:
        run_maintenance(vault, settings=settings_for(root), now=now)


def _rebuild_large_store(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    with _opened(root) as vault:
        run_maintenance(vault, settings=settings_for(root, **LARGE), now=now)


def _start(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    with _opened(root) as vault:
        purge_dead_rows(vault, settings=settings_for(root), now=now)


def _destroy_discarded_keys(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    with _opened(root) as vault:
        purge_dead_rows(vault, settings=settings_for(root), now=now)
        destroy_discarded_keys(vault)


def _rotate_key(root: Path, now: datetime, about: Mapping[str, str]) -> dict[str, str]:
    with _opened(root) as vault:
        return {
            "api_key": parties.rotate_key(vault, party_id=UUID(about["door"]), settings=settings_for(root), now=now)[1]
        }


def _rotate_key_with_overlap(root: Path, now: datetime, about: Mapping[str, str]) -> dict[str, str]:
    with _opened(root) as vault:
        overlap = timedelta(hours=1)
        return {
            "api_key": parties.rotate_key(
                vault, party_id=UUID(about["door"]), overlap=overlap, settings=settings_for(root), now=now
            )[1]
        }


def _update_party(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    with _opened(root) as vault:
        said = parties.PartyChanges(context="the entrance")
        parties.update_party(vault, party_id=UUID(about["door"]), changes=said, now=now)


def _end_replaced(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    with _opened(root) as vault:
        party_keys.end_replaced(vault, now=now)


def _revoke(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    with _opened(root) as vault:
        parties.revoke(vault, party_id=UUID(about["door"]), now=now)


def _back_up(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    settings = settings_for(root)
    with in_use(settings.data_dir):
        back_up(settings, to=root / BACKUP, version=__version__, now=now, progress=lambda _doing: None)


def _back_up_and_restore(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    if not (root / BACKUP).exists():
        _back_up(root, now, about)
    _restore(root, now, about)


def _restore(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    restore(settings_for(root), backup=root / BACKUP, now=lambda: now, progress=lambda _doing: None)


def _rotate(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    # Safe to patch: the process is not shared.
    vars(rotation)["BATCH"] = 2
    with _opened(root) as vault:
        rotated(vault, now)


def _finish_rotation(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    # Without an unfinished rotation, this would start another one.
    if list((root / "keys").glob("kek.*")):
        _rotate(root, now, about)


def _start_log(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    with _opened(root) as vault:
        signing_keys.begin_log(vault, now=now)


def _create_failure_key(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    with _opened(root) as vault:
        enumeration_guard.create_key(vault)


def _append_batch(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    with _opened(root) as vault:
        batch.append_batch(vault, settings=settings_for(root), now=now, at_once=True)


def _rotate_receipts(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    with _opened(root) as vault:
        signing_keys.rotate(vault, now=now)


def _mark_stolen(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    with _opened(root) as vault:
        signing_keys.mark_stolen(vault, which=about["signs"], stolen_at=now - timedelta(minutes=30), now=now)


def _record_uses(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    """Use a token, and let maintenance record the use."""
    with _opened(root) as vault:
        uses = TokenUsage(lambda: now)
        whose = Principal(Role.PERSON, UUID(int=0), UUID(about["token"]))
        uses.recording(lambda _data, _digest: whose)(vault.data, b"")
        assert uses.write(vault.data) == 1


def _set_callback(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    with _opened(root) as vault:
        set_callback(vault, party_id=UUID(about["door"]), to="https://door.example.org/", private=False, now=now)


def _change_callback(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    with _opened(root) as vault:
        set_callback(vault, party_id=UUID(about["gate"]), to="https://gate.example.org/", private=False, now=now)


def _deliver(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    """Deliver callbacks to relying parties, which acknowledge them."""
    with _opened(root) as vault:
        answer = CallResult(Outcome.ACKNOWLEDGED, "204")
        DeliveryWorker(vault, lambda _to, _message: answer, days=7, clock=lambda: now).run_once(within_s=30)


def _change_engine(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    with _opened(root) as vault:
        engine_history.put_in_force(vault, other_toy_card(), days=90, now=now)


def _renew_templates(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    _renew_with(root, now, ToyPool(OtherToyEngine(other_toy_card().digests)))


def _fail_to_renew(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    """Renew with a threshold that no two photos reach."""
    _renew_with(root, now, ToyPool(OtherToyEngine(other_toy_card().digests)), threshold=0.0)


def _renew_with(root: Path, now: datetime, pool: ToyPool, threshold: float = 0.54) -> None:
    faces = RunningEngine(pool=pool, card=other_toy_card(), target_fmr=1e-3, threshold=threshold)
    with _opened(root) as vault:
        renewal.renew_templates(renewal.RenewalRun(vault=vault, engine=faces, clock=lambda: now))


OPERATIONS = (
    Operation("sign-up", enrolled, _sign_up),
    Operation("consent", enrolled, lambda story: _decide(story, "Gate", "given")),
    Operation(
        "consent again, to a changed notice",
        notice_changed,
        lambda story: _decide(story, "Door", "given"),
    ),
    Operation(
        "refusal after consent",
        enrolled,
        lambda story: _decide(story, "Door", "refused"),
    ),
    Operation("enrolment", consented, lambda story: enrol(story.ada, [story.about["consent"]], PHOTOS)),
    Operation(
        "enrolment, photos kept",
        consented,
        lambda story: enrol(story.ada, [story.about["consent"]], PHOTOS, keep_photos="true"),
    ),
    Operation(
        "enrolment that replaces one with photos",
        with_photos,
        lambda story: enrol(story.ada, [story.about["consent"]], PHOTOS[:1]),
    ),
    Operation(
        "deletion of an enrolment",
        with_photos,
        lambda story: story.ada("DELETE", f"/v1/me/enrolments/{story.about['enrolment']}"),
    ),
    Operation("verification", enrolled, lambda story: story.door.verify(story.references[0][1], toy_photo(1))),
    Operation(
        "withdrawal",
        with_photos,
        lambda story: story.ada("DELETE", f"/v1/me/consents/{story.about['consent']}"),
    ),
    Operation("start after an interrupted withdrawal", half_withdrawn, OperatorCommand(_start)),
    Operation("restriction", enrolled, lambda story: story.ada("PUT", "/v1/me/restriction")),
    Operation(
        "revoking a token",
        with_two_tokens,
        lambda story: story.ada("DELETE", f"/v1/me/tokens/{story.about['token']}"),
    ),
    Operation(
        "recovery",
        with_two_tokens,
        _recover,
    ),
    Operation("erasure", with_photos, lambda story: story.ada("DELETE", "/v1/me")),
    Operation(
        "erasure, large store",
        with_photos,
        lambda story: story.ada("DELETE", "/v1/me"),
        more=LARGE,
        sealed_bytes_stay=True,
    ),
    Operation(
        "maintenance: erasure interrupted before the deletion",
        half_erased("register.db written"),
        OperatorCommand(_maintain),
        acknowledged=True,
    ),
    Operation(
        "maintenance: erasure interrupted after the deletion",
        half_erased("write-ahead log of mien.db emptied"),
        OperatorCommand(_maintain),
        acknowledged=True,
    ),
    Operation(
        "maintenance: rebuild of a large store",
        erased_in_a_large_store,
        OperatorCommand(_rebuild_large_store),
        more=LARGE,
        delay=timedelta(days=2),
        acknowledged=True,
    ),
    Operation(
        "maintenance: expired consents and proofs", enrolled, OperatorCommand(_maintain), delay=timedelta(days=2000)
    ),
    Operation(
        "rotating a relying party's key",
        enrolled,
        OperatorCommand(_rotate_key),
    ),
    Operation("revoking a relying party", enrolled, OperatorCommand(_revoke)),
    Operation("backup", enrolled, OperatorCommand(_back_up), again=_back_up_and_restore, appends_batch=True),
    Operation(
        "restore",
        changed_since_backup(half_erased=True),
        OperatorCommand(_restore),
        change_files=with_a_wal,
        again=_restore,
        appends_batch=True,
    ),
    Operation(
        "start after a restore", changed_since_backup(), OperatorCommand(_destroy_discarded_keys), change_files=restored
    ),
    Operation(
        "restore of lost data",
        changed_since_backup(),
        OperatorCommand(_restore),
        change_files=without_data,
        again=_restore,
        appends_batch=True,
    ),
    Operation(
        "rotating the key-encryption key",
        enrolled,
        OperatorCommand(_rotate),
        again=_finish_rotation,
        in_progress=IN_PROGRESS,
    ),
    Operation(
        "rotating the key-encryption key, resumed",
        enrolled,
        OperatorCommand(_rotate),
        change_files=half_rotated,
        again=_finish_rotation,
        in_progress=IN_PROGRESS,
    ),
    Operation("starting the transparency log", arrived, OperatorCommand(_start_log), change_files=without_a_log),
    Operation(
        "transparency log batch", enrolled, OperatorCommand(_append_batch), again=_append_batch, in_progress=JOINED
    ),
    Operation("rotating the receipt key", enrolled, OperatorCommand(_rotate_receipts)),
    Operation(
        "marking a receipt key as stolen",
        with_an_old_receipt_key,
        OperatorCommand(_mark_stolen),
        delay=timedelta(hours=1),
    ),
    Operation("recording a refusal", enrolled, lambda story: story.door.verify("nobodys", toy_photo(1)), refused=True),
    Operation(
        "refusal of an enrolment without consent",
        enrolled,
        lambda story: enrol(story.ada, [UUID(int=0)], PHOTOS),
        refused=True,
    ),
    Operation("rotating a relying party's key, with an overlap", enrolled, OperatorCommand(_rotate_key_with_overlap)),
    Operation("updating a relying party", enrolled, OperatorCommand(_update_party)),
    Operation("ending replaced API keys", key_replaced, OperatorCommand(_end_replaced), delay=timedelta(hours=2)),
    Operation("renewing a consent", enrolled, _renew),
    Operation("deleting old comparisons", enrolled, _shorten),
    # A batch is due by then: at the restart it includes the leaves that maintenance has written so far.
    Operation(
        "maintenance: expired records",
        with_expired_records,
        OperatorCommand(_maintain),
        delay=timedelta(days=2000),
        appends_batch=True,
    ),
    Operation("recording token use", with_two_tokens, OperatorCommand(_record_uses), delay=timedelta(days=1)),
    Operation("setting a callback", enrolled, OperatorCommand(_set_callback)),
    Operation("setting a callback: replacement of the old one", with_a_callback, OperatorCommand(_change_callback)),
    Operation("delivering callbacks", with_a_callback, OperatorCommand(_deliver), again=_deliver),
    Operation(
        "creating the failure count key", arrived, OperatorCommand(_create_failure_key), change_files=without_counts
    ),
    Operation("dispute of a comparison", enrolled, _dispute),
    Operation(
        "verification that fails", enrolled, lambda story: story.door.verify(story.references[0][1], toy_photo(2))
    ),
    Operation(
        "verification that blocks a relying party",
        enrolled,
        lambda story: story.door.verify(story.references[0][1], toy_photo(2)),
        more={"failed_references": 1},
    ),
    Operation("maintenance: expired failure counts", failed, OperatorCommand(_maintain), delay=timedelta(days=3)),
    Operation("changing the engine", enrolled, OperatorCommand(_change_engine)),
    Operation("renewing a template", superseded, OperatorCommand(_renew_templates)),
    Operation("renewing a template: unusable photos", superseded, OperatorCommand(_fail_to_renew)),
    Operation("maintenance: templates of an older engine", superseded_for_long, OperatorCommand(_maintain)),
    Operation("maintenance: photos without a template", photos_left, OperatorCommand(_maintain)),
)
