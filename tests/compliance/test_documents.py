"""The documents follow the configuration: they show a changed setting, party, column or rate at once."""

import ast
import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import typer.main
from jsonschema import Draft202012Validator, FormatChecker
from sqlalchemy import LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from app.cli.program import app
from app.compliance.documents import common, dpia_inputs, privacy_notice, records_of_processing
from app.compliance.documents.markdown import escaped, render
from app.db.data_map import SEALED_TEXT
from app.db.types import Row
from app.faces.cards.card import load_card, parse_card
from app.parties import service as parties
from app.rights import personal_data, retention
from app.settings import DEMONSTRATION
from tests.architecture.source import ROOT
from tests.compliance.complete_service import WHO
from tests.support.launcher import run_here
from tests.support.service_fixture import RunningService, settings_for
from tests.support.toy_engine import toy_card

SCHEMA = json.loads((ROOT / "docs" / "reference" / "schemas" / "records-of-processing.schema.json").read_text())
formats = FormatChecker()
formats.checks("date-time", raises=ValueError)(lambda value: datetime.fromisoformat(str(value)).tzinfo is not None)
DOCUMENTS = {
    "records-of-processing": lambda source: render(records_of_processing.record(source)),
    "dpia-inputs": lambda source: render(dpia_inputs.inputs(source)),
    "privacy-notice": privacy_notice.text,
}


def source_of(service: RunningService, **settings: Any) -> common.Source:
    """Return the source of documents of a service with these settings."""
    return common.Source(
        vault=service.vault, settings=settings_for(service.root, **settings), card=toy_card(), now=service.clock()
    )


def valid(paper: dict[str, Any]) -> dict[str, Any]:
    """Check a record against the published schema and return it."""
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA, format_checker=formats).validate(paper)
    return paper


@pytest.mark.parametrize("profile", ["prototype", "live"])
def test_the_record_is_as_its_schema_says(service: RunningService, profile: str) -> None:
    service.party()

    valid(records_of_processing.record(source_of(service, profile=profile, **WHO)))
    valid(json.loads(json.dumps(records_of_processing.record(source_of(service, profile=profile)))))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_names_the_controller_and_the_demonstration_in_prototype(service: RunningService, name: str) -> None:
    make = DOCUMENTS[name]

    live = make(source_of(service, profile="live", **WHO))
    prototype = make(source_of(service, **WHO))

    assert all(value in live for value in WHO.values())
    assert DEMONSTRATION not in live
    assert DEMONSTRATION in prototype
    assert not [value for value in WHO.values() if value in prototype]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_follows_the_relying_parties(service: RunningService, name: str) -> None:
    make = DOCUMENTS[name]
    door, _ = service.party("Front door"), service.party("Gate")
    changes = parties.PartyChanges(context="the <entrance>", legal_basis="a ground | of its own")
    parties.update_party(service.vault, party_id=UUID(door.id), changes=changes, now=service.clock())
    before = make(source_of(service))
    parties.revoke(service.vault, party_id=UUID(door.id), now=service.clock())
    after = make(source_of(service))

    assert "Front door" in before
    assert "Gate" in before
    assert r"the \<entrance\>" in before
    assert r"a ground \| of its own" in before
    assert "Front door" not in after
    assert "Gate" in after


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_follows_the_retention(service: RunningService, name: str) -> None:
    texts = [DOCUMENTS[name](source_of(service, consent_days=days)) for days in (365, 123)]

    assert "365 days" in texts[0]
    assert "123 days" in texts[1]
    assert all(
        escaped(rule.how_long) in texts[1] for rule in retention.policy(settings_for(service.root, consent_days=123))
    )


@pytest.fixture
def scars() -> Iterator[type[Row]]:
    """A table of an imagined later version."""

    class Scar(Row):
        """A scar that a person has."""

        __tablename__ = "scars"

        id: Mapped[UUID] = mapped_column(primary_key=True, info=SEALED_TEXT)
        subject_id: Mapped[UUID] = mapped_column(info=SEALED_TEXT)
        sealed_shape: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED_TEXT)

    yield Scar
    Row.metadata.remove(Row.metadata.tables["scars"])
    Row.registry._dispose_cls(Scar)
    Scar.__mapper__._set_dispose_flags()


