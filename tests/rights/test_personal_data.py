"""The data map is complete: each column is classified, exported if personal, and erased with its subject."""

import json
import sqlite3
from contextlib import closing
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Column, LargeBinary, MetaData, String, Table, Uuid

from app.db.data_map import CREDENTIAL, IMPERSONAL, PERSONAL, SEALED_TEXT, Kind
from app.rights import access_schema, personal_data
from tests.rights.complete_person import (
    IN_NO_ANSWERABLE_PERSON,
    as_in_document,
    canaries,
    complete_person,
    deliver_all_messages,
    document,
    photos,
    plain_columns,
    read_rows,
    unzipped,
    vectors,
)
from tests.support.byte_scan import Needles
from tests.support.changed_schema import accept_any_schema
from tests.support.service_fixture import RunningService
from tests.support.sqlite_stores import in_file


def with_column(*columns: Column[Any]) -> MetaData:
    """Return the tables of a program with one more table."""
    sample = MetaData()
    Table("diaries", sample, Column("id", Uuid, primary_key=True, info=IMPERSONAL), *columns)
    return sample


def missing_columns(tables: list[Table], given: dict[str, Any]) -> list[str]:
    """Return the personal columns of *tables* that the schema *given* does not require."""
    required = {name: given["$defs"].get(name, {}).get("required", ()) for name in given["$defs"]["Data"]["required"]}
    return [
        f"{table.name}.{column.name}"
        for table in tables
        for column in table.columns
        if column.info["kind"] in {Kind.PERSONAL, Kind.BIOMETRIC}
        and personal_data.opened_name(column) not in required.get(table.name, ())
    ]


def test_every_column_of_both_stores_is_classified() -> None:
    every = [column for store in personal_data.STORES for table in store.tables.values() for column in table.columns]

    assert len(every) > 50
    assert all(isinstance(personal_data.classification(column), Kind) for column in every)


def test_register_holds_nothing_about_a_person() -> None:
    _, register = personal_data.STORES

    assert not personal_data.tables([register])


def test_unclassified_column_fails() -> None:
    with pytest.raises(personal_data.UnmappedError, match=r"diaries\.text"):
        personal_data.tables([with_column(Column("text", String))])


def test_a_personal_column_without_its_subject_fails() -> None:
    with pytest.raises(personal_data.UnmappedError, match="diaries"):
        personal_data.tables([with_column(Column("text", String, info=PERSONAL))])


def test_table_without_personal_data_is_left_out() -> None:
    assert not personal_data.tables([with_column(Column("text", String, info=IMPERSONAL))])


def test_every_personal_column_is_exported() -> None:
    assert not missing_columns(personal_data.tables(), access_schema.schema())


def test_a_personal_column_that_is_not_exported_is_found() -> None:
    diary = with_column(Column("subject_id", Uuid, info=PERSONAL), Column("text", String, info=PERSONAL))

    assert missing_columns(personal_data.tables([diary]), access_schema.schema()) == [
        "diaries.subject_id",
        "diaries.text",
    ]


def test_credentials_are_not_exported() -> None:
    sample = with_column(Column("subject_id", Uuid, info=PERSONAL), Column("digest", LargeBinary, info=CREDENTIAL))
    (table,) = personal_data.tables([sample])

    assert [column.name for column in personal_data.exported_columns(table)] == ["id", "subject_id"]


def test_sealed_columns_are_named_for_their_content() -> None:
    name, bare = Column("sealed_name", LargeBinary, info=SEALED_TEXT), Column("sealed", LargeBinary, info=SEALED_TEXT)

    assert (personal_data.opened_name(name), personal_data.opened_name(bare)) == ("name", "content")


def test_a_person_with_data_in_every_field_gets_every_field(service: RunningService) -> None:
    whole = complete_person(service)
    held = read_rows(service, whole.person.subject_id)
    given = document(whole.person)["data"]

    assert {name for name, rows in held.items() if not rows} == IN_NO_ANSWERABLE_PERSON, (
        "the person has data in every table"
    )
    for table in personal_data.tables():
        if table.name == "access_counts":
            held[table.name][0]["times"] += 1
        expected = [{c.name: as_in_document(c, row[c.name]) for c in plain_columns(table)} for row in held[table.name]]
        found = [{c.name: row[c.name] for c in plain_columns(table)} for row in given[table.name]]
        assert sorted(found, key=json.dumps) == sorted(expected, key=json.dumps), table.name


