"""Law 8: no data from a probe's face is written anywhere; it ends with the job."""

from pathlib import Path
from uuid import UUID

import pytest

from app.faces.workers import pipeline
from app.faces.workers.messages import Measurement
from tests.support.byte_scan import Needles, Place, files_under, live_keys, openable, private_tmp, rows
from tests.support.service_fixture import RunningService, enrol
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import ToyEngine, toy_card
from tests.support.toy_faces import toy_photo


def seen_by_the_engine(image: bytes) -> Measurement:
    """Measure *image* in this process, as a worker does."""
    measured = pipeline.measure(ToyEngine(toy_card().digests), image, keep_photo=True, max_pixels=25_000_000)
    assert isinstance(measured, Measurement)
    return measured


def needles_of(image: bytes) -> Needles:
    """Search for an image, the same picture encoded again, and its features."""
    measured = seen_by_the_engine(image)
    assert measured.photo is not None
    return (
        Needles().photo("probe", image).photo("probe encoded anew", measured.photo).vector("features", measured.vector)
    )


def tables(service: RunningService) -> dict[str, int]:
    """Count the rows of every table of both databases."""
    return {
        f"{path.stem}.{name}": rows(path, f"SELECT count(*) FROM {name}")[0][0]  # noqa: S608 - names from the schema
        for path in (in_file(service.vault.data).path, in_file(service.vault.register.store).path)
        for (name,) in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'")
    }


def test_a_strangers_probe_leaves_a_comparison_and_nothing_of_the_face(
    service: RunningService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    person, party, given = service.enrolled(face=1)
    stranger = toy_photo(7, format="JPEG")
    before = tables(service)
    with private_tmp(monkeypatch, tmp_path / "tmp") as seen:
        answer = party.verify(given["subject_ref"], stranger)
    after = tables(service)
    output = capfdbinary.readouterr()
    opened = openable(in_file(service.vault.data).path, live_keys(service.root))
    (line,) = [plain for (table, _), plain in opened.items() if table == "comparisons"]
    places: list[Place] = [
        *service.files(),
        *files_under(tmp_path / "tmp"),
        ("output", output.out + output.err),
        ("the line", line),
    ]

    assert answer.json()["decision"] == "no_match"
    assert not needles_of(stranger).found(places)
    assert {name: after[name] - before[name] for name in after if after[name] != before[name]} == {
        "mien.attempts": 1,
        "mien.comparisons": 1,
        "mien.entries": 1,
        "mien.failed_references": 1,
        "mien.pending_leaves": 1,
    }
    assert b"distance" not in line
    assert b"score" not in line
    assert not seen
    assert person("GET", "/v1/me/comparisons").json()["items"][0]["decision"] == "no_match"


def test_search_would_find_a_probe_that_was_kept(service: RunningService) -> None:
    """The control: the same search finds data that is stored on purpose, once it is opened."""
    person, party = service.person(), service.party()
    photo = toy_photo(7, format="JPEG")
    given = service.consent(person, party)
    service.consent(person, None, "template_renewal")
    enrol(person, [given["consent_id"]], [photo], keep_photos="true")
    opened = openable(in_file(service.vault.data).path, live_keys(service.root))
    found = needles_of(photo).found((table, plain) for (table, _), plain in opened.items())

    assert set(found) >= {"probe encoded anew in photos", "features in templates"}


REFUSED = {
    "nobody": toy_photo(),
    "two people": toy_photo(5, 6, format="JPEG"),
    "not an image": b"not an image at all, but with something in it to look for: \x01\x02\x03\x04\x05\x06\x07" * 4,
    "cut short": toy_photo(5, format="JPEG")[:3000],
}


@pytest.mark.parametrize("image", REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_probe_leaves_nothing(service: RunningService, image: bytes) -> None:
    _, party, given = service.enrolled(face=1)
    before = tables(service)

    answer = party.verify(given["subject_ref"], image)
    allowed = {name for name in before if "throttle" in name or "attempt" in name}

    assert answer.status_code in {415, 422}
    assert {name: count for name, count in tables(service).items() if name not in allowed} == {
        name: count for name, count in before.items() if name not in allowed
    }
    assert not Needles().photo("probe", image).found(service.files())


def test_a_probe_for_an_unknown_reference_is_not_stored(service: RunningService) -> None:
    _, party, _ = service.enrolled(face=1)
    before, stranger = tables(service), toy_photo(7, format="JPEG")

    answer = party.verify("unknown", stranger)

    assert answer.status_code == 404
    # That the party was refused, and on which day; and that it failed with a reference.
    noted = {"mien.pending_leaves": before["mien.pending_leaves"] + 1, "mien.failed_references": 1}
    assert tables(service) == before | noted
    assert not needles_of(stranger).found(service.files())


def test_enrolment_that_is_refused_keeps_nothing(service: RunningService) -> None:
    person, party = service.person(), service.party()
    given = service.consent(person, party)
    service.consent(person, None, "template_renewal")
    before, photo = tables(service), toy_photo(7, format="JPEG")

    answer = enrol(person, [given["consent_id"]], [photo, toy_photo(3)], keep_photos="true")

    assert answer.status_code == 422
    assert tables(service) == before
    assert not needles_of(photo).found(service.files())
    assert UUID(person.subject_id)
