"""What the OpenAPI document says besides what FastAPI finds by itself: problems, and who may call."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.kit.errors import Problem
from app.web.problems import TYPE

Example = dict[str, Any]
"""What a body may look like, or a part of one."""
PROBLEM_REF = {"$ref": "#/components/schemas/ProblemDocument"}


class FieldFault(BaseModel):
    """What is wrong with one field."""

    pointer: str = Field(description="Which, as a JSON pointer; empty for the whole body.")
    detail: str


class PhotoFault(BaseModel):
    """What is wrong with one photo."""

    index: int = Field(description="Which, counted from 0 in the order that they were sent in.")
    slug: str = Field(description="What the problem would be if it were the only one.")
    detail: str


class ProblemDocument(BaseModel):
    """What every error is answered with (RFC 9457), as `application/problem+json`."""

    type: str = Field(
        description="A permanent name, ending in the slug; docs/reference/errors.md has a heading for each."
    )
    title: str
    status: int
    detail: str = Field(description="What you can do about it.")
    errors: list[FieldFault] | None = Field(default=None, description="The fields at fault, of an `invalid-request`.")
    photos: list[PhotoFault] | None = Field(default=None, description="The photos at fault, of an enrolment.")
    model_config = ConfigDict(extra="allow")


def with_examples(*examples: Example) -> JsonDict:
    """Show what a body looks like: the `json_schema_extra` of its model."""
    return {"examples": list(examples)}


def own_members(kind: type[Problem]) -> Example:
    """Give the further members that every problem of this *kind* has."""
    return kind.example


def problem_responses(
    *kinds: type[Problem], members: Callable[[type[Problem]], Example] = own_members
) -> dict[int | str, dict[str, Any]]:
    """Document problems that a route can answer with: the `responses` of its decorator.

    Args:
        members: gives the further members that the example of a kind has on this route.
    """
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        entry = found.setdefault(kind.status, {"description": "", "content": {"application/problem+json": {}}})
        shown = entry["content"]["application/problem+json"]
        shown["schema"] = PROBLEM_REF
        shown.setdefault("examples", {})[kind.slug] = {"summary": kind.title, "value": _example(kind) | members(kind)}
        entry["description"] = ", ".join(f"`{slug}`" for slug in shown["examples"])
    return found


def media_response(
    media_type: str, description: str, *, shortened: Example | None = None
) -> dict[int | str, dict[str, Any]]:
    """Document a good answer that is not JSON of a model.

    Args:
        shortened: an example that leaves out most of it.
    """
    shown: dict[str, Any] = {
        "schema": {} if media_type == "application/json" else {"type": "string", "format": "binary"}
    }
    if shortened is not None:
        shown["examples"] = {"shortened": {"summary": "Shortened", "value": shortened}}
    return {200: {"description": description, "content": {media_type: shown}}}


def merge_responses(*several: dict[int | str, dict[str, Any]]) -> dict[int | str, dict[str, Any]]:
    """Put the answers of several together; the problems of one status stand side by side as its examples."""
    found: dict[int | str, dict[str, Any]] = {}
    for answer in several:
        for status, entry in answer.items():
            whole = found.setdefault(status, {"content": {}})
            for media_type, shown in entry.get("content", {}).items():
                known = whole["content"].setdefault(media_type, {})
                examples = {**known.get("examples", {}), **shown.get("examples", {})}
                known.update(shown | ({"examples": examples} if examples else {}))
            whole.update({key: value for key, value in entry.items() if key != "content"})
            if problems := whole["content"].get("application/problem+json", {}).get("examples"):
                whole["description"] = ", ".join(f"`{slug}`" for slug in problems)
    return found


def _example(kind: type[Problem]) -> dict[str, Any]:
    return {"type": TYPE + kind.slug, "title": kind.title, "status": kind.status, "detail": kind.detail}


def _name_files(schema: Any) -> None:  # noqa: ANN401 - any part of a schema
    """Say of every file that it is one: makers of clients go by `format`, and FastAPI says `contentMediaType` only."""
    if isinstance(schema, dict):
        if schema.get("contentMediaType") == "application/octet-stream":
            schema["format"] = "binary"
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            _name_files(part)


def _show_nulls(example: Any, schema: dict[str, Any], known: dict[str, Any]) -> None:  # noqa: ANN401 - any JSON value
    """Put back into the example of a model the nulls that FastAPI leaves out of the whole document."""
    schema = known[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if isinstance(example, list):
        for one in example:
            _show_nulls(one, schema.get("items", {}), known)
    elif isinstance(example, dict):
        for name in schema.get("required", ()):
            example.setdefault(name, None)
        for name, part in schema.get("properties", {}).items():
            _show_nulls(example.get(name), part, known)


def describe(app: FastAPI) -> None:
    """Let *app* publish its document with the problem's schema in it."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                tags=app.openapi_tags,
                routes=app.routes,
            )
            schemas = found["components"]["schemas"]
            _name_files(schemas)
            for schema in schemas.values():
                for example in schema.get("examples", ()):
                    _show_nulls(example, schema, schemas)
            problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= problem.pop("$defs") | {"ProblemDocument": problem}
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
