"""Laws 3, 6 and 8 in the bytes of the files: no personal data is readable while enrolled, and none is left afterwards.

No query of the service is trusted: every file of both directories, the place for temporary files and the output of the
process are searched, with both engines.
"""

import secrets
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from app.faces.cards.card import Card, load_card
from app.faces.workers.pool import EnginePool
from app.settings import MIB
from tests.support.byte_scan import (
    Needles,
    Place,
    files_under,
    live_keys,
    openable,
    private_tmp,
    rows,
    slots,
    template_vectors,
)
from tests.support.service_fixture import Party, Person, RunningService, SharedPool, enrol, serving
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

NAME = "Ada Lovelace-Canary"
PEOPLE = Path(__file__).parents[1] / "images" / "people"


def fattened(jpeg: bytes) -> bytes:
    """Return the same picture in a file of more than a mebibyte, with random comments before it."""
    segments = b"".join(b"\xff\xfe" + struct.pack(">H", 60_002) + secrets.token_bytes(60_000) for _ in range(20))
    return jpeg[:2] + segments + jpeg[2:]


@dataclass(frozen=True)
class Engine:
    """One engine, and pictures of one person for it."""

    pool: SharedPool
    card: Card
    photos: Sequence[bytes]
    probe: bytes


@pytest.fixture(scope="session")
def real_shared() -> Iterator[SharedPool]:
    card = load_card("face_recognition")
    pool = EnginePool(
        engine="app.faces.engines.face_recognition:FaceRecognition",
        card=card,
        workers=1,
        queue=16,
        timeout_s=20,
        memory_bytes=2048 * MIB,
    )
    pool.start()
    yield SharedPool(pool)
    pool.close()


@pytest.fixture(params=["toy", "face_recognition"])
def engine(request: pytest.FixtureRequest, pool: SharedPool) -> Engine:
    if request.param == "toy":
        photos = [toy_photo(1, format="JPEG"), toy_photo(1, variant=2, format="JPEG")]
        return Engine(pool, toy_card(), [fattened(photos[0]), photos[1]], toy_photo(1, variant=4, format="JPEG"))
    real: SharedPool = request.getfixturevalue("real_shared")
    selfie, portrait, happy = (
        (PEOPLE / "P001" / f"{name}.jpg").read_bytes() for name in ("amateur_selfie", "studio_portrait", "emo_happy")
    )
    return Engine(real, load_card("face_recognition"), [fattened(selfie), portrait], happy)


@dataclass(frozen=True)
class EnrolledPerson:
    """A person with kept photos and two comparisons, and the values to search for."""

    service: RunningService
    person: Person
    party: Party
    secrets: Needles
    """Values that must never be found: face, name, credentials."""
    ids: Needles
    """Values that may be found while the person is enrolled, and not after."""
    verification_id: str
    renewal_id: str
    enrolment_id: str


def enrol_and_compare(service: RunningService, engine: Engine) -> EnrolledPerson:
    """Enrol a person with kept photos, and compare them twice."""
    person, party = service.person(NAME), service.party()
    verification = service.consent(person, party)
    renewal = service.consent(person, None, "template_renewal")
    enrolled = enrol(person, [verification["consent_id"]], engine.photos, keep_photos="true")
    assert enrolled.status_code == 201, enrolled.text
    compared = [party.verify(verification["subject_ref"], probe) for probe in (engine.probe, engine.photos[1])]
    assert [one.json()["decision"] for one in compared] == ["match", "match"]
    (enrolment,) = person("GET", "/v1/me/enrolments").json()["items"]
    kept = [person("GET", f"/v1/me/photos/{photo_id}").content for photo_id in enrolment["photo_ids"]]
    opened = openable(in_file(service.vault.data).path, live_keys(service.root))
    (vector,) = template_vectors(opened)

    hidden = Needles().text("name", NAME).text("token", person.token).text("recovery code", person.recovery_code)
    for index, photo in enumerate([*engine.photos, engine.probe]):
        hidden.photo(f"photo {index} as sent", photo)
    for index, photo in enumerate(kept):
        assert photo in opened.values()
        hidden.photo(f"photo {index} as kept", photo)
    hidden.vector("template", vector)

    ids = Needles().id("subject id", person.subject_id).text("subject_ref", verification["subject_ref"])
    ids.id("verification consent", verification["consent_id"]).id("renewal consent", renewal["consent_id"])
    ids.id("enrolment", enrolment["enrolment_id"])
    for table, row_id in opened:
        ids.id(f"row of {table}", row_id)
    for one in compared:
        ids.id("comparison", one.json()["comparison_id"])
    return EnrolledPerson(
        service,
        person,
        party,
        hidden,
        ids,
        verification["consent_id"],
        renewal["consent_id"],
        enrolment["enrolment_id"],
    )


@pytest.fixture
def service(root: Path, engine: Engine) -> Iterator[RunningService]:
    with serving(root, engine.pool, engine.card) as running:
        yield running


Output = Callable[[], tuple[str, bytes]]


@pytest.fixture
def output(capfdbinary: pytest.CaptureFixture[bytes]) -> Output:
    """Return the output of the process so far, with its application log."""
    written = b""

    def read() -> tuple[str, bytes]:
        nonlocal written
        captured = capfdbinary.readouterr()
        written += captured.out + captured.err
        return "output", written

    return read