def test_every_canary_is_found_in_the_export(service: RunningService) -> None:
    whole = complete_person(service)
    files = unzipped(whole.person("GET", "/v1/me/export").content)
    given = json.loads(files["mien.json"])["data"]
    lines = whole.person("GET", "/v1/me/comparisons").json()["items"]
    events = whole.person("GET", "/v1/me/consents").json()

    assert given["subjects"][0]["name"] == whole.name
    assert whole.name.encode() in files["index.html"]
    assert whole.subject_ref.encode() in files["index.html"]
    assert {row["id"] for row in given["comparisons"]} == {line["comparison_id"] for line in lines}
    assert [row["content"]["decision"] for row in given["comparisons"]] == ["match", "match", "no_match"]
    assert [row["content"]["state"] for row in given["consent_events"]].count("given") == 3
    assert given["consent_events"][-1]["content"]["consent_id"] in json.dumps(events)
    for photo_id, content in photos(whole.person).items():
        assert files[f"photos/{photo_id}.jpg"] == content
    for template_id, vector in vectors(service, whole.person.subject_id).items():
        assert tuple(json.loads(files[f"templates/{template_id}.json"])["vector"]) == vector


def test_every_plain_field_is_on_the_page_too(service: RunningService) -> None:
    whole = complete_person(service)
    page = unzipped(whole.person("GET", "/v1/me/export").content)["index.html"].decode()

    for rows in read_rows(service, whole.person.subject_id).values():
        for row in rows:
            assert str(UUID(row["id"])) in page


@pytest.mark.parametrize("path", ["/v1/me/access", "/v1/me/export"])
def test_it_has_no_data_of_another_person(service: RunningService, path: str) -> None:
    ada = complete_person(service)
    ben = complete_person(service, face=4, name="Ben Other-Canary", door="Gate")
    needles = canaries(service, ben)
    answer = ada.person("GET", path).content
    files = unzipped(answer) if path.endswith("export") else {"access": answer}
    his = ben.person("GET", path).content
    his_files = unzipped(his) if path.endswith("export") else {"access": his}

    assert not needles.found(files.items())
    assert needles.found(his_files.items()), "they can be found at all"
    assert b"Gate" not in b"".join(files.values())


def survivors(service: RunningService, subject_id: str, needles: Needles) -> list[str]:
    """Return the places with data of an erased person: rows with their id, and bytes in any file."""
    with closing(sqlite3.connect(in_file(service.vault.data).path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [
            name
            for name in tables
            if UUID(subject_id).hex in str(connection.execute(f"SELECT * FROM {name}").fetchall())  # noqa: S608 - names of our own
        ]
    return rows + needles.found(service.files())


@pytest.fixture
def stray(service: RunningService) -> None:
    """A table without a foreign key, whose rows no deletion reaches."""
    accept_any_schema(service.vault.data)
    with closing(sqlite3.connect(in_file(service.vault.data).path)) as connection:
        connection.execute("CREATE TABLE diaries (subject_id CHAR(32), text VARCHAR)")


def test_after_erasure_no_canary_is_found(service: RunningService, capfd: pytest.CaptureFixture[str]) -> None:
    whole = complete_person(service)
    deliver_all_messages(service)
    whole.person("GET", "/v1/me/export")
    needles = canaries(service, whole)
    for number, photo in enumerate(photos(whole.person).values()):
        needles.raw(f"photo {number}", photo[-300:-200])
    before = survivors(service, whole.person.subject_id, needles)

    assert whole.person("DELETE", "/v1/me").json()["status"] == "completed"
    output = capfd.readouterr()
    metrics = service.client.get("/metrics")

    assert before
    assert not survivors(service, whole.person.subject_id, needles)
    assert not needles.found([("log", (output.out + output.err).encode()), ("metrics", metrics.content)])


def test_row_that_survives_erasure_is_found(service: RunningService, stray: None) -> None:
    whole = complete_person(service)
    needles = canaries(service, whole)
    with closing(sqlite3.connect(in_file(service.vault.data).path)) as connection, connection:
        connection.execute("INSERT INTO diaries VALUES (?, ?)", [UUID(whole.person.subject_id).hex, whole.name])
    whole.person("DELETE", "/v1/me")

    assert survivors(service, whole.person.subject_id, needles)[0] == "diaries"
