"""The OpenAPI document is readable and valid, and describes the answers of the service."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema
import pytest
import schemathesis.openapi
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS as KNOWN_CHECKS
from schemathesis.checks import load_all_checks
from sqlalchemy import text

from app.faces.flaws import PHOTO_REFUSALS
from app.templates.errors import NotTheSamePersonError
from app.web.callers import Role
from tests.architecture.source import ROOT
from tests.architecture.test_docs import headings
from tests.support.service_fixture import RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card
from tests.test_roles import routes

Document = dict[str, Any]
EXAMPLES = 8
"""Cases for each operation and role."""
LONGEST_SUMMARY = 50
NO_VERBS = {"a", "an", "the", "gets", "returns"}
"""A summary does not begin with one of these: it begins with a verb."""


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Yield every operation: method, path and description."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_the_document_is_valid(document: Document) -> None:
    schemathesis.openapi.from_dict(document).validate()


def test_an_invalid_document_is_found(document: Document) -> None:
    document["paths"]["/livez"]["get"]["responses"] = "none"

    with pytest.raises(Exception, match="is not of type"):
        schemathesis.openapi.from_dict(document).validate()


def test_every_operation_has_a_short_summary_and_a_description(document: Document) -> None:
    summaries = []

    for method, path, operation in operations(document):
        summary, text = operation["summary"], operation["description"]
        summaries.append(summary)

        assert 5 <= len(summary) <= LONGEST_SUMMARY, (method, path)
        assert summary.split()[0].lower() not in NO_VERBS
        assert summary.lower().replace(" ", "_") != operation["operationId"]
        assert summary[-1] not in ".,:"
        assert text.strip(), (method, path)
        assert text != summary, (method, path)
    assert len(set(summaries)) == len(summaries)


def test_the_description_names_the_steps_and_every_tag_is_used(document: Document) -> None:
    named = [tag["name"] for tag in document["tags"]]
    used = {tag for _, _, operation in operations(document) for tag in operation["tags"]}

    assert named[0] == "registering"
    assert named[-1] == "operators"
    assert set(named) == used
    assert all(tag["description"] for tag in document["tags"])
    for path in ("POST /v1/subjects", "POST /v1/me/consents", "POST /v1/verifications"):
        assert path in document["info"]["description"]
    assert "A person" in document["info"]["description"]
    assert "A relying party" in document["info"]["description"]


def test_every_operation_names_its_role_and_its_problems(service: RunningService, document: Document) -> None:
    schemes: dict[Role, Any] = {
        Role.OPEN: None,
        Role.PERSON: [{"person": []}],
        Role.RELYING_PARTY: [{"relying_party": []}],
    }
    known = {slug.lower() for slug in headings((ROOT / "docs" / "reference" / "errors.md").read_text("utf-8"))}
    described = {(method.upper(), path): operation for method, path, operation in operations(document)}

    for route in routes(service):
        operation = described.pop((route.method, route.path))
        slugs = {
            (int(status), slug)
            for status, answer in operation["responses"].items()
            for slug in answer.get("content", {}).get("application/problem+json", {}).get("examples", {})
        }

        assert operation.get("security") == schemes[route.role], route
        assert {slug for _, slug in slugs} <= known
        assert {(400, "invalid-request"), (413, "too-large"), (503, "storage-unavailable")} <= slugs
        assert ((401, "unauthenticated") in slugs) is (route.role is not Role.OPEN or route.path == "/v1/recoveries")
        assert ((408, "request-timeout") in slugs) is ((503, "busy") in slugs) is ("requestBody" in operation)
        if "{" in route.path:
            assert (404, "not-found") in slugs
    assert described == {}


OPERATIONS = """
add_token check_liveness check_readiness decide_consent delete_enrolment dispute_comparison enrol_photos erase_account
export_data get_access_document get_access_schema get_account get_checkpoint get_consent_proof get_engine get_erasure
get_metrics get_notice get_photo get_public_keys get_receipt_schema get_relying_party lift_dispute lift_restriction
list_comparisons list_consents list_deliveries list_enrolments list_notices list_receipts list_references
list_relying_parties list_retention_rules list_tokens prove_consistency prove_inclusion recover_account
rectify_account register_subject renew_consent restrict_matching revoke_token shorten_comparisons verify_photo
verify_receipt withdraw_consent
"""
"""Names of functions in generated clients: they never change, and each is a verb and its object."""


def test_operation_ids_are_stable_and_read_well(document: Document) -> None:
    found = [operation["operationId"] for _, _, operation in operations(document)]
    webhooks = [hook["post"]["operationId"] for hook in document["webhooks"].values()]

    assert sorted(found) == OPERATIONS.split()
    assert webhooks == ["receive_consent_event"]
    assert len({name.replace("_", "") for name in found + webhooks}) == len(found) + 1
    assert all(re.fullmatch("[a-z]+(_[a-z]+)+", name) for name in found)


def test_texts_are_strings_and_files_are_bytes(document: Document) -> None:
    found = {
        (media_type, content["schema"].get("format"))
        for _, _, operation in operations(document)
        for answer in operation["responses"].values()
        for media_type, content in answer.get("content", {}).items()
        if media_type not in {"application/json", "application/problem+json"}
    }

    assert found == {
        ("text/plain", None),
        ("text/markdown", None),
        ("image/jpeg", "binary"),
        ("application/zip", "binary"),
    }


def test_pages_have_one_kind_of_cursor(document: Document) -> None:
    after = {
        str(one["schema"])
        for _, _, operation in operations(document)
        for one in operation.get("parameters", [])
        if one["name"] == "after"
    }
    following = {
        str(schema["properties"]["next"]["anyOf"])
        for name, schema in document["components"]["schemas"].items()
        if name.startswith("Page_")
    }

    assert after == {"{'type': 'string', 'title': 'After'}"}
    assert following == {"[{'type': 'string'}, {'type': 'null'}]"}


def test_types_of_problems_are_an_enum(document: Document) -> None:
    schemas = document["components"]["schemas"]
    shown = {
        example["value"]["type"]
        for _, _, operation in operations(document)
        for answer in operation["responses"].values()
        for example in answer.get("content", {}).get("application/problem+json", {}).get("examples", {}).values()
    }
    known = headings((ROOT / "docs" / "reference" / "errors.md").read_text("utf-8"))
    everywhere = {
        "urn:mien:problem:not-found",
        "urn:mien:problem:method-not-allowed",
        "urn:mien:problem:internal-error",
    }

    assert schemas["ProblemDocument"]["properties"]["type"] == {"$ref": "#/components/schemas/ProblemType"}
    assert set(schemas["ProblemType"]["enum"]) == shown | everywhere
    assert {one.rpartition(":")[2] for one in schemas["ProblemType"]["enum"]} <= {slug.lower() for slug in known}
    assert schemas["PhotoFault"]["properties"]["slug"] == {"$ref": "#/components/schemas/PhotoSlug"}
    assert set(schemas["PhotoSlug"]["enum"]) == {
        *(kind.slug for kind in PHOTO_REFUSALS),
        NotTheSamePersonError.slug,
    }


def test_headers_are_described(document: Document) -> None:
    found: dict[str, set[str]] = {}
    for _, path, operation in operations(document):
        for status, answer in operation["responses"].items():
            for name, header in answer["headers"].items():
                assert header == {"$ref": f"#/components/headers/{name}"}
                found.setdefault(name, set()).add(status)
            assert "X-Request-Id" in answer["headers"], path

    assert set(document["components"]["headers"]) == set(found)
    assert found["Retry-After"] == {"409", "429", "503"}
    assert (found["Location"], found["WWW-Authenticate"]) == ({"202"}, {"401"})


def test_a_callback_follows_its_description(document: Document) -> None:
    """`tests/parties/test_delivery_worker.py` reads real messages; their claims are made from the same model."""
    schema = document["webhooks"]["consent-event"]["post"]["requestBody"]["content"]["application/jose"]["schema"]
    example = {"iss": "mien/x", "aud": str(uuid4()), "jti": str(uuid4()), "iat": 1, "event": "given"}
    example |= {"subject_ref": "x", "purpose": "verification"}
    whole = schema["contentSchema"] | {"components": document["components"]}

    assert re.fullmatch(schema["pattern"], "a.b.c")
    jsonschema.validate(example, whole)
    for wrong in (example | {"event": "withdrawn"}, example | {"reason": "moved"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, whole)


@pytest.mark.parametrize("removed", [True, False])
def test_a_prefix_reaches_servers_and_links(root: Path, pool: SharedPool, *, removed: bool) -> None:
    """A proxy may remove the prefix from the requests that it passes on, or keep it."""
    with serving(root, pool, toy_card(), root_path="/face/mien", sqlite_busy_s=0.2) as service:
        prefix, client = "" if removed else "/face/mien", service.client
        document = client.get(f"{prefix}/openapi.json").json()
        given = client.post(f"{prefix}/v1/subjects", json={"declared_adult": True}).json()
        refused = client.put(f"{prefix}/v1/me")
        page = client.get(f"{prefix}/docs")
        me = {"Authorization": f"Bearer {given['access_token']}"}
        asked = {"purpose": "template_renewal", "notice_sha256": service.notice("template_renewal")}
        assert client.post(f"{prefix}/v1/me/consents", json=asked, headers=me).status_code == 201
        purposes = client.get(f"{prefix}/v1/me/access", headers=me).json()["purposes"]
        # No store confirms an erasure while a reader holds its write-ahead log.
        with service.vault.data.read() as reader:
            reader.execute(text("SELECT count(*) FROM subjects")).all()
            erased = client.delete(f"{prefix}/v1/me", headers=me)
        location = erased.headers["location"]
        found = client.get(location.removeprefix("/face/mien") if removed else location)

    assert document["servers"] == [{"url": "/face/mien"}]
    assert refused.headers["allow"] == "DELETE, GET, HEAD, PATCH"
    assert page.status_code == 200
    assert (erased.status_code, location) == (202, f"/face/mien/v1/erasures/{erased.json()['erasure_id']}")
    assert found.status_code == 200
    assert [one["notice"] for one in purposes] == [f"/face/mien/v1/notices/{asked['notice_sha256']}"]


load_all_checks()
CHECKS: list[Any] = KNOWN_CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)
"""Checks of accepted and refused data are left out: the document cannot describe every valid file and name."""


@pytest.fixture
def unlimited(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """A service without rate limits."""
    with serving(root, pool, toy_card(), sign_ups_per_minute=100_000, recovery_failures_per_minute=100_000) as service:
        yield service


def conversation(operation: Any, token: str | None) -> Callable[[], None]:
    """Return a function that sends valid requests to an operation, and checks the answers by its description."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)

    return ask