def test_the_scan_finds_every_needle(tmp_path: Path) -> None:
    """The control: each value is found in each spelling in a file of noise, and no other is."""
    photo, vector, one = (
        fattened(toy_photo(3, format="JPEG")),
        [0.1234567890123 + n for n in range(128)],
        UUID(int=7**45),
    )
    needles = Needles().text("name", NAME).photo("photo", photo).vector("vector", vector).id("id", one)
    noise = secrets.token_bytes(300_000)
    (tmp_path / "noise").write_bytes(noise)
    missed = []
    for name, forms in needles.spellings.items():
        for form in forms:
            (tmp_path / "noise").write_bytes(noise[:150_001] + form + noise[150_001:])
            if f"{name} in noise" not in needles.found(files_under(tmp_path)):
                missed.append((name, form))

    assert not missed
    assert not needles.found([("noise", noise)])
    assert needles.found([(f"{one}.tmp", noise)]) == [f"id in {one}.tmp"]
    assert "photo in part" in needles.found([("part", photo[len(photo) // 3 : len(photo) // 2])])


def test_no_face_name_or_token_is_readable_while_enrolled(
    service: RunningService, engine: Engine, output: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with private_tmp(monkeypatch, tmp_path / "tmp") as seen:
        story = enrol_and_compare(service, engine)
    places: list[Place] = [*service.files(), *files_under(tmp_path / "tmp"), output()]

    assert not story.secrets.found(places)
    assert not story.ids.found([output()])
    assert not seen
    # The control: the search finds the ids, which are in the files.
    assert {"subject id in mien.db", "subject id in mien.db-wal"} & set(story.ids.found(service.files()))
    assert not [one for one in story.ids.found(service.files()) if "register" in one], "the register knows digests only"


def test_watch_on_temporary_files_sees_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with private_tmp(monkeypatch, tmp_path / "tmp") as seen:
        (tmp_path / "tmp" / "upload").write_bytes(b"pixels")
        while not seen:
            pass

    assert "upload" in seen


def test_after_erasure_no_byte_is_left_anywhere(
    service: RunningService, engine: Engine, output: Output, tmp_path: Path
) -> None:
    story = enrol_and_compare(service, engine)
    wrapped = {key.wrapped for key in live_keys(service.root)}
    wrapping = Needles().raw("wrapped key", *wrapped)
    assert wrapping.found(service.files())

    erased = story.person("DELETE", "/v1/me")
    places: list[Place] = [*service.files(), output()]

    assert (erased.status_code, erased.json()["status"]) == (200, "completed")
    assert not story.secrets.found(places)
    assert not story.ids.found(places)
    assert not wrapping.found(places)
    assert not slots(service.root)


def test_withdrawal_deletes_every_byte_of_its_grant(service: RunningService, engine: Engine) -> None:
    story = enrol_and_compare(service, engine)
    keys = [key for key in live_keys(service.root) if key.owner == UUID(story.verification_id)]
    sealed = rows(in_file(service.vault.data).path, "SELECT id, sealed FROM templates")
    gone = Needles().raw("wrapped key", *(key.wrapped for key in keys)).raw("sealed", *(row[1] for row in sealed))
    gone.id("template id", sealed[0][0])
    assert len(gone.found(service.files())) >= 3

    answer = story.person("DELETE", f"/v1/me/consents/{story.verification_id}")

    assert answer.json()["erased_from_disk"]
    assert not gone.found(service.files())
    assert not story.secrets.found(service.files())


def test_withdrawal_keeps_the_data_of_the_other_grant(service: RunningService, engine: Engine) -> None:
    story = enrol_and_compare(service, engine)
    photo_ids = story.person("GET", "/v1/me/enrolments").json()["items"][0]["photo_ids"]

    story.person("DELETE", f"/v1/me/consents/{story.renewal_id}")
    photos = [story.person("GET", f"/v1/me/photos/{one}").status_code for one in photo_ids]
    kept = rows(in_file(service.vault.data).path, "SELECT id FROM templates")
    story.person("DELETE", f"/v1/me/consents/{story.verification_id}")
    gone = rows(in_file(service.vault.data).path, "SELECT id FROM templates")

    assert photos == [404, 404]
    assert not rows(in_file(service.vault.data).path, "SELECT id FROM photos")
    assert (len(kept), len(gone)) == (1, 0)


def test_withdrawal_deletes_photos_that_have_no_template_to_renew(service: RunningService, engine: Engine) -> None:
    story = enrol_and_compare(service, engine)
    photo_ids = story.person("GET", "/v1/me/enrolments").json()["items"][0]["photo_ids"]
    sealed = [row[0] for row in rows(in_file(service.vault.data).path, "SELECT sealed FROM photos")]
    gone = Needles()
    for index, one in enumerate(sealed):
        gone.photo(f"sealed {index}", one)
    assert gone.found(service.files())

    story.person("DELETE", f"/v1/me/consents/{story.verification_id}")

    assert [story.person("GET", f"/v1/me/photos/{one}").status_code for one in photo_ids] == [404, 404]
    assert not gone.found(service.files())


def test_deleting_an_enrolment_deletes_its_bytes_and_keys(service: RunningService, engine: Engine) -> None:
    story = enrol_and_compare(service, engine)
    query = "SELECT sealed FROM templates UNION ALL SELECT sealed FROM photos"
    sealed = [row[0] for row in rows(in_file(service.vault.data).path, query)]
    keys = [key.wrapped for key in live_keys(service.root) if key.owner != UUID(story.person.subject_id)]
    gone = Needles().id("enrolment", story.enrolment_id).raw("wrapped key", *keys)
    for index, one in enumerate(sealed):
        gone.photo(f"sealed {index}", one)
    assert len(gone.found(service.files())) >= 3

    answer = story.person("DELETE", f"/v1/me/enrolments/{story.enrolment_id}")

    assert (answer.status_code, answer.json()["erased_from_disk"]) == (200, True)
    assert not gone.found(service.files())
    assert len(story.person("GET", "/v1/me/consents").json()["in_force"]) == 2
