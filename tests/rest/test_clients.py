"""Clients: generated from the OpenAPI document, and copied from `docs/how-to/write-a-client.md`."""

import hashlib
import importlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.source import ROOT
from tests.support.launcher import run_program
from tests.support.service_fixture import RunningService
from tests.support.toy_faces import toy_photo

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "how-to" / "write-a-client.md").read_text("utf-8")
CONFIG = ROOT / "examples" / "openapi-python-client.yaml"


def snippets(language: str) -> list[str]:
    """Return the code blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def generated(service: RunningService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Generate the client; return a function that imports its modules."""
    document = tmp_path / "openapi.json"
    document.write_bytes(service.client.get("/openapi.json").content)
    made = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", "--meta", "none"),
            *("--path", str(document), "--config", str(CONFIG), "--output-path", str(tmp_path / "mien_client")),
        ],
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda name="": importlib.import_module(f"mien_client{name}")
    for name in [one for one in sys.modules if one.partition(".")[0] == "mien_client"]:
        del sys.modules[name]


def test_a_generated_client_does_the_whole_story(service: RunningService, generated: Any) -> None:
    models, types = generated(".models"), generated(".types")
    url, door = str(service.client.base_url), service.party()

    def api(operation: str) -> Any:
        return generated(f".api.{operation}")

    with generated().Client(url) as public:
        adult = models.RegistrationIn(declared_adult=True, display_name="Ada")
        ada = api("registering.register_subject").sync(client=public, body=adult)
        notices = {one.purpose: one for one in api("open_to_all.list_notices").sync(client=public).items}
        recipients = api("open_to_all.list_relying_parties").sync(client=public).items
        sha256 = notices[models.Purpose.VERIFICATION].sha256
        read = api("open_to_all.get_notice").sync(sha256, client=public)
    with generated().AuthenticatedClient(url, token=ada.access_token) as person:
        notice = notices[models.Purpose.VERIFICATION]
        consent = api("consent.decide_consent").sync(
            client=person,
            body=models.ConsentIn(
                purpose=notice.purpose,
                relying_party_id=recipients[0].relying_party_id,
                notice_sha256=notice.sha256,
            ),
        )
        photos = [types.File(io.BytesIO(toy_photo(1, variant=one)), f"{one}.png", "image/png") for one in (0, 2)]
        enrolled = api("enrolment.enrol_photos").sync(
            client=person, body=models.BodyEnrolPhotos(consent_id=[consent.consent_id], photos=photos)
        )
        with generated().AuthenticatedClient(url, token=door.key) as party:
            decisions = [
                api("relying_party.verify_photo").sync(
                    client=party,
                    body=models.BodyVerifyPhoto(
                        subject_ref=consent.subject_ref, probe=types.File(io.BytesIO(toy_photo(face)), "probe.png")
                    ),
                )
                for face in (1, 2)
            ]
            uses = api("account.list_comparisons").sync(client=person)
            archive = api("rights.export_data").sync(client=person)
            withdrawn = api("consent.withdraw_consent").sync(consent.consent_id, client=person)
            after = api("relying_party.verify_photo").sync(
                client=party,
                body=models.BodyVerifyPhoto(
                    subject_ref=consent.subject_ref, probe=types.File(io.BytesIO(toy_photo(1)), "probe.png")
                ),
            )
        receipt = models.ReceiptIn(receipt=withdrawn.receipt.to_dict())
        verdict = api("proof.verify_receipt").sync(client=person, body=receipt)
        erased = api("rights.erase_account").sync(client=person)
        ended = api("account.get_account").sync(client=person)

    assert hashlib.sha256(read.encode()).hexdigest() == sha256
    assert verdict.valid
    assert (str(recipients[0].relying_party_id), recipients[0].alternative) == (door.id, "a key card")
    assert [photo.index for photo in enrolled.photos] == [0, 1]
    assert [one.decision for one in decisions] == [models.Decision.MATCH, models.Decision.NO_MATCH]
    assert [one.comparison_id for one in reversed(uses.items)] == [one.comparison_id for one in decisions]
    assert archive.payload.read(2) == b"PK"
    assert (withdrawn.consent_id, withdrawn.state) == (consent.consent_id, models.EventState.WITHDRAWN)
    assert isinstance(after, models.ProblemDocument)
    assert after.type_ == "urn:mien:problem:no-such-consent"
    assert erased.status == models.ErasureStatus.COMPLETED
    assert ended.type_ == "urn:mien:problem:unauthenticated"


