"""The `mien` command: output, and refusals with a reason."""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from typer.main import get_group
from typer.testing import Result

from app.cli.program import COMMANDS, load_command
from app.faces.cards.card import load_card
from app.faces.permit import Purpose
from app.kit.version import __version__
from app.vault.open import open_vault
from tests.architecture.source import ROOT
from tests.consent.drafts import NEXT_VERSION, draft, facts_of, filled
from tests.consent.spies import everything
from tests.support.launcher import environment, refused, run_command, run_here, run_program
from tests.support.service_fixture import SharedPool, copied, serving, settings_for
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

ADD = ["relying-party", "add", "Door", "--contact", "c", "--purpose", "verification", "--alternative", "a key card"]

BANNER = "mien: prototype, demonstration controller: not for real people's data\n"
"""Printed by every command that opens the stores, after its work."""


Command = Callable[..., Result]


@pytest.fixture
def command(root: Path) -> Command:
    """Run the command in this process, on the service in `root`."""
    return partial(run_here, root)


def result_of(result: Result) -> dict[str, Any]:
    """Return the one JSON object that a command printed."""
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def rows(root: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of a service that does not run."""
    vault = open_vault(settings_for(root))
    found = everything(vault)
    vault.close()
    return found


@pytest.fixture
def stopped_service(root: Path, pool: SharedPool) -> Path:
    """A stopped service with an enrolled person."""
    with serving(root, pool, toy_card()) as service:
        service.enrolled()
    return root


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command, with the words that call it."""
    for name in COMMANDS:
        loaded = load_command(name)
        inner = getattr(loaded, "commands", None)
        yield from [((name,), loaded)] if inner is None else [((name, word), one) for word, one in inner.items()]


@pytest.mark.service  # Importing a command may start `ldconfig`, through `ctypes`.
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_listed_with_the_first_paragraph_of_its_help(name: str) -> None:
    loaded = load_command(name)

    assert " ".join(cleandoc(loaded.help).partition("\n\n")[0].split()) == COMMANDS[name].summary


def test_no_command_is_missing_in_the_list_of_commands() -> None:
    modules = [file.stem for file in (ROOT / "app" / "cli").glob("*.py") if "typer.Typer(" in file.read_text("utf-8")]
    groups = {name: get_group(import_module(f"app.cli.{name}").app) for name in modules if name != "program"}
    alone = {word for name in groups for word in groups[name].commands if word in COMMANDS}

    assert {command.module for command in COMMANDS.values()} == set(groups)
    # A module has commands of the list, or is one group.
    for name, group in groups.items():
        listed = [word for word, command in COMMANDS.items() if command.module == name]
        assert set(group.commands) == set(listed) or (len(listed) == 1 and not set(listed) & alone), name


def test_the_version_is_printed(command: Command) -> None:
    result = command("--version")

    assert (result.exit_code, result.stdout) == (0, f"mien {__version__}\n")


MODULES_OF_HELP = """
import sys
from app.cli.program import app
try:
    app(sys.argv[1:], prog_name="mien")
except SystemExit as stop:
    assert not stop.code, stop.code
print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.service
@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        (["--help"], {"sqlalchemy", "fastapi", "alembic", "numpy", "pydantic", "cryptography"}),
        (["--version"], {"sqlalchemy", "fastapi", "alembic", "numpy", "pydantic", "cryptography", "rich"}),
        (["verify-receipt", "--help"], {"sqlalchemy", "fastapi", "alembic", "numpy"}),
        (["keys", "list"], {"fastapi", "alembic", "numpy", "httpx", "jinja2"}),
        (["relying-party", "list"], {"fastapi", "alembic", "numpy", "jinja2"}),
        (["disputes"], {"fastapi", "alembic", "numpy", "httpx", "jinja2"}),
    ],
)
def test_a_command_imports_only_its_own_part_of_the_program(root: Path, words: list[str], unneeded: set[str]) -> None:
    """Imports are counted, not seconds: the time of a start depends on the machine."""
    done = subprocess.run(
        [sys.executable, "-c", MODULES_OF_HELP, *words],
        cwd=ROOT,
        env=environment(root),
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(done.stderr.splitlines()[-1].split())

    assert "typer" in imported
    assert not imported & unneeded


def test_help_lists_every_command_and_every_option(command: Command) -> None:
    found = dict(commands())

    assert {
        "serve",
        "demo",
        "migrate",
        "notice publish",
        "relying-party add",
        "relying-party list",
        "disputes",
        "sweep",
        "keys rotate",
    } <= set(map(" ".join, found))
    for words, one in found.items():
        above, own = (command(*path, flag, COLUMNS="200") for path, flag in ((words[:-1], "-h"), (words, "--help")))
        assert command(*words, "-h", COLUMNS="200").stdout == own.stdout
        options = {option for parameter in one.params for option in parameter.opts if option.startswith("--")}

        assert above.exit_code == own.exit_code == 0
        assert words[-1] in above.stdout
        # `engines plot` writes files and prints their names, one a line.
        assert "--json" in options or words == ("engines", "plot"), words
        assert all(option in own.stdout for option in options), words
        assert one.help


def test_wrong_usage_exits_with_2(root: Path, command: Command) -> None:
    before = rows(root)
    wrong = [
        ["scrape"],
        ["serve", "--port", "70000"],
        ["serve", "--port", "x"],
        ["relying-party", "add", "Door"],
        ["relying-party", "add", "--contact", "c", "--purpose", "verification", "--alternative", "a"],
        [*ADD, "--purpose", "advertising"],
        ["relying-party", "revoke", "no id"],
        ["relying-party", "rotate-key"],
        ["relying-party", "rotate-key", str(UUID(int=0)), "--overlap", "9" * 23],
        ["notice", "publish"],
        ["sweep", "--hard"],
    ]

    for words in wrong:
        result = command(*words)

        assert (result.exit_code, result.stdout) == (2, ""), words
        assert "Usage:" in result.stderr

    assert rows(root) == before


def test_a_relying_party_is_added_rotated_and_revoked(root: Path, pool: SharedPool, command: Command) -> None:
    added = run_command(root, *ADD, "--purpose", "identification", "--json")
    party = json.loads(added.stdout)
    twice = run_command(root, *ADD, "--json")
    rotated = run_command(root, "relying-party", "rotate-key", party["relying_party_id"], "--json")
    new = json.loads(rotated.stdout)

    assert (added.returncode, rotated.returncode, twice.returncode) == (0, 0, 1)
    assert list(party) == ["relying_party_id", "name", "api_key", "purposes"]
    assert (party["name"], sorted(party["purposes"])) == ("Door", ["identification", "verification"])
    assert party["api_key"].startswith("mien_rp_")
    assert new | {"api_key": 0} == party | {"api_key": 0}
    assert refused(twice, "'Door' already")
    with serving(root, pool, toy_card()) as service:
        keys = [party["api_key"], new["api_key"]]
        ask = [
            service.client.get("/v1/relying-party", headers={"Authorization": f"Bearer {key}"}).status_code
            for key in keys
        ]
        assert ask == [401, 200]

        revoked = run_command(root, "relying-party", "revoke", party["relying_party_id"], "--json")

        assert json.loads(revoked.stdout) == {name: party[name] for name in ("relying_party_id", "name", "purposes")}
        after = service.client.get("/v1/relying-party", headers={"Authorization": f"Bearer {keys[1]}"})
        assert after.status_code == 401, "at once, also in a running service"
        assert service.client.get("/v1/relying-parties").json()["items"] == []
    for words in ("revoke", "rotate-key"):
        assert refused(command("relying-party", words, party["relying_party_id"]), "revoked")


def test_a_purpose_that_is_not_for_relying_parties_is_refused(root: Path, command: Command) -> None:
    before = rows(root)

    result = command(*ADD, "--purpose", "template_renewal")

    assert refused(result, "purposes are verification and identification")
    assert rows(root) == before


def test_a_name_with_control_characters_is_refused(root: Path, command: Command) -> None:
    before = rows(root)

    for name, contact in [
        ("Do\x1b[2Jor", "door@example.org"),
        ("D\u202eroo", "x"),
        ("Door", "x\ny"),
        ("Door\x00", "x"),
    ]:
        result = command("relying-party", "add", name, "--contact", contact, *ADD[5:])

        assert refused(result, "Leave out control characters")
        assert result.output.isprintable() or result.output.rstrip("\n").isprintable()
    assert rows(root) == before


def test_invisible_texts_are_refused_as_blank(root: Path, command: Command) -> None:
    before = rows(root)

    assert refused(command("relying-party", "add", "\u200b", *ADD[3:]), "the name is blank")
    assert refused(command(*ADD[:-1], "\u200b\u3164"), "the alternative is blank")
    assert rows(root) == before


def test_a_pasted_id_is_cleaned(command: Command) -> None:
    party = result_of(command(*ADD, "--json"))["relying_party_id"]

    assert command("relying-party", "rotate-key", f"\u200b {party}\n").exit_code == 0
    assert command("relying-party", "rotate-key", party.replace("-", "\u2011").upper()).exit_code == 0
    assert command("relying-party", "rotate-key", "door").exit_code == 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_notice_saved_by_another_editor_is_the_same_notice(command: Command, tmp_path: Path, encoding: str) -> None:
    file, body = tmp_path / "notice.md", draft()
    file.write_bytes(body.decode().replace("\n", "\r\n").encode(encoding))
    published = result_of(command("notice", "publish", str(file), "--json"))
    read = filled(body, facts_of(load_card("face_recognition")))

    assert published["sha256"] == hashlib.sha256(read).hexdigest()


def test_without_json_the_output_is_readable_lines(command: Command) -> None:
    result = command(*ADD)

    assert result.exit_code == 0
    assert "api key" in result.stdout
    assert "mien_rp_" in result.stdout
    assert "verification" in result.stdout


def test_a_notice_is_published_once_under_a_higher_version(root: Path, command: Command, tmp_path: Path) -> None:
    file = tmp_path / "notice.md"

    def publish(body: bytes) -> Result:
        file.write_bytes(body)
        return command("notice", "publish", str(file), "--json")

    new, same = result_of(publish(draft())), result_of(publish(draft()))
    published = f"version {NEXT_VERSION} was published"
    before = rows(root)

    assert (new["purpose"], new["version"], new["language"], new["new"]) == ("verification", NEXT_VERSION, "en", True)
    assert same == new | {"new": False}
    assert refused(publish(draft(version=NEXT_VERSION - 1, words="Other words.")), published)
    assert refused(publish(draft(words="Other words.")), published)
    assert refused(publish(b"+++\nversion = 4\n+++\ntext"), "the notice lacks")
    assert refused(publish(b"text"), "+++")
    assert refused(publish(b"\xff"), "+++")
    assert refused(command("notice", "publish", str(tmp_path / "nothing.md")), "nothing.md")
    assert refused(command("notice", "publish", str(tmp_path)), "directory")
    assert rows(root) == before
    assert result_of(publish(draft(version=7)))["version"] == 7


def test_sweep_ends_expired_consents(root: Path, pool: SharedPool, command: Command) -> None:
    long_ago = str(datetime.now(UTC).date() - timedelta(days=2)) + " 00:00:00"
    with serving(root, pool, toy_card()) as service:
        person, _, consent = service.enrolled()
        service.consent(person, None, "template_renewal")
        with service.vault.data.write() as session:
            session.connection().exec_driver_sql(
                "UPDATE grants SET valid_until = ? WHERE purpose = 'verification'", (long_ago,)
            )

    first, second = result_of(command("sweep", "--json")), result_of(command("sweep", "--json"))

    assert first["expired"] == 1
    assert set(first.values()) == {0, 1}, "no other change"
    assert second["expired"] == 0
    left = rows(root)
    assert (len(left["mien.grants"]), len(left["mien.templates"])) == (1, 0)
    assert consent["consent_id"].replace("-", "") not in repr(left["register.keys"])


def test_a_command_that_logs_still_prints_one_object(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        service.enrolled()
        with service.vault.data.write() as session:
            session.connection().exec_driver_sql("UPDATE grants SET valid_until = '2020-01-01 00:00:00'")
        with service.vault.data.read() as session:
            session.connection().exec_driver_sql("SELECT count(*) FROM grants")
            # This reader blocks the checkpoint of the write-ahead log, which the sweep logs.
            done = run_command(root, "sweep", "--json", MIEN_SQLITE_BUSY_S="0.1")

    assert done.returncode == 0, done.stderr
    assert "held up" in done.stderr + done.stdout
    assert json.loads(done.stdout)["expired"] == 1


def test_rotation_replaces_the_key_encryption_key_and_resumes(stopped_service: Path, command: Command) -> None:
    before, old = rows(stopped_service), (stopped_service / "keys" / "kek").read_bytes()

    first = result_of(command("keys", "rotate", "--json"))
    once = (stopped_service / "keys" / "kek").read_bytes()
    shutil.copyfile(stopped_service / "keys" / "kek", stopped_service / "keys" / "kek.next")
    (stopped_service / "keys" / "kek.next").chmod(0o600)
    second = result_of(command("keys", "rotate", "--json"))
    shown = command("keys", "rotate")

    after = rows(stopped_service)
    assert list(first) == ["kek_id", "keys_rewrapped", "resumed"]
    assert (first["resumed"], first["keys_rewrapped"]) == (False, len(before["register.keys"]))
    assert second == {"kek_id": first["kek_id"], "keys_rewrapped": 0, "resumed": True}
    assert len({old, once, (stopped_service / "keys" / "kek").read_bytes()}) == 3
    assert "keys rewrapped" in shown.stdout
    assert shown.stderr == BANNER, "progress is shown on a terminal only"
    assert after["mien.templates"] == before["mien.templates"]
    assert refused(command("keys", "rotate", MIEN_KEK=once.decode().strip()), "if it was rotated, give the new one")


STORE_COMMANDS = [
    ["sweep"],
    ADD,
    ["relying-party", "revoke", "00000000-0000-4000-8000-000000000000"],
    ["serve", "--port", "0"],
    ["keys", "rotate"],
]


def all_refuse(command: Command, reason: str, **more: str) -> bool:
    """Check that every command that opens the stores is refused with this reason."""
    results = [(words, command(*words, **more)) for words in STORE_COMMANDS]
    wrong = [(words, result.exit_code, result.output, result.exception) for words, result in results]
    assert all(refused(result, reason) for _, result in results), wrong
    return True


def test_another_key_encryption_key_is_refused_and_deletes_no_row(stopped_service: Path, command: Command) -> None:
    before = rows(stopped_service)
    other = base64.b64encode(b"k" * 32).decode()

    assert all_refuse(command, "key-encryption key does not open the keys of this register", MIEN_KEK=other)
    assert rows(stopped_service) == before
    assert len(before["mien.templates"]) == 1
    assert result_of(command("sweep", "--json"))["purged"] == 0, "with the right key nothing was purged"


def test_a_register_of_other_data_is_refused_and_deletes_no_row(
    stopped_service: Path, command: Command, tmp_path: Path
) -> None:
    before = rows(stopped_service)
    other = tmp_path / "other"
    run_here(other, "migrate")

    assert all_refuse(command, "MIEN_KEYS_DIR", MIEN_KEYS_DIR=str(other / "keys"))
    assert rows(stopped_service) == before


def test_data_without_its_register_is_refused_and_deletes_no_row(
    stopped_service: Path, command: Command, tmp_path: Path
) -> None:
    before = rows(stopped_service)
    nothing = str(tmp_path / "nothing")

    migrated = command("migrate", MIEN_KEYS_DIR=nothing)

    assert refused(migrated, "no register in")
    assert all_refuse(command, "MIEN_KEYS_DIR", MIEN_KEYS_DIR=nothing)
    assert not Path(nothing).exists(), "no register and no key is created there"
    assert rows(stopped_service) == before
    assert result_of(command("sweep", "--json"))["purged"] == 0


def test_a_file_that_is_no_database_is_refused(root: Path, prepared: Path, command: Command) -> None:
    for file in ("data/mien.db", "keys/register.db"):
        shutil.rmtree(root)
        copied(prepared, root)
        (root / file).write_bytes(b"no database" * 1000)

        assert all_refuse(command, "database"), file
        assert (root / file).read_bytes() == b"no database" * 1000, "the file is left for a repair"


def test_an_invalid_key_encryption_key_is_refused(root: Path, command: Command) -> None:
    file = root / "keys" / "kek"
    good = file.read_bytes()

    assert refused(command("sweep", MIEN_KEK="c2hvcnQ="), "MIEN_KEK does not hold 32 bytes in base64")
    file.write_bytes(b"short")
    assert refused(command("sweep"), "does not hold 32 bytes in base64")
    file.write_bytes(good)
    file.chmod(0o640)
    assert refused(command("sweep"), "may be read by others")
    file.chmod(0o600)
    assert result_of(command("sweep", "--json"))["expired"] == 0


def test_a_key_encryption_key_outside_ascii_is_refused(root: Path, command: Command) -> None:
    assert refused(command("sweep", MIEN_KEK="\N{SNOWMAN}"), "MIEN_KEK does not hold 32 bytes in base64")

    (root / "keys" / "kek").write_bytes(b"\xff" * 32)
    assert refused(command("sweep"), "does not hold 32 bytes in base64")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"MIEN_PROFILE": "production"}, "MIEN_PROFILE: Input should be 'prototype' or 'live'"),
        ({"MIEN_REGISTRATION": "no"}, "MIEN_REGISTRATION: "),
        ({"MIEN_ENGINE_WORKERS": "many"}, "MIEN_ENGINE_WORKERS: "),
        ({"MIEN_TARGET_FMR": "2"}, "MIEN_TARGET_FMR: "),
        ({"MIEN_ENGINE_QUEUE": "100"}, "MIEN_ENGINE_QUEUE must be smaller than MIEN_REQUEST_THREADS"),
        ({"MIEN_CONSENT_DAYS": "2000"}, "MIEN_CONSENT_DAYS must not be larger than MIEN_CONSENT_MAX_DAYS"),
        ({"MIEN_CONSENT_DAYS": "99999999", "MIEN_CONSENT_MAX_DAYS": "999999999"}, "MIEN_CONSENT_DAYS: "),
        ({"MIEN_TRUSTED_PROXIES": "nonsense/99"}, "MIEN_TRUSTED_PROXIES: "),
        ({"MIEN_CORS_ORIGINS": "nonsense"}, "MIEN_CORS_ORIGINS: "),
        ({"MIEN_BODY_TIMEOUT_S": "inf"}, "MIEN_BODY_TIMEOUT_S: "),
        ({"MIEN_PROOF_RETENTION": "PT5H"}, "MIEN_PROOF_RETENTION: "),
        ({"MIEN_PROOF_RETENTION": "soon"}, "MIEN_PROOF_RETENTION: "),
        ({"MIEN_SQLITE_BUSY_S": "0", "MIEN_MAX_PIXELS": "-1"}, "MIEN_MAX_PIXELS: "),
    ],
)
def test_an_invalid_setting_is_named(command: Command, settings: dict[str, str], reason: str) -> None:
    for words in (["sweep"], ["serve", "--port", "0"]):
        result = command(*words, **settings)

        assert refused(result, reason), result.stderr


def test_a_target_that_the_card_does_not_support_is_refused(command: Command) -> None:
    result = command("serve", "--port", "0", MIEN_TARGET_FMR="1e-12")

    assert refused(result, "1e-12"), (result.stderr, result.exception)


@pytest.mark.slow
def test_serve_sets_up_an_empty_directory_and_stops_on_a_signal(tmp_path: Path) -> None:
    root = tmp_path / "new"
    root.mkdir()
    with run_program(root, wait=False, MIEN_ENGINE_WORKERS="1") as running:
        notices = running.client.get("/v1/notices").json()["items"]
        photo = running.client.post("/v1/verifications", files={"probe": toy_photo(1)})
        taken = run_command(tmp_path / "other", "serve", "--port", str(running.client.base_url.port))
        code = running.stop()

    assert {item["purpose"] for item in notices} == set(Purpose)
    assert photo.status_code == 401
    assert refused(taken, "cannot listen on")
    assert code == 0
