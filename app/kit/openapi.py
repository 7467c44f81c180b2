"""What the OpenAPI document says besides what FastAPI finds by itself: problems, and who may call."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field

from app.kit.errors import Problem
from app.kit.problems import TYPE

PROBLEM_REF = {"$ref": "#/components/schemas/ProblemDocument"}


class FieldFault(BaseModel):
    """What is wrong with one field."""

    pointer: str = Field(description="Which, as a JSON pointer; empty for the whole body.")
    detail: str


class ProblemDocument(BaseModel):
    """What every error is answered with (RFC 9457), as `application/problem+json`."""

    type: str = Field(description="A permanent name, ending in the slug; docs/errors.md has a heading for each.")
    title: str
    status: int
    detail: str = Field(description="What you can do about it.")
    errors: list[FieldFault] | None = Field(default=None, description="The fields at fault, of an `invalid-request`.")
    model_config = ConfigDict(extra="allow")


def answers(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Document problems that a route can answer with: the `responses` of its decorator."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        entry = found.setdefault(kind.status, {"description": "", "content": {"application/problem+json": {}}})
        shown = entry["content"]["application/problem+json"]
        shown["schema"] = PROBLEM_REF
        shown.setdefault("examples", {})[kind.slug] = {"summary": kind.title, "value": _example(kind)}
        entry["description"] = ", ".join(f"`{slug}`" for slug in shown["examples"])
    return found


def media(media_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    """Document a good answer that is not JSON of a model."""
    schema = {} if media_type == "application/json" else {"type": "string", "format": "binary"}
    return {200: {"description": description, "content": {media_type: {"schema": schema}}}}


def merged(*several: dict[int | str, dict[str, Any]]) -> dict[int | str, dict[str, Any]]:
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
            problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= problem.pop("$defs") | {"ProblemDocument": problem}
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