def test_the_types_of_a_generated_client_are_right(generated: Any, tmp_path: Path) -> None:
    package = Path(generated().__file__).parent

    checked = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--config-file",
            os.devnull,
            "--cache-dir",
            str(tmp_path / "cache"),
            str(package),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    # `client.py` is the generator's own, alike for every document, and passes its context managers untyped.
    faults = [line for line in checked.stdout.splitlines() if ": error:" in line and "/client.py:" not in line]
    assert "source files" in checked.stdout, checked.stderr
    assert not faults


def test_a_generated_client_reads_the_fault_of_a_field(service: RunningService, generated: Any) -> None:
    models = generated(".models")
    body = models.RegistrationIn(declared_adult=True, display_name="a" * 201)

    with generated().Client(str(service.client.base_url)) as public:
        problem = generated(".api.registering.register_subject").sync(client=public, body=body)

    assert isinstance(problem, models.ProblemDocument)
    assert [(one.pointer, bool(one.detail)) for one in problem.errors] == [("/display_name", True)]


def test_the_code_of_the_page_does_the_whole_story(root: Path, tmp_path: Path) -> None:
    with run_program(root) as running:
        places = {"MIEN_DATA_DIR": str(root / "data"), "MIEN_KEYS_DIR": str(root / "keys")}
        environment = os.environ | places | {"API": str(running.client.base_url).rstrip("/"), "PYTHONPATH": str(ROOT)}
        (story,), (code,) = snippets("bash"), snippets("python")
        story = story.replace(".venv/bin/python", sys.executable)
        shell = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", story],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        keys = dict(re.findall(r"^(PARTY|KEY|FINGERPRINT)=(\S+)$", shell.stdout, re.MULTILINE))
        python = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env=environment | {f"MIEN_{name}": value for name, value in keys.items()},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    assert shell.returncode == 0, shell.stdout + shell.stderr
    assert re.findall(r'"decision":"(\w+)"', shell.stdout)[:2] == ["match", "no_match"]
    ended, checked = shell.stdout.split("completed\n")
    assert ended.rstrip().splitlines()[-1] == "404"
    assert re.findall(r"^(valid|kind|logged) +(\w+)$", checked, re.MULTILINE) == [
        ("valid", "True"),
        ("kind", "consent_given"),
        ("logged", "promised"),
    ]
    assert python.returncode == 0, python.stderr
    advice, *lines = python.stdout.splitlines()
    assert advice.startswith("You enrolled 2 photos. ")
    assert lines == [
        *("match no_match", "2", "urn:mien:problem:no-such-consent", "completed"),
        "True consent_given",
    ]


@pytest.mark.foreign
def test_the_typescript_of_the_page_compiles_and_does_the_whole_story(root: Path, tmp_path: Path) -> None:
    work = tmp_path / "typescript"
    work.mkdir()
    (work / "tests").symlink_to(ROOT / "tests")
    (plain,), (typed,) = snippets("ts"), snippets("typescript")
    (work / "plain.ts").write_text(plain, "utf-8")
    (work / "story.ts").write_text(typed, "utf-8")
    commands = (
        snippets("sh")[-1] + "npx tsc --strict --module nodenext --target es2022 --types node plain.ts\nnode plain.js\n"
    )
    with run_program(root) as running:
        party = running.party("Side gate")
        given = {"API": str(running.client.base_url).rstrip("/"), "MIEN_KEY": party.key, "MIEN_PARTY": party.id}
        shell = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            env=os.environ | given,
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
        )

    assert shell.returncode == 0, shell.stdout + shell.stderr
    title = re.search(r'^title = "(.*)"$', (ROOT / "notices" / "verification.en.md").read_text("utf-8"), re.MULTILINE)
    assert title
    assert shell.stdout.splitlines()[-9:] == [
        title[1],
        *("match no_match", "2", "urn:mien:problem:no-such-consent", "completed true"),
        *("match no_match", "2", "404 no-such-consent", "completed"),
    ]
