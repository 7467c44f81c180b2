"""The key-encryption key from the transit engine of a real OpenBao server."""

import base64
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from app.settings import Settings
from app.startup import Run, prepare
from app.vault import rotation
from app.vault.key_encryption_keys import UnknownKekError
from app.vault.open import open_vault
from app.vault.register import Owner, Register
from app.vault.rotation import RotationResult, rotate
from app.vault.transit_kek import TEXT, TransitError
from tests.support.launcher import refused, run_here
from tests.support.openbao import OpenBao, running_openbao
from tests.support.service_fixture import SharedPool, serving, settings_for
from tests.support.toy_engine import toy_card
from tests.vault.killed_process import killed_at, steps_of

URL = "https://bao.example.org:8200/v1/transit/keys/mien"


@pytest.fixture(scope="module")
def openbao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with running_openbao(tmp_path_factory.mktemp("openbao")) as server:
        yield server


@pytest.fixture
def given(openbao: OpenBao) -> dict[str, Any]:
    """The settings that name a key of its own for the test."""
    return openbao.create_key(f"k{uuid4().hex}")


@contextmanager
def opened(root: Path, given: dict[str, Any]) -> Iterator[Register]:
    settings = settings_for(root, **given)
    vault = open_vault(settings)
    with closing(vault.data), closing(vault.register.store):
        prepare(vault, settings, Run.COMMAND)
        yield vault.register


def turned(root: Path, given: dict[str, Any]) -> RotationResult:
    with opened(root, given) as register:
        return rotate(register)


def name_of(given: dict[str, Any]) -> str:
    return str(given["kek_transit"]).rpartition("/")[2]


def derive(openbao: OpenBao, given: dict[str, Any], version: int) -> int:
    """Ask as the administrator for the key of a version. Returns the status of the answer."""
    return openbao.call("POST", f"/transit/hmac/{name_of(given)}/sha2-256", input=TEXT, key_version=version).status_code


@pytest.mark.service
def test_turn_destroys_the_old_version_and_a_process_beside_it_follows(
    openbao: OpenBao, given: dict[str, Any], tmp_path: Path
) -> None:
    owner = Owner.subject(uuid4())
    with opened(tmp_path, given) as register, opened(tmp_path, given) as beside:
        register.issue(owner)
        sealed, old = register.key(owner).seal(b"kept", "here"), register.keks.first
        assert beside.key(owner).open(sealed, "here") == b"kept"
        before = derive(openbao, given, 1)
        done = rotate(register)

        assert beside.key(owner).open(sealed, "here") == b"kept", "it asks for the version that it does not know"
        beside.check_origin()
        with pytest.raises(UnknownKekError):
            beside.keks.get(old.id)
        assert rotate(beside).kek_id not in {done.kek_id, old.id}
        assert register.key(owner).open(sealed, "here") == b"kept"
    lowered = openbao.call(
        "POST", f"/transit/keys/{name_of(given)}/config", min_decryption_version=1, min_encryption_version=1
    )
    assert (before, [derive(openbao, given, version) for version in (1, 2, 3)]) == (200, [400, 400, 200])
    assert lowered.status_code == 400, "not even the administrator brings it back"
    assert not list(tmp_path.rglob("kek*")), "no file has the key"


@pytest.mark.service
def test_turn_killed_at_any_step_is_finished(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "BATCH", 2)
    owner = Owner.subject(uuid4())
    with opened(tmp_path, given) as register:
        register.issue(owner)
        sealed = register.key(owner).seal(b"kept", "here")
    steps = [step for _, step in steps_of(partial(turned, tmp_path, given))]
    assert {step for step in steps if "transit key" in step} == {
        "version added to the transit key",
        "older versions of the transit key disallowed",
        "older versions of the transit key destroyed",
    }

    for number, step in enumerate(steps):
        killed_at(number, partial(turned, tmp_path, given))
        with opened(tmp_path, given) as register:
            assert register.key(owner).open(sealed, "here") == b"kept", step
            if register.keks.source.interrupted:
                assert rotate(register).resumed, step
            assert not register.keks.source.interrupted, step
            assert register.key(owner).open(sealed, "here") == b"kept", step


@pytest.mark.service
def test_outage_ends_readiness_and_heals_by_itself(
    openbao: OpenBao, given: dict[str, Any], tmp_path: Path, pool: SharedPool
) -> None:
    with serving(tmp_path, pool, toy_card(), **given) as service:
        person = service.person()
        service.pool.wait_full()
        with openbao.away():
            during = service.client.get("/readyz")
            name = person("GET", "/v1/me").json()["display_name"]
            with pytest.raises(TransitError, match="out of reach"):
                rotate(service.vault.register)
        after = service.client.get("/readyz")
        rotate(service.vault.register)
        turned_name = person("GET", "/v1/me").json()["display_name"]

    assert (during.status_code, after.status_code, after.json()["key_protection"]) == (503, 200, "transit")
    assert "does not answer" in " ".join(during.json()["reasons"])
    assert name == turned_name == "Ada Canary", "a known key needs no network"


@pytest.mark.service
@pytest.mark.parametrize(
    ("fault", "reason"),
    [("token", "OpenBao refuses the token in"), ("key", "OpenBao has no transit key at"), ("mode", "chmod 600")],
)
def test_wrong_token_or_key_is_told_in_one_sentence(
    openbao: OpenBao, given: dict[str, Any], tmp_path: Path, fault: str, reason: str
) -> None:
    turned(tmp_path, given)
    file: Path = given["kek_transit_token_file"]
    if fault == "token":
        file.write_text("s.wrong")
    elif fault == "mode":
        file.chmod(0o644)
    else:
        openbao.call("POST", f"/transit/keys/{name_of(given)}/config", deletion_allowed=True).raise_for_status()
        openbao.call("DELETE", f"/transit/keys/{name_of(given)}").raise_for_status()

    told = run_here(tmp_path, "sweep", **{f"MIEN_{name.upper()}": str(value) for name, value in given.items()})
    assert refused(told, reason)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"kek_transit": URL}, "need each other"),
        ({"kek_transit_token_file": "token"}, "need each other"),
        ({"kek_transit": URL, "kek_transit_token_file": "t", "kek_file": "kek"}, "only one of the three"),
        ({"kek_transit": URL, "kek_transit_token_file": "t", "kek": base64.b64encode(bytes(32))}, "only one of"),
        ({"kek_transit": URL.replace("https", "http"), "kek_transit_token_file": "t"}, "give https"),
        ({"kek_transit": f"{URL}/../x", "kek_transit_token_file": "t"}, "is no transit key"),
        ({"kek_transit": URL.replace("bao", "a@bao"), "kek_transit_token_file": "t"}, "is no transit key"),
    ],
)
def test_contradictory_or_open_settings_are_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Settings(**given)
