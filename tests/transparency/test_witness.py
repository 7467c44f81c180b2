"""A witness keeps what a log said, believes nothing that it cannot verify, and keeps what shows that a log lied."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.transparency.verify.checkpoint import Verifier, open_checkpoint
from app.transparency.witness import service as witness
from app.transparency.witness.notes import WitnessNotesError, open_notes
from app.transparency.witness.service import Contradiction, ContradictionError, UnprovenError, WitnessResult, check_log
from tests.architecture.source import ROOT
from tests.support.service_fixture import RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card
from tests.transparency.lying_server import Liar, Log, lying
from tests.transparency.trees import LEAVES

NOW = datetime(2031, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "mien-witness"


@pytest.fixture
def liar() -> Iterator[Liar]:
    with lying(Log()) as service:
        yield service


@pytest.fixture
def met(liar: Liar, state: Path) -> Liar:
    """A log that was met once, when it had a hundred entries."""
    seen(liar, state)
    return liar


def seen(liar: Liar, state: Path, *, vkey: str | None = None) -> WitnessResult:
    return check_log(liar.url, state=state, vkey=vkey, now=NOW)


def files(state: Path) -> dict[Path, bytes]:
    """Return all that is kept, but for what shows that a log lied."""
    return {
        one: one.read_bytes()
        for one in state.rglob("*")
        if one.is_file() and one.name != "lock" and "evidence" not in one.parts
    }


def broken(liar: Liar, state: Path) -> tuple[ContradictionError, dict[str, Any]]:
    """Look at a log that does not hold; return what is said, and what is kept of it."""
    before = files(state)
    with pytest.raises(ContradictionError) as met:
        seen(liar, state)

    assert files(state) == before, "what held is still what the next is held against"
    with pytest.raises(ContradictionError) as again:
        seen(liar, state)
    assert again.value.evidence == met.value.evidence, "the same is kept once"
    evidence: dict[str, Any] = json.loads(met.value.evidence.read_text("utf-8"))
    assert evidence["found"] == met.value.found
    assert str(met.value.evidence) in str(met.value)
    return met.value, evidence


def unproven(liar: Liar, state: Path) -> str:
    """Look at a log of which nothing can be said; return why."""
    before = files(state)
    with pytest.raises(UnprovenError) as met:
        seen(liar, state)

    assert files(state) == before
    assert not list(state.rglob("evidence/*"))
    return str(met.value)


@pytest.mark.service
def test_the_first_time_a_key_is_believed_and_said_to_be(liar: Liar, state: Path) -> None:
    held = seen(liar, state)

    assert (held.size, held.before, held.log.given) == (100, None, False)
    assert held.log.verifier.vkey == liar.log.vkey
    assert held.log.directory.parent == state


@pytest.mark.service
def test_a_log_that_only_grew_holds(met: Liar, state: Path) -> None:
    for size in (100, 101, 256, 300, 300):
        met.log.leaves = LEAVES[:size]
        held = seen(met, state)

        assert held.size == size
        assert held.before is not None
        assert held.more == size - held.before.checkpoint.size
    assert not any("checkpoint" in path or "jwks" in path for path in met.asked[2:]), "the proof has all that is needed"
    [kept] = state.rglob("checkpoints.jsonl")
    notes = [json.loads(line)["note"] for line in kept.read_text("utf-8").splitlines()]
    verifier = Verifier.from_vkey(met.log.vkey)
    assert [open_checkpoint(note, verifier).size for note in notes] == [100, 101, 256, 300]


@pytest.mark.service
def test_an_empty_log_is_met_and_grows(liar: Liar, state: Path) -> None:
    liar.log.leaves = []
    seen(liar, state)
    liar.log.leaves = LEAVES[:3]

    assert seen(liar, state).more == 3


@pytest.mark.service
def test_a_key_that_was_given_is_the_only_one_believed(liar: Liar, state: Path) -> None:
    held = seen(liar, state, vkey=liar.log.vkey)

    assert held.log.given
    assert not any("jwks" in path for path in liar.asked)
    other = Log(origin_id=liar.log.origin_id)
    with pytest.raises(WitnessNotesError, match="another key is believed"):
        seen(liar, state, vkey=other.vkey)
    shutil.rmtree(state)
    with pytest.raises(UnprovenError, match="did not sign"):
        seen(liar, state, vkey=other.vkey)
    with pytest.raises(UnprovenError, match="key that was given"):
        seen(liar, state, vkey=liar.log.vkey[:-4] + "AAA=")
    assert not list(state.rglob("*.jsonl"))


@pytest.mark.service
def test_a_key_that_was_believed_can_be_given_later(met: Liar, state: Path) -> None:
    assert seen(met, state, vkey=met.log.vkey).log.given
    assert seen(met, state).log.given


@pytest.mark.service
def test_a_log_that_was_rewritten(met: Liar, state: Path) -> None:
    met.log.leaves = [*LEAVES[:50], LEAVES[999], *LEAVES[51:200]]

    error, evidence = broken(met, state)

    assert error.found is Contradiction.REWRITTEN
    verifier = Verifier.from_vkey(met.log.vkey)
    assert open_checkpoint(evidence["kept"], verifier).size == 100
    assert open_checkpoint(evidence["answered"], verifier).size == 200
    assert evidence["hashes"]


@pytest.mark.service
def test_a_log_that_shrank(met: Liar, state: Path) -> None:
    met.log.leaves = LEAVES[:99]

    error, evidence = broken(met, state)

    assert error.found is Contradiction.SHRANK
    assert open_checkpoint(evidence["answered"], Verifier.from_vkey(met.log.vkey)).size == 99


@pytest.mark.service
def test_a_log_that_shrank_and_says_so_with_a_proof(met: Liar, state: Path) -> None:
    met.log.leaves = LEAVES[:99]
    said = {"from": 100, "size": 99, "hashes": [], "checkpoint": met.log.note()}
    met.answers["/v1/log/consistency"] = 200, json.dumps(said).encode()

    assert broken(met, state)[0].found is Contradiction.SHRANK


@pytest.mark.service
def test_a_log_that_forked(met: Liar, state: Path) -> None:
    met.log.leaves = [*LEAVES[:99], LEAVES[999]]

    error, evidence = broken(met, state)

    assert error.found is Contradiction.FORKED
    verifier = Verifier.from_vkey(met.log.vkey)
    kept, answered = open_checkpoint(evidence["kept"], verifier), open_checkpoint(evidence["answered"], verifier)
    assert kept.size == answered.size
    assert kept.root != answered.root


@pytest.mark.service
def test_a_log_that_changed_its_key(met: Liar, state: Path) -> None:
    met.log = Log(origin_id=met.log.origin_id, leaves=LEAVES[:200])

    error, _ = broken(met, state)

    assert error.found is Contradiction.OTHER_KEY
    assert met.log.vkey in str(error)


@pytest.mark.service
def test_a_new_log_proves_nothing_of_the_old_and_is_kept_once_its_key_is_given(met: Liar, state: Path) -> None:
    old = met.log
    met.log = Log(leaves=LEAVES[:200])

    error, _ = broken(met, state)

    assert error.found is Contradiction.NEW_ORIGIN
    assert "nothing of the old is proven" in str(error)
    assert f"--vkey {met.log.vkey}" in str(error)
    assert seen(met, state, vkey=met.log.vkey).before is None
    assert seen(met, state).log.origin == met.log.origin
    assert len(list(state.rglob("checkpoints.jsonl"))) == 2, "the old is kept"
    met.log = old
    assert broken(met, state)[0].found is Contradiction.NEW_ORIGIN


@pytest.mark.service
def test_a_log_that_is_met_at_another_address_is_the_same(met: Liar, state: Path) -> None:
    with lying(met.log) as elsewhere:
        met.log.leaves = LEAVES[:150]
        held = seen(elsewhere, state)

        assert held.before is not None
        assert held.more == 50
        met.log.leaves = LEAVES[:120]
        assert broken(elsewhere, state)[0].found is Contradiction.SHRANK


@pytest.mark.service
@pytest.mark.parametrize(
    "answer",
    [
        (200, b""),
        (200, b"\xff" * 100),
        (200, b"null"),
        (200, b"{}"),
        (200, b'{"hashes": [], "checkpoint": "x", "checkpoint": "y"}'),
        (200, b'{"hashes": ["00"], "checkpoint": ""}'),
        (200, b'{"hashes": [], "checkpoint": "mien/\\ud800\\n1\\nx\\n"}'),
        (200, b"[" * 100_000),
        (200, json.dumps({"hashes": ["00" * 32] * 1000, "checkpoint": ""}).encode()),
        (200, json.dumps({"hashes": [], "checkpoint": f"mien/{'0' * 36}\n1\nAAAA\n\n\N{EM DASH} x y\n"}).encode()),
        (200, b"x" * 300_000),
    ],
)
def test_garbage_changes_nothing(met: Liar, state: Path, answer: tuple[int, bytes]) -> None:
    met.log.leaves = LEAVES[:150]
    met.answers["/v1/log/consistency"] = answer

    assert met.url in unproven(met, state) or "did not sign" in unproven(met, state)


@pytest.mark.service
@pytest.mark.parametrize("status", [401, 404, 500, 503])
def test_a_service_that_answers_no_proof(met: Liar, state: Path, status: int) -> None:
    met.answers["/v1/log/consistency"] = status, b""
    assert seen(met, state).more == 0, "it has signed the same"
    met.log.leaves = LEAVES[:150]
    assert "no proof" in unproven(met, state)
    met.answers["/v1/log"] = status, b""
    del met.answers["/v1/log/consistency"]
    assert str(status) in unproven(met, state)


@pytest.mark.service
@pytest.mark.parametrize(
    "keys", [b"", b"[]", b'{"keys": [{"mien_signs": "checkpoints"}]}', b'{"keys": []}', b"x" * 5_000_000]
)
def test_keys_that_cannot_be_used_are_not_believed(liar: Liar, state: Path, keys: bytes) -> None:
    liar.answers["/.well-known/jwks.json"] = 200, keys

    unproven(liar, state)


@pytest.mark.service
def test_a_note_of_no_log_of_ours_is_not_kept(liar: Liar, state: Path) -> None:
    for name in ("mien/../../elsewhere", "another/log", "mien/" + "\x1b" * 36, ""):
        liar.answers["/v1/log/checkpoint"] = 200, f"{name}\n1\nAAAA\n\n".encode()

        assert "no checkpoint of a log of Mien" in unproven(liar, state)


@pytest.mark.service
def test_a_service_that_does_not_answer(met: Liar, state: Path) -> None:
    url, met.url = met.url, "http://127.0.0.1:9"

    assert "cannot be reached" in unproven(met, state)
    met.url = url
    assert seen(met, state).more == 0, "afterwards all goes on"


@pytest.mark.service
def test_a_service_that_dawdles(met: Liar, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness, "SECONDS", 0.5)
    met.drip_s = 0.05

    assert "did not answer within" in unproven(met, state)


@pytest.mark.service
def test_nobody_is_followed_elsewhere(met: Liar, state: Path) -> None:
    with lying(Log()) as elsewhere:
        met.location = elsewhere.url + "/v1/log/checkpoint"

        assert "redirect" in unproven(met, state)
        assert elsewhere.asked == []


@pytest.mark.parametrize(
    "url", ["", "example.org", "ftp://example.org", "https://u:p@example.org", "https://example.org/?x=1", "http://"]
)
def test_what_is_no_address_is_refused(state: Path, url: str) -> None:
    with pytest.raises(UnprovenError, match="address"):
        check_log(url, state=state, vkey=None, now=NOW)
    assert not state.exists()


@pytest.mark.service
def test_what_was_left_of_a_line_is_taken_away(met: Liar, state: Path) -> None:
    [kept] = state.rglob("checkpoints.jsonl")
    whole = kept.read_bytes()
    kept.write_bytes(whole + whole[:100])
    met.log.leaves = LEAVES[:150]

    assert seen(met, state).more == 50
    assert kept.read_bytes().startswith(whole)
    assert [json.loads(line)["note"] for line in kept.read_text("utf-8").splitlines()][1] == met.log.note()


@pytest.mark.service
def test_a_witness_that_died_at_the_first_time_begins_with_the_key_it_believed(liar: Liar, state: Path) -> None:
    seen(liar, state)
    [kept] = state.rglob("checkpoints.jsonl")
    kept.write_bytes(kept.read_bytes()[:50])

    assert seen(liar, state).before is None
    assert seen(liar, state).more == 0


@pytest.mark.parametrize("file", ["addresses.json", "log.json", "checkpoints.jsonl"])
def test_notes_that_were_damaged_are_not_gone_on_with(met: Liar, state: Path, file: str) -> None:
    [kept] = state.rglob(file)
    kept.write_bytes(b"x\n")

    with pytest.raises(WitnessNotesError, match=file):
        seen(met, state)


def test_a_checkpoint_that_was_changed_in_the_notes_is_not_gone_on_with(met: Liar, state: Path) -> None:
    [kept] = state.rglob("checkpoints.jsonl")
    kept.write_bytes(kept.read_bytes().replace(b"\\n100\\n", b"\\n101\\n"))

    with pytest.raises(WitnessNotesError, match="none that a witness wrote"):
        seen(met, state)


def test_two_witnesses_do_not_share_their_notes(met: Liar, state: Path) -> None:
    with open_notes(state), pytest.raises(WitnessNotesError, match="another witness"):
        seen(met, state)


# --- The command, and a service


def started(url: str, state: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own, with no settings and no stores."""
    return subprocess.run(
        [sys.executable, "-m", "app", "witness", url, "--state", str(state), *more],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def service(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    with serving(root, pool, toy_card(), log_interval=0.2) as running:
        yield running


def grows(service: RunningService) -> None:
    """Let somebody act, and wait until the log has it."""
    before = service.client.get("/v1/log/checkpoint").text
    person = service.person()
    assert person("PATCH", "/v1/me", json={"display_name": "Grace"}).status_code == 200
    until = time.monotonic() + 120
    while service.client.get("/v1/log/checkpoint").text == before:
        assert time.monotonic() < until
        time.sleep(0.05)


def url_of(client: httpx.Client) -> str:
    return str(client.base_url)


@pytest.mark.slow
def test_a_service_is_watched_while_it_works(service: RunningService, state: Path) -> None:
    url = url_of(service.client)
    grows(service)
    first = started(url, state)
    grows(service)
    second = started(url + "/", state, "--json")
    vkey = json.loads(second.stdout)["vkey"]
    third = started(url, state, "--vkey", vkey)

    assert (first.returncode, first.stderr) == (0, "")
    assert vkey in first.stdout
    said = json.loads(second.stdout)
    assert (second.returncode, said["holds"]) == (0, True)
    assert said["size"] > said["held_against"] > 0
    assert third.returncode == 0
    assert len(third.stdout.splitlines()) == 1
    assert not (state.parent / "data").exists()


@pytest.mark.slow
def test_a_service_whose_register_was_put_back_is_found_out(
    root: Path, pool: SharedPool, state: Path, tmp_path: Path
) -> None:
    with serving(root, pool, toy_card(), log_interval=0.2) as service:
        grows(service)
        assert service.vault.checkpoint_all()
    shutil.copytree(root, tmp_path / "older")
    with serving(root, pool, toy_card(), log_interval=0.2) as service:
        grows(service)
        assert check_log(url_of(service.client), state=state, vkey=None, now=NOW).size > 0
    shutil.rmtree(root)
    # Both stores, so that the service itself cannot tell.
    shutil.copytree(tmp_path / "older", root)
    with serving(root, pool, toy_card()) as service:
        url = url_of(service.client)
        with open_notes(state) as notes:
            [log] = [one for one in state.iterdir() if one.is_dir()]
            kept = notes.of(log.name.replace("mien-", "mien/"))
            assert kept is not None
            notes.found(kept, url)
        plain, said = started(url, state), started(url, state, "--json")

    assert (plain.returncode, plain.stdout) == (1, "")
    assert len(plain.stderr.splitlines()) == 1
    assert said.returncode == 1
    found = json.loads(said.stdout)
    assert found["found"] in {"shrank", "forked", "rewritten"}
    assert Path(found["evidence"]).is_file()


@pytest.mark.service
def test_looking_again_and_again_goes_on_after_failures(liar: Liar, state: Path) -> None:
    command = [sys.executable, "-m", "app", "witness", liar.url, "--state", str(state), "--every", "1", "--json"]
    with subprocess.Popen(
        command, cwd=ROOT, env={"PATH": os.environ["PATH"]}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = [json.loads(process.stdout.readline())]
        liar.answers["/v1/log"] = 500, b""
        while told[-1]["holds"]:
            told.append(json.loads(process.stdout.readline()))
        liar.answers.clear()
        while not told[-1]["holds"]:
            told.append(json.loads(process.stdout.readline()))
        process.terminate()

    assert {one["holds"] for one in told} == {True, False}
