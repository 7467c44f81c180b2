"""Additions to the OpenAPI document that FastAPI generates: problems, their types as an enum, headers, files, nulls."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import Response

from app.kit.errors import NotFoundError, Problem
from app.web.openapi import HEADERS, PROBLEM_REF, ProblemDocument, header_refs
from app.web.problems import TYPE, InternalError, MethodNotAllowedError

Schema = dict[str, Any]
FORM = "multipart/form-data"
ANYWHERE: tuple[type[Problem], ...] = (NotFoundError, MethodNotAllowedError, InternalError)
"""The problems that any address can answer; the routes do not list them."""


def _mark_files(schema: Any) -> None:  # noqa: ANN401 - any part of a schema
    """Add `format: binary` to files: client generators need it, and FastAPI writes `contentMediaType` only."""
    if isinstance(schema, dict):
        if schema.get("contentMediaType") == "application/octet-stream":
            schema["format"] = "binary"
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            _mark_files(part)


def _restore_nulls(example: Any, schema: dict[str, Any], known: dict[str, Any]) -> None:  # noqa: ANN401 - any JSON value
    """Put the nulls back into the example of a model: FastAPI removes them from the whole document."""
    schema = known[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if isinstance(example, list):
        for item in example:
            _restore_nulls(item, schema.get("items", {}), known)
    elif isinstance(example, dict):
        for name in schema.get("required", ()):
            example.setdefault(name, None)
        for name, part in schema.get("properties", {}).items():
            _restore_nulls(example.get(name), part, known)


def _operations(document: Schema) -> Iterator[Schema]:
    for operations in document["paths"].values():
        yield from operations.values()


def _answers(document: Schema) -> Iterator[Schema]:
    for operation in _operations(document):
        yield from operation["responses"].values()


def _correct_request_bodies(document: Schema) -> None:
    """Describe optional fields as clients send them.

    Generators take a field with a default as required, so the default is named in the description. A form has no null.
    """
    for operation in _operations(document):
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            body = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
            for field in body["properties"].values():
                if "default" in field:
                    text = f"{field.get('description', '')} Default: `{json.dumps(field.pop('default'))}`."
                    field["description"] = text.strip()
                if media_type == FORM and "anyOf" in field:
                    (kind,) = (kind for kind in field.pop("anyOf") if kind != {"type": "null"})
                    field.update(kind)


def _problem_schemas(document: Schema) -> Schema:
    """Return the schemas of problem documents. Their slugs are those in the examples of all routes."""
    shown = [
        example["value"]
        for answer in _answers(document)
        for example in answer.get("content", {}).get("application/problem+json", {}).get("examples", {}).values()
    ]
    types = {example["type"] for example in shown} | {TYPE + kind.slug for kind in ANYWHERE}
    photos = {fault["slug"] for example in shown for fault in example.get("photos", ())}
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas: Schema = problem.pop("$defs") | {PROBLEM_REF["$ref"].rpartition("/")[2]: problem}
    for name, property_name, values in (("ProblemDocument", "type", types), ("PhotoFault", "slug", photos)):
        schema = schemas[name]["properties"][property_name]
        enum = "ProblemType" if values is types else "PhotoSlug"
        schemas[enum] = {"type": "string", "enum": sorted(values), "description": schema["description"]}
        schemas[name]["properties"][property_name] = {"$ref": f"#/components/schemas/{enum}"}
    return schemas


def _complete(document: Schema) -> Schema:
    """Make the additions to *document*."""
    components = document["components"]
    schemas = components["schemas"]
    _mark_files(schemas)
    for schema in schemas.values():
        for example in schema.get("examples", ()):
            _restore_nulls(example, schema, schemas)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas |= _problem_schemas(document)
    _correct_request_bodies(document)
    components["headers"] = HEADERS
    for answer in _answers(document):
        answer.setdefault("headers", {}).update(header_refs("X-Request-Id"))
    return document


def describe(app: FastAPI, webhooks: Schema) -> None:
    """Make *app* publish the OpenAPI document with these additions and *webhooks*."""

    def openapi() -> Schema:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                tags=app.openapi_tags,
                routes=app.routes,
            )
            app.openapi_schema = _complete(document) | {"webhooks": webhooks}
        return app.openapi_schema

    @cache
    def encode(root_path: str) -> bytes:
        servers = {"servers": [{"url": root_path}]} if root_path else {}
        return json.dumps(openapi() | servers, ensure_ascii=False, separators=(",", ":")).encode()

    def get_document(request: Request) -> Response:
        # In a thread, and encoded once: it takes long enough to delay other requests.
        return Response(encode(request.scope["root_path"]), media_type="application/json")

    app.openapi = openapi  # type: ignore[method-assign]
    app.add_route("/openapi.json", get_document, include_in_schema=False)
