"""The OpenAPI document has an example of every problem, every request body and every successful answer."""

import hashlib
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import jsonschema

from app.compliance import shipped_notices
from app.consent import notice_template
from app.faces.cards.card import load_card
from tests.architecture.source import ROOT, modules
from tests.architecture.test_docs import slugs
from tests.consent.drafts import facts_of
from tests.rest.test_openapi import Document, operations

ANYWHERE = {"method-not-allowed", "internal-error"}
"""Problems of every address, which the description names once."""
NOT_IN_THIS_VERSION = {"engine-mismatch"}
"""Slugs that `docs/reference/errors.md` reserves for later versions."""


def _problems(document: Document) -> Iterator[tuple[str, Document]]:
    """Yield the slug and the example of every described problem."""
    for _, _, operation in operations(document):
        for answer in operation["responses"].values():
            problems = answer.get("content", {}).get("application/problem+json", {}).get("examples", {})
            yield from ((slug, example["value"]) for slug, example in problems.items())


def test_every_problem_is_described_by_an_operation(document: Document) -> None:
    known = set(slugs(modules()))

    assert {slug for slug, _ in _problems(document)} == known - ANYWHERE
    assert known >= ANYWHERE
    assert all(f"`{slug}`" in document["info"]["description"] for slug in ANYWHERE)
    assert not NOT_IN_THIS_VERSION & known
    later = (
        (ROOT / "docs" / "reference" / "errors.md").read_text("utf-8").partition("## A slug kept for later versions")[2]
    )
    assert all(f"`{slug}`" in later for slug in NOT_IN_THIS_VERSION)
    assert not [slug for slug in known if f"`{slug}`" in later]


def test_examples_of_problems_show_the_fault(document: Document) -> None:
    enrolling = document["paths"]["/v1/me/enrolments"]["post"]["responses"]
    refused = {
        **enrolling["415"]["content"]["application/problem+json"]["examples"],
        **enrolling["422"]["content"]["application/problem+json"]["examples"],
    }

    assert all(example["errors"][0]["pointer"] for slug, example in _problems(document) if slug == "invalid-request")
    del refused["invalid-request"], refused["idempotency-key-reused"]
    assert len(refused) == 6
    assert all(example["value"]["photos"][0]["slug"] == slug for slug, example in refused.items())
    for member, items in (("errors", "FieldFault"), ("photos", "PhotoFault")):
        problem = document["components"]["schemas"]["ProblemDocument"]

        assert member not in problem["required"]
        assert problem["properties"][member]["anyOf"][0]["items"] == {"$ref": f"#/components/schemas/{items}"}


def _answer_bodies(document: Document) -> Iterator[tuple[str, Document, list[Any]]]:
    """Yield every JSON body of a successful answer: place, schema and examples."""
    for method, path, operation in operations(document):
        for status, answer in operation["responses"].items():
            shown = answer.get("content", {}).get("application/json")
            if status.startswith("2") and shown is not None:
                schema = shown["schema"]
                named = document["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], {})
                examples = [example["value"] for example in shown.get("examples", {}).values()]
                yield f"{method} {path} {status}", schema, examples + named.get("examples", [])


def test_every_successful_answer_has_a_complete_example(document: Document) -> None:
    """A complete example has every field of the model and no other."""
    found = list(_answer_bodies(document))
    for schema in document["components"]["schemas"].values():
        if "properties" in schema:
            schema |= {"required": list(schema["properties"]), "additionalProperties": False}

    for where, schema, examples in found:
        assert examples, where
        for example in examples:
            whole = {**schema, "components": document["components"]}
            jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(example)
    assert len(found) > 25


def _texts(part: Any) -> Iterator[str]:
    if isinstance(part, dict | list):
        for one in part.values() if isinstance(part, dict) else part:
            yield from _texts(one)
    elif isinstance(part, str):
        yield part


def test_examples_have_random_ids_and_shipped_notices(document: Document) -> None:
    facts = facts_of(load_card("face_recognition"))
    published = (shipped_notices.render(file, facts) for file in shipped_notices.files())
    notices = {str(notice_template.parse(body).purpose): hashlib.sha256(body).hexdigest() for body in published}
    shown = [example for _, example, _ in _examples(document)]
    ids = {text for text in _texts(shown) if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text)}

    assert len(ids) > 8
    assert {UUID(one).version for one in ids} == {4}
    for example in shown:
        if isinstance(example, dict) and {"purpose", "notice_sha256"} <= set(example):
            assert example["notice_sha256"] == notices[example["purpose"]]


def _examples(document: Document) -> Iterator[tuple[str, Any, Any]]:
    for name, schema in document["components"]["schemas"].items():
        for example in schema.get("examples", []):
            yield name, example, schema
        for field, its in schema.get("properties", {}).items():
            for example in its.get("examples", []):
                yield f"{name}.{field}", example, its
    for _, path, operation in operations(document):
        for answer in operation["responses"].values():
            for content in answer.get("content", {}).values():
                for example in content.get("examples", {}).values():
                    yield path, example["value"], content["schema"]


def test_every_example_follows_its_schema(document: Document) -> None:
    found = list(_examples(document))

    for name, example, schema in found:
        whole = {**schema, "components": document["components"]}
        jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(example)
        assert name
    assert len(found) > 100


def test_every_body_has_an_example_and_every_file_is_marked_as_one(document: Document) -> None:
    exampled = {name.partition(".")[0] for name, _, _ in _examples(document)}
    bodies = [
        content["schema"]["$ref"].rpartition("/")[2]
        for _, _, operation in operations(document)
        for content in operation.get("requestBody", {}).get("content", {}).values()
    ]

    assert len(bodies) >= 6
    assert set(bodies) <= exampled
    parts = {name: schema["properties"] for name, schema in document["components"]["schemas"].items() if "Body" in name}
    (photos,) = (part["photos"]["items"] for part in parts.values() if "photos" in part)
    (probe,) = (part["probe"] for part in parts.values() if "probe" in part)
    assert photos["format"] == probe["format"] == "binary"
