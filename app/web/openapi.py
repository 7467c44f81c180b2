"""Additions to the OpenAPI document that FastAPI generates: problems, examples, media types."""

from collections.abc import Callable
from typing import Any, Self

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.kit.errors import Problem
from app.web.problems import TYPE

Example = dict[str, Any]
"""An example of a body, or of a part of one."""
Responses = dict[int | str, dict[str, Any]]
"""The `responses` of a route, as FastAPI takes them."""
PROBLEM_REF = {"$ref": "#/components/schemas/ProblemDocument"}


class RequestBody(BaseModel):
    """The body of a request. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ResponseBody(BaseModel):
    """The body of a response. The docstring below a field is its description in the document."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    @classmethod
    def of(cls, source: object, **more: object) -> Self:
        """Make the body: the fields in *more*, and the other fields from the attributes of *source*."""
        fields = {name: getattr(source, name) for name in cls.model_fields if name not in more}
        return cls.model_validate(fields | more)


class FieldFault(BaseModel):
    """The fault of one field."""

    pointer: str = Field(description="The field, as a JSON pointer; empty for the whole body.")
    detail: str


class PhotoFault(BaseModel):
    """The fault of one photo."""

    index: int = Field(description="The photo, counted from 0 in the order of the request.")
    slug: str = Field(description="The slug of the problem that this photo alone would have.")
    detail: str


class ProblemDocument(BaseModel):
    """The answer to every error (RFC 9457), as `application/problem+json`."""

    type: str = Field(
        description="A permanent name that ends in the slug; docs/reference/errors.md has a heading for each."
    )
    title: str
    status: int
    detail: str = Field(description="The cause, and how you can solve the problem.")
    errors: list[FieldFault] | None = Field(default=None, description="The faulty fields of an `invalid-request`.")
    photos: list[PhotoFault] | None = Field(default=None, description="The faulty photos of an enrolment.")
    model_config = ConfigDict(extra="allow")


def with_examples(*examples: Example) -> JsonDict:
    """Return the `json_schema_extra` of a model with these examples."""
    return {"examples": list(examples)}


def own_members(kind: type[Problem]) -> Example:
    """Return the further members that every problem of this *kind* has."""
    return kind.example


def problem_responses(*kinds: type[Problem], members: Callable[[type[Problem]], Example] = own_members) -> Responses:
    """Return the `responses` of a route that can answer with these problems.

    Args:
        members: returns the further members in a problem's example on this route.
    """
    responses: Responses = {}
    for kind in kinds:
        entry = responses.setdefault(kind.status, {"description": "", "content": {"application/problem+json": {}}})
        content = entry["content"]["application/problem+json"]
        content["schema"] = PROBLEM_REF
        value = {"type": TYPE + kind.slug, "title": kind.title, "status": kind.status, "detail": kind.detail}
        content.setdefault("examples", {})[kind.slug] = {"summary": kind.title, "value": value | members(kind)}
        entry["description"] = ", ".join(f"`{slug}`" for slug in content["examples"])
    return responses


def media_response(media_type: str, description: str, *, shortened: Example | None = None) -> Responses:
    """Return the `responses` of a route whose successful answer is not JSON of a model.

    Args:
        shortened: an example with most of the content left out.
    """
    content: dict[str, Any] = {
        "schema": {} if media_type == "application/json" else {"type": "string", "format": "binary"}
    }
    if shortened is not None:
        content["examples"] = {"shortened": {"summary": "Shortened", "value": shortened}}
    return {200: {"description": description, "content": {media_type: content}}}


def merge_responses(*several: Responses) -> Responses:
    """Merge `responses`; the problems of one status become its examples."""
    merged: Responses = {}
    for responses in several:
        for status, entry in responses.items():
            target = merged.setdefault(status, {"content": {}})
            for media_type, content in entry.get("content", {}).items():
                known = target["content"].setdefault(media_type, {})
                examples = {**known.get("examples", {}), **content.get("examples", {})}
                known.update(content | ({"examples": examples} if examples else {}))
            target.update({key: value for key, value in entry.items() if key != "content"})
            if problems := target["content"].get("application/problem+json", {}).get("examples"):
                target["description"] = ", ".join(f"`{slug}`" for slug in problems)
    return merged


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


def describe(app: FastAPI) -> None:
    """Make *app* publish the OpenAPI document with these additions."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                tags=app.openapi_tags,
                routes=app.routes,
            )
            schemas = document["components"]["schemas"]
            _mark_files(schemas)
            for schema in schemas.values():
                for example in schema.get("examples", ()):
                    _restore_nulls(example, schema, schemas)
            problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= problem.pop("$defs") | {"ProblemDocument": problem}
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