@pytest.mark.parametrize("role", ["public", "person", "relying party"])
def test_every_answer_is_described(unlimited: RunningService, role: str) -> None:
    party, tried = unlimited.party(), 0
    schema = schemathesis.openapi.from_dict(unlimited.client.get("/openapi.json").json())
    schema.config.update(base_url=str(unlimited.client.base_url))

    found: Any
    for found in schema.get_all_operations():
        operation = found.ok()
        if role == "public" or "security" in operation.definition.raw:
            token = {"public": None, "person": unlimited.person().token, "relying party": party.key}[role]
            conversation(operation, token)()
            tried += 1

    assert len(CHECKS) == 5
    assert tried >= 18


@pytest.mark.parametrize("status", ["401", "200"])
def test_an_undescribed_answer_is_found(unlimited: RunningService, status: str) -> None:
    """The control: a status without a description, and a missing field."""
    document = unlimited.client.get("/openapi.json").json()
    token = None if status == "401" else unlimited.person().token
    if status == "401":
        del document["paths"]["/v1/me"]["get"]["responses"]["401"]
    else:
        document["components"]["schemas"]["MeOut"]["required"].append("canary")
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=str(unlimited.client.base_url))

    with pytest.raises(BaseException, match="ST103" if status == "401" else "canary"):
        conversation(schema["/v1/me"]["GET"], token)()