@pytest.mark.usefixtures("scars")
def test_a_new_column_is_in_the_record(service: RunningService) -> None:
    (found,) = [one for one in records_of_processing.record(source_of(service))["data"] if one["category"] == "scars"]

    assert found["about"] == "A scar that a person has."
    assert "shape (personal, sealed under the key of the subject)" in found["fields"]


def test_every_table_about_people_is_a_category_with_every_column(service: RunningService) -> None:
    found = {one["category"]: one for one in records_of_processing.record(source_of(service))["data"]}

    assert set(found) == {table.name for table in personal_data.tables()}
    assert all(one["about"] for one in found.values())
    assert found["templates"]["special"]
    assert not found["tokens"]["special"]
    assert any("credential" in one for one in found["tokens"]["fields"])


def test_the_rates_are_those_of_the_card(service: RunningService) -> None:
    document = load_card("face_recognition").as_document()
    for row in document["calibration"]["table"]:
        row["fmr_by_group"]["FF"] = 0.000123
    changed = common.Source(
        vault=service.vault, settings=service.settings, card=parse_card(document), now=service.clock()
    )

    found = dpia_inputs.inputs(changed)

    assert found["error_rates"]["false_match_rate_by_group"]["FF"] == 0.000123
    assert found["error_rates"]["second_trial_false_match_rate"]["Asian-F"] == 0.18
    assert found["error_rates"]["depicted_people_agreed"] is False
    assert found["error_rates"]["counted_over"] == "pairs"
    assert found["error_rates"]["false_non_match_rate_over_people"] is None
    assert "FF 0.000123" in render(found)


def test_questions_are_left_to_people(service: RunningService) -> None:
    found = dpia_inputs.inputs(source_of(service))

    assert {one["answer"] for one in found["necessity"]} == {dpia_inputs.OPEN}
    assert {one["severity"] for one in found["risks"]} == {dpia_inputs.OPEN}
    assert any(one.startswith("controller name") for one in found["missing_for_live"])


def test_every_measure_names_an_existing_command() -> None:
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]

    for measure in common.MEASURES:
        program, *words = measure["command"].split()
        if program == "mien":
            assert words[0] in commands, measure
        else:
            path, _, function = words[1].removeprefix("ARGS=").partition("::")
            tree = ast.parse((ROOT / path).read_text("utf-8"))
            names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert any(name.startswith("test_") for name in names), measure
            assert not function or function in names, measure


def test_markdown_has_every_field_and_escapes_markup(service: RunningService) -> None:
    service.party("# Door [x](javascript:1) <b>|`")
    paper = records_of_processing.record(source_of(service))
    text = render(paper)

    assert all(f"## {name.replace('_', ' ').capitalize()}" in text for name in paper if name != "title")
    assert r"\# Door \[x\](javascript:1) \<b\>\|\`" in text
    for line in text.splitlines():
        assert not line.startswith("| ") or line.endswith(" |")


def test_the_commands_print_json_and_markdown(root: Path) -> None:
    markdown = run_here(root, "records-of-processing")
    one, other = (run_here(root, "records-of-processing", *how) for how in (["--format", "json"], ["--json"]))
    inputs = run_here(root, "dpia-inputs", "--json")
    notice = run_here(root, "privacy-notice", "--json")
    named = run_here(root, "privacy-notice", MIEN_PROFILE="live", MIEN_CONTROLLER_NAME="Example Ltd")

    assert markdown.stdout.startswith("# Record of processing activities\n")
    assert DEMONSTRATION in markdown.stdout
    assert valid(json.loads(one.stdout)).keys() == valid(json.loads(other.stdout)).keys()
    assert json.loads(inputs.stdout)["law"] == "GDPR Art. 35(7)"
    assert "not for real people's data" in json.loads(notice.stdout)["markdown"]
    assert re.search(r"^- Name: Example Ltd$", named.stdout, re.MULTILINE)
    assert named.stderr == "", "the demonstration is named only in prototype"
