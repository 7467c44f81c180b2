"""A witness stores a log's checkpoints, trusts nothing unverified, and keeps evidence of contradictions."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from app.cli.program import app
from app.kit.clock import utc_now
from app.transparency.log.batch import append_batch
from app.transparency.verify.checkpoint import Verifier, open_checkpoint
from app.transparency.witness.notes import WitnessNotesError, open_notes
from app.transparency.witness.service import Contradiction, ContradictionError, UnprovenError, WitnessResult, check_log
from tests.support.service_fixture import RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card
from tests.transparency.scripted_log_server import LogServer, SignedLog, serving_log
from tests.transparency.trees import LEAVES

NOW = datetime(2031, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "mien-witness"


@pytest.fixture
def server() -> Iterator[LogServer]:
    with serving_log(SignedLog()) as service:
        yield service


@pytest.fixture
def witnessed(server: LogServer, state: Path) -> LogServer:
    """A log that was checked once, when it had a hundred entries."""
    check(server, state)
    return server


def check(server: LogServer, state: Path, *, vkey: str | None = None, seconds: float = 30.0) -> WitnessResult:
    return check_log(server.url, state=state, vkey=vkey, now=NOW, seconds=seconds)


def files(state: Path) -> dict[Path, bytes]:
    """Return the files of the witness, without evidence."""
    return {
        file: file.read_bytes()
        for file in state.rglob("*")
        if file.is_file() and file.name != "lock" and "evidence" not in file.parts
    }


def contradiction(server: LogServer, state: Path) -> tuple[ContradictionError, dict[str, Any]]:
    """Check a log that contradicts its past; return the error and the evidence."""
    before = files(state)
    with pytest.raises(ContradictionError) as first:
        check(server, state)

    assert files(state) == before, "later checks compare with the same checkpoint"
    with pytest.raises(ContradictionError) as again:
        check(server, state)
    assert again.value.evidence == first.value.evidence, "the same evidence is stored once"
    evidence: dict[str, Any] = json.loads(first.value.evidence.read_text("utf-8"))
    assert evidence["found"] == first.value.found
    assert str(first.value.evidence) in str(first.value)
    return first.value, evidence


def unproven(server: LogServer, state: Path, *, seconds: float = 30.0) -> str:
    """Check a log that cannot be checked; return the reason."""
    before = files(state)
    with pytest.raises(UnprovenError) as error:
        check(server, state, seconds=seconds)

    assert files(state) == before
    assert not list(state.rglob("evidence/*"))
    return str(error.value)


@pytest.mark.service
def test_the_first_check_trusts_the_published_key_and_says_so(server: LogServer, state: Path) -> None:
    result = check(server, state)

    assert (result.size, result.before, result.log.given) == (100, None, False)
    assert result.log.verifier.vkey == server.log.vkey
    assert result.log.directory.parent == state


@pytest.mark.service
def test_a_log_that_only_grew_is_consistent(witnessed: LogServer, state: Path) -> None:
    for size in (100, 101, 256, 300, 300):
        witnessed.log.leaves = LEAVES[:size]
        result = check(witnessed, state)

        assert result.size == size
        assert result.before is not None
        assert result.more == size - result.before.checkpoint.size
    later = witnessed.requests[2:]
    assert not any("checkpoint" in path or "jwks" in path for path in later), "the proof has the checkpoint"
    [file] = state.rglob("checkpoints.jsonl")
    notes = [json.loads(line)["note"] for line in file.read_text("utf-8").splitlines()]
    verifier = Verifier.from_vkey(witnessed.log.vkey)
    assert [open_checkpoint(note, verifier).size for note in notes] == [100, 101, 256, 300]


@pytest.mark.service
def test_an_empty_log_is_witnessed_and_grows(server: LogServer, state: Path) -> None:
    server.log.leaves = []
    check(server, state)
    server.log.leaves = LEAVES[:3]

    assert check(server, state).more == 3


@pytest.mark.service
def test_a_given_key_is_the_only_one_trusted(server: LogServer, state: Path) -> None:
    result = check(server, state, vkey=server.log.vkey)

    assert result.log.given
    assert not any("jwks" in path for path in server.requests)
    other = SignedLog(origin_id=server.log.origin_id)
    with pytest.raises(WitnessNotesError, match="another key is trusted"):
        check(server, state, vkey=other.vkey)
    shutil.rmtree(state)
    with pytest.raises(UnprovenError, match="did not sign"):
        check(server, state, vkey=other.vkey)
    with pytest.raises(UnprovenError, match="given key"):
        check(server, state, vkey=server.log.vkey[:-4] + "AAA=")
    assert not list(state.rglob("*.jsonl"))


@pytest.mark.service
def test_a_trusted_key_can_be_given_later(witnessed: LogServer, state: Path) -> None:
    assert check(witnessed, state, vkey=witnessed.log.vkey).log.given
    assert check(witnessed, state).log.given


@pytest.mark.service
def test_a_rewritten_log_is_found(witnessed: LogServer, state: Path) -> None:
    witnessed.log.leaves = [*LEAVES[:50], LEAVES[999], *LEAVES[51:200]]

    error, evidence = contradiction(witnessed, state)

    assert error.found is Contradiction.REWRITTEN
    verifier = Verifier.from_vkey(witnessed.log.vkey)
    assert open_checkpoint(evidence["kept"], verifier).size == 100
    assert open_checkpoint(evidence["answered"], verifier).size == 200
    assert evidence["hashes"]


@pytest.mark.service
def test_a_log_that_shrank_is_found(witnessed: LogServer, state: Path) -> None:
    witnessed.log.leaves = LEAVES[:99]

    error, evidence = contradiction(witnessed, state)

    assert error.found is Contradiction.SHRANK
    assert open_checkpoint(evidence["answered"], Verifier.from_vkey(witnessed.log.vkey)).size == 99


@pytest.mark.service
def test_a_log_that_shrank_and_sends_a_proof_is_found(witnessed: LogServer, state: Path) -> None:
    witnessed.log.leaves = LEAVES[:99]
    body = {"from": 100, "size": 99, "hashes": [], "checkpoint": witnessed.log.note()}
    witnessed.answers["/v1/log/consistency"] = 200, json.dumps(body).encode()

    assert contradiction(witnessed, state)[0].found is Contradiction.SHRANK


@pytest.mark.service
def test_a_forked_log_is_found(witnessed: LogServer, state: Path) -> None:
    witnessed.log.leaves = [*LEAVES[:99], LEAVES[999]]

    error, evidence = contradiction(witnessed, state)

    assert error.found is Contradiction.FORKED
    verifier = Verifier.from_vkey(witnessed.log.vkey)
    before, after = open_checkpoint(evidence["kept"], verifier), open_checkpoint(evidence["answered"], verifier)
    assert before.size == after.size
    assert before.root != after.root


@pytest.mark.service
def test_a_log_that_changed_its_key_is_found(witnessed: LogServer, state: Path) -> None:
    witnessed.log = SignedLog(origin_id=witnessed.log.origin_id, leaves=LEAVES[:200])

    error, _ = contradiction(witnessed, state)

    assert error.found is Contradiction.OTHER_KEY
    assert witnessed.log.vkey in str(error)


@pytest.mark.service
def test_a_new_log_is_witnessed_only_once_its_key_is_given(witnessed: LogServer, state: Path) -> None:
    old = witnessed.log
    witnessed.log = SignedLog(leaves=LEAVES[:200])

    error, _ = contradiction(witnessed, state)

    assert error.found is Contradiction.NEW_ORIGIN
    assert "proves nothing of the old" in str(error)
    assert f"--vkey {witnessed.log.vkey}" in str(error)
    assert check(witnessed, state, vkey=witnessed.log.vkey).before is None
    assert check(witnessed, state).log.origin == witnessed.log.origin
    assert len(list(state.rglob("checkpoints.jsonl"))) == 2, "the files of the old log stay"
    witnessed.log = old
    assert contradiction(witnessed, state)[0].found is Contradiction.NEW_ORIGIN


@pytest.mark.service
def test_a_log_at_another_address_is_the_same_log(witnessed: LogServer, state: Path) -> None:
    with serving_log(witnessed.log) as elsewhere:
        witnessed.log.leaves = LEAVES[:150]
        result = check(elsewhere, state)

        assert result.before is not None
        assert result.more == 50
        witnessed.log.leaves = LEAVES[:120]
        assert contradiction(elsewhere, state)[0].found is Contradiction.SHRANK


@pytest.mark.service
def test_a_malformed_proof_changes_nothing(witnessed: LogServer, state: Path) -> None:
    witnessed.log.leaves = LEAVES[:150]
    note = f"mien/{'0' * 36}\n1\nAAAA\n\n\N{EM DASH} x y\n"
    for body in (
        b"",
        b"\xff" * 100,
        b"null",
        b"{}",
        b'{"hashes": [], "checkpoint": "x", "checkpoint": "y"}',
        b'{"hashes": ["00"], "checkpoint": ""}',
        b'{"hashes": [], "checkpoint": "mien/\\ud800\\n1\\nx\\n"}',
        b"[" * 100_000,
        json.dumps({"hashes": ["00" * 32] * 1000, "checkpoint": ""}).encode(),
        json.dumps({"hashes": None, "checkpoint": witnessed.log.note()}).encode(),
        json.dumps({"hashes": [], "checkpoint": note}).encode(),
        b"x" * 300_000,
    ):
        witnessed.answers["/v1/log/consistency"] = 200, body
        reason = unproven(witnessed, state)

        assert witnessed.url in reason or "did not sign" in reason or "no proof" in reason


@pytest.mark.service
@pytest.mark.parametrize("status", [401, 503])
def test_a_service_without_proofs_is_unproven_once_its_log_grows(
    witnessed: LogServer, state: Path, status: int
) -> None:
    witnessed.answers["/v1/log/consistency"] = status, b""
    assert check(witnessed, state).more == 0, "it signed the same checkpoint"
    witnessed.log.leaves = LEAVES[:150]
    assert "no proof" in unproven(witnessed, state)
    witnessed.answers["/v1/log"] = status, b""
    del witnessed.answers["/v1/log/consistency"]
    assert str(status) in unproven(witnessed, state)


@pytest.mark.service
def test_unusable_keys_are_not_trusted(server: LogServer, state: Path) -> None:
    for keys in (b"", b"[]", b'{"keys": [{"mien_signs": "checkpoints"}]}', b'{"keys": []}', b"x" * 5_000_000):
        server.answers["/.well-known/jwks.json"] = 200, keys

        unproven(server, state)


@pytest.mark.service
def test_a_note_with_the_name_of_no_mien_log_is_not_stored(server: LogServer, state: Path) -> None:
    for name in ("mien/../../elsewhere", "another/log", "mien/" + "\x1b" * 36, ""):
        server.answers["/v1/log/checkpoint"] = 200, f"{name}\n1\nAAAA\n\n".encode()

        assert "no checkpoint of a log of Mien" in unproven(server, state)


@pytest.mark.service
def test_a_service_that_does_not_answer_is_unproven(witnessed: LogServer, state: Path) -> None:
    url, witnessed.url = witnessed.url, "http://127.0.0.1:9"

    assert "cannot be reached" in unproven(witnessed, state)
    witnessed.url = url
    assert check(witnessed, state).more == 0, "the next check succeeds"


@pytest.mark.service
def test_a_service_that_answers_too_slowly_is_unproven(witnessed: LogServer, state: Path) -> None:
    witnessed.seconds_per_byte = 0.05

    assert "did not answer within" in unproven(witnessed, state, seconds=0.5)


@pytest.mark.service
def test_redirects_are_not_followed(witnessed: LogServer, state: Path) -> None:
    with serving_log(SignedLog()) as elsewhere:
        witnessed.location = elsewhere.url + "/v1/log/checkpoint"

        assert "redirect" in unproven(witnessed, state)
        assert elsewhere.requests == []


def test_a_malformed_address_is_refused(state: Path) -> None:
    invalid = ["", "example.org", "ftp://example.org", "https://u:p@example.org", "https://example.org/?x=1", "http://"]
    for url in invalid:
        with pytest.raises(UnprovenError, match="address"):
            check_log(url, state=state, vkey=None, now=NOW)
    assert not state.exists()


@pytest.mark.service
def test_a_partial_line_is_removed(witnessed: LogServer, state: Path) -> None:
    [file] = state.rglob("checkpoints.jsonl")
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:100])
    witnessed.log.leaves = LEAVES[:150]

    assert check(witnessed, state).more == 50
    assert file.read_bytes().startswith(whole)
    assert [json.loads(line)["note"] for line in file.read_text("utf-8").splitlines()][1] == witnessed.log.note()


@pytest.mark.service
def test_a_witness_that_died_at_its_first_check_goes_on_with_the_trusted_key(server: LogServer, state: Path) -> None:
    check(server, state)
    [file] = state.rglob("checkpoints.jsonl")
    file.write_bytes(file.read_bytes()[:50])

    assert check(server, state).before is None
    assert check(server, state).more == 0


@pytest.mark.service
@pytest.mark.parametrize("name", ["addresses.json", "log.json", "checkpoints.jsonl"])
def test_damaged_files_are_refused(witnessed: LogServer, state: Path, name: str) -> None:
    [file] = state.rglob(name)
    file.write_bytes(b"x\n")

    with pytest.raises(WitnessNotesError, match=name):
        check(witnessed, state)


@pytest.mark.service
def test_a_changed_checkpoint_in_the_files_is_refused(witnessed: LogServer, state: Path) -> None:
    [file] = state.rglob("checkpoints.jsonl")
    file.write_bytes(file.read_bytes().replace(b"\\n100\\n", b"\\n101\\n"))

    with pytest.raises(WitnessNotesError, match="not as a witness wrote it"):
        check(witnessed, state)


@pytest.mark.service
def test_two_witnesses_do_not_share_a_directory(witnessed: LogServer, state: Path) -> None:
    with open_notes(state), pytest.raises(WitnessNotesError, match="another witness"):
        check(witnessed, state)


# --- The command, and a real service


def run(url: str, state: Path, *more: str) -> Result:
    """Run the command with a setting that every command refuses that reads settings."""
    # The service logs in this process, and must not write between the lines of the command.
    with capture_logs():
        return CliRunner(env={"MIEN_PROFILE": "no such"}).invoke(app, ["witness", url, "--state", str(state), *more])


def grow(service: RunningService) -> None:
    """Let a person act, and add the leaf to the log."""
    person = service.person()
    assert person("PATCH", "/v1/me", json={"display_name": "Grace"}).status_code == 200
    append_batch(service.vault, settings=service.settings, now=utc_now(), at_once=True)


def url_of(service: RunningService) -> str:
    return str(service.client.base_url)


def test_a_running_service_is_witnessed(service: RunningService, state: Path) -> None:
    grow(service)
    first = run(url_of(service), state)
    grow(service)
    second = run(url_of(service) + "/", state, "--json")
    vkey = json.loads(second.stdout)["vkey"]
    third = run(url_of(service), state, "--vkey", vkey)

    assert (first.exit_code, first.stderr) == (0, "")
    assert vkey in first.stdout
    found = json.loads(second.stdout)
    assert (second.exit_code, found["holds"]) == (0, True)
    assert found["size"] > found["held_against"] > 0
    assert third.exit_code == 0
    assert len(third.stdout.splitlines()) == 1
    assert not (state.parent / "data").exists()


def test_an_older_copy_of_both_stores_is_found(root: Path, pool: SharedPool, state: Path, tmp_path: Path) -> None:
    """The service itself cannot find it."""
    with serving(root, pool, toy_card()) as service:
        grow(service)
        assert service.vault.checkpoint_all()
        shutil.copytree(root, tmp_path / "older")
        grow(service)
        log = check_log(url_of(service), state=state, vkey=None, now=NOW).log
    shutil.rmtree(root)
    shutil.copytree(tmp_path / "older", root)
    with serving(root, pool, toy_card()) as service:
        with open_notes(state) as notes:
            notes.set_address(log, url_of(service))
        plain, as_json = run(url_of(service), state), run(url_of(service), state, "--json")

    assert (plain.exit_code, plain.stdout) == (1, "")
    assert len(plain.stderr.splitlines()) == 1
    assert as_json.exit_code == 1
    found = json.loads(as_json.stdout)
    assert found["found"] in {"shrank", "forked", "rewritten"}
    assert Path(found["evidence"]).is_file()


@pytest.mark.service
def test_a_repeated_check_goes_on_after_failures(
    server: LogServer, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        server.answers = {"/v1/log": (500, b"")} if len(pauses) == 1 else {}
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("app.cli.log.time.sleep", pause)
    result = run(server.url, state, "--every", "7", "--json")

    assert [json.loads(line)["holds"] for line in result.stdout.splitlines()] == [True, False, True]
    assert pauses == [7.0] * 3
