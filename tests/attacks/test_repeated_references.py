"""A relying party repeats one reference that it may not use, to measure why: after some requests it has to wait."""

import secrets
from pathlib import Path

import pytest

from app.settings import Settings
from tests.attacks.limited_service import is_up, limited_service, resident_bytes
from tests.comparisons.failures import waits
from tests.consent.spies import watch_pipe
from tests.laws.test_law_09_one_answer import BOTH, as_sent, unusable
from tests.support.byte_scan import rows
from tests.support.service_fixture import SharedPool, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

REPEATS = 3
MIB = 1024 * 1024


def test_every_reason_has_the_same_limit(root: Path, pool: SharedPool, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(root, pool, toy_card(), background=False, failed_references=1000, unusable_repeats=REPEATS) as service:
        door = service.party("Door", *BOTH)
        references = dict(unusable(service, door))
        service.clock.advance(hours=2)
        pipe = watch_pipe(monkeypatch)
        # The clock of the service runs, so the wait may be a second shorter.
        refusals = {}
        for name, reference in references.items():
            statuses = [door.verify(reference, b"").status_code for _ in range(REPEATS)]
            answer = door.verify(reference, b"")
            refusals[name] = (statuses, answer.content, waits(answer) in {29, 30})

    assert set(map(str, refusals.values())) == {str(([404] * REPEATS, answer.content, True))}
    assert pipe == [], "no image was read"


def test_the_wait_doubles_and_each_refusal_is_the_same(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), background=False, unusable_repeats=REPEATS) as service:
        door = service.party()
        found = []
        for _ in range(5):
            while (answer := door.verify("unknown", b"")).status_code == 404:
                pass
            again = door.verify("unknown", b"")
            found.append(waits(answer))
            assert abs(waits(again) - waits(answer)) <= 1, "a refused request counts nothing"
            service.clock.advance(seconds=waits(answer))
        other = door.verify("another", b"")

    assert found == pytest.approx([30 * 2**number for number in range(5)], abs=1)
    assert other.status_code == 404, "other references do not wait"


def test_a_reference_that_becomes_usable_waits_no_longer_than_it_had_to(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), background=False, unusable_repeats=REPEATS) as service:
        person, door, consent = service.enrolled(face=1)
        person("PUT", "/v1/me/restriction")
        while (refused := door.verify(consent["subject_ref"], toy_photo(1))).status_code == 404:
            pass
        person("DELETE", "/v1/me/restriction")
        still = door.verify(consent["subject_ref"], toy_photo(1))
        service.clock.advance(seconds=waits(refused))
        usable = [door.verify(consent["subject_ref"], toy_photo(face)) for face in (1, 2, 1)]
        person("PUT", "/v1/me/restriction")
        from_the_beginning = [door.verify(consent["subject_ref"], toy_photo(1)).status_code for _ in range(REPEATS)]

    assert as_sent(still)[1] == as_sent(refused)[1], "a lifted restriction does not show"
    assert [one.json()["decision"] for one in usable] == ["match", "no_match", "match"]
    assert from_the_beginning == [404] * REPEATS, "a comparison ends the count"


@pytest.mark.slow
def test_repeats_and_new_references_have_bounded_memory(tmp_path: Path) -> None:
    repeats, references = (Settings.model_fields[name].default for name in ("unusable_repeats", "failed_references"))
    with limited_service(tmp_path / "service") as program:
        door = program.party()
        before = resident_bytes(program)
        same = [door.verify("x" * 24, b"").status_code for _ in range(300)]
        new = [door.verify(secrets.token_urlsafe(18), b"").status_code for _ in range(300)]
        kept = rows(tmp_path / "service" / "data" / "mien.db", "SELECT length(sealed) FROM failed_references")
        grown, up = resident_bytes(program) - before, is_up(program)

    assert (same.count(404), same.count(429)) == (repeats, 300 - repeats)
    assert (new.count(404), new.count(429)) == (references - 1, 300 - references + 1)
    assert len(kept) == 1
    assert kept[0][0] < 16 * 1024
    assert (grown < 64 * MIB, up) == (True, True)
