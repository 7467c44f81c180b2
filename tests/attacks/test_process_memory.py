"""A worker that a picture took over reads no memory of the service, and `live` waits for the whole sandbox."""

import base64
import os
import resource
import struct
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.faces.cards.card import load_card
from app.faces.engines.opencv import reduce_with_opencv
from app.faces.flaws import Flaw
from app.faces.permit import Permit
from app.faces.reduce import reduce_with_pillow
from app.faces.workers import sandbox
from app.faces.workers.converted_network import use_converted
from app.faces.workers.decode import check
from app.faces.workers.messages import Measurement
from app.faces.workers.pool import MAX_PIXELS
from app.vault.seal import NONCE_BYTES
from tests.architecture.source import ROOT
from tests.attacks import memory_scan, own_process
from tests.faces.conftest import keeping_permit, pool_of
from tests.support import byte_scan
from tests.support.launcher import run_here, run_program
from tests.support.service_fixture import enrol
from tests.support.waiting import wait_until

__all__ = ["keeping_permit"]
PICTURES = ("studio_portrait.jpg", "amateur_selfie.jpg")
WITHOUT_FILTERS = """
import errno, os, pyseccomp, sys
rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
rules.add_rule(pyseccomp.ERRNO(errno.EINVAL), "seccomp")
rules.add_rule(pyseccomp.ERRNO(errno.EINVAL), "prctl", pyseccomp.Arg(0, pyseccomp.EQ, 22))
rules.load()
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Starts a program on a machine whose kernel has no system call filters."""
ON_SUCH_A_MACHINE = (sys.executable, "-c", WITHOUT_FILTERS)
needs_filter = pytest.mark.skipif(not sandbox.has_seccomp(), reason="this machine has no libseccomp")


def read_by_worker(protection: str, how: str) -> str:
    """Let a child read the secret of its parent; returns the bytes that it got."""
    command = [sys.executable, "-m", "tests.attacks.own_process", protection, how]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


@pytest.mark.service
def test_without_a_filter_a_worker_reads_nothing_of_its_parent() -> None:
    assert read_by_worker("leave", "free") == own_process.SECRET.decode(), "the attack itself works"
    assert read_by_worker("protect", "sandbox") == ""


@needs_filter
@pytest.mark.service
def test_live_is_not_ready_where_the_sandbox_is_reduced(root: Path) -> None:
    settings = {"MIEN_PROFILE": "live", "MIEN_ENGINE_WORKERS": "1"}
    with run_program(root, under=ON_SUCH_A_MACHINE, wait=False, **settings) as running:
        wait_until(lambda: running.client.get("/readyz").json()["engine_workers"] == 1)
        answer = running.client.get("/readyz")
        ready = answer.json()

    assert (answer.status_code, ready["sandbox"]) == (503, {"level": "reduced", "missing": ["system_call_filter"]})
    (reason,) = [one for one in ready["reasons"] if "sandbox" in one]
    assert "lacks system_call_filter; install libseccomp" in reason


@needs_filter
@pytest.mark.service
def test_live_check_tries_the_sandbox_of_this_machine(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = run_here(root, "live-check").stdout
    command = [*ON_SUCH_A_MACHINE, sys.executable, "-m", "app", "live-check"]
    monkeypatch.setenv("MIEN_DATA_DIR", str(root / "data"))
    monkeypatch.setenv("MIEN_KEYS_DIR", str(root / "keys"))
    there = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout

    assert "ok       sandbox of the workers: full" in here
    assert "ok       memory of the service: closed" in here
    assert "MISSING  sandbox of the workers: lacks system_call_filter" in there


ABORTING = """
import os, resource, sys
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
if sys.argv[1] == "protect":
    from app.kit.process_memory import protect_process
    protect_process()
os.chdir(sys.argv[2])
os.abort()
"""


def dumps_core(protection: str, directory: Path) -> bool:
    """Let a process abort; returns whether the kernel dumped its memory."""
    command = [sys.executable, "-c", ABORTING, protection, str(directory)]
    process = os.posix_spawn(sys.executable, command, {**os.environ, "PYTHONPATH": str(ROOT)})
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status)
    return os.WCOREDUMP(status)


@pytest.mark.service
def test_the_kernel_dumps_no_core(tmp_path: Path) -> None:
    may_dump = resource.getrlimit(resource.RLIMIT_CORE)[1] != 0

    assert dumps_core("leave", tmp_path) is may_dump
    assert not dumps_core("protect", tmp_path)


READER = """
import os, sys
from app.faces.workers.sandbox import _drop_capabilities
_drop_capabilities()
for name in ("mem", "environ", "maps", "fd/0"):
    try:
        os.close(os.open(f"/proc/{sys.argv[1]}/{name}", os.O_RDONLY | os.O_NONBLOCK))
    except PermissionError:
        continue
    print(name)
"""


UNPRIVILEGED = """
import os, sys
from app.faces.workers.sandbox import _drop_capabilities
from app.kit.process_memory import forbid_new_privileges
assert _drop_capabilities() and forbid_new_privileges()
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Starts a program of the same user without the capabilities of root, which keep others out by themselves."""
AS_USER = (sys.executable, "-c", UNPRIVILEGED)


def readable_parts(pid: int) -> list[str]:
    """Return what another process of the same user, without the capabilities of root, can read of the process."""
    command = [sys.executable, "-c", READER, str(pid)]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.service
def test_another_process_of_the_user_reads_neither_the_service_nor_a_worker(root: Path) -> None:
    command = [*AS_USER, sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as open_process:
        assert open_process.stdout is not None
        open_process.stdout.readline()
        assert set(readable_parts(open_process.pid)) == {"mem", "environ", "maps", "fd/0"}, "the attack itself works"
        open_process.communicate(b"\n")
    with run_program(root, under=AS_USER, MIEN_ENGINE="sface", MIEN_ENGINE_WORKERS="1") as running:
        (worker,) = psutil.Process(running.process.pid).children()

        assert readable_parts(running.process.pid) == []
        assert readable_parts(worker.pid) == []


@pytest.mark.service
@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads the memory of a protected process")
def test_after_an_erasure_the_memory_holds_no_key_of_the_person_and_no_photo(root: Path) -> None:
    photo, probe = (ROOT.joinpath("tests/images/people/P001", name).read_bytes() for name in PICTURES)
    with run_program(root, MIEN_ENGINE="sface", MIEN_ENGINE_WORKERS="1") as running:
        (worker,) = psutil.Process(running.process.pid).children()
        person, party = running.person("Ada"), running.party()
        notices = {one["purpose"]: one["sha256"] for one in running.client.get("/v1/notices").json()["items"]}
        consent = person(
            "POST",
            "/v1/me/consents",
            json={
                "purpose": "verification",
                "notice_sha256": notices["verification"],
                "relying_party_id": party.id,
            },
        ).json()
        assert enrol(person, [consent["consent_id"]], [photo]).status_code == 201
        assert party.verify(consent["subject_ref"], probe).json()["decision"] == "match"
        kek, keys = keys_of(root)
        assert person("DELETE", "/v1/me").status_code == 200
        service, engine = (memory_scan.read_memory(pid) for pid in (running.process.pid, worker.pid))
        dumped = memory_scan.read_memory(running.process.pid, dumped_only=True)

    assert len(keys) == 2
    assert memory_scan.count(service, keys) == dict.fromkeys(keys, 0)
    assert (service.count(kek), dumped.count(kek)) == (1, 0), "its one copy is in memory that no dump contains"
    for memory in (service, engine):
        assert memory_scan.share_found(memory, memory_scan.windows(photo)) == 0
        assert memory_scan.share_found(memory, memory_scan.windows(probe)) == 0


def keys_of(root: Path) -> tuple[bytes, dict[str, bytes]]:
    """Return the key-encryption key, and the key of each subject and grant."""
    kek = base64.b64decode((root / "keys" / "kek").read_text("utf-8"))
    owners, keys = byte_scan.owners(root / "data" / "mien.db"), {}
    for digest, generation, wrapped in byte_scan.slots(root):
        if digest in owners and any(wrapped):
            context = f"key:{digest.hex()}:{generation}".encode()
            name = f"{owners[digest][0]} {generation}"
            keys[name] = AESGCM(kek).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context)
    return kek, keys


@pytest.mark.service
@pytest.mark.parametrize("engine", ["face_recognition", "converted", "sface"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads the memory of a protected process")
def test_a_worker_that_waits_holds_no_earlier_face(engine: str, keeping_permit: Permit, tmp_path: Path) -> None:
    photo = ROOT.joinpath("tests/images/people/P001", PICTURES[0]).read_bytes()
    reduce = reduce_with_pillow if engine == "face_recognition" else reduce_with_opencv
    card = use_converted(load_card("face_recognition"), tmp_path) if engine == "converted" else load_card(engine)
    decoded = check(photo, max_pixels=MAX_PIXELS, reduce=reduce)
    assert not isinstance(decoded, Flaw)
    picture = decoded.decode(side=640)
    assert not isinstance(picture, Flaw)
    with pool_of(card, workers=1) as pool:
        (found,) = pool.measure(keeping_permit, [photo])
        assert isinstance(found, Measurement)
        assert found.photo is not None
        pieces = {"photo": photo, "pixels": picture.pixels.tobytes(), "kept photo": found.photo}
        template = {form: struct.pack(f"<128{form}", *found.vector)[:32] for form in "df"}
        worker = pool._supervisors[0]._worker
        assert worker is not None
        wait_until(
            lambda: memory_scan.count(memory_scan.read_memory(worker._process.pid), template) == {"d": 0, "f": 0}
        )
        memory = memory_scan.read_memory(worker._process.pid)
        left = {name: memory_scan.share_found(memory, memory_scan.windows(one)) for name, one in pieces.items()}

    assert left == {"photo": 0, "pixels": 0, "kept photo": 0}
