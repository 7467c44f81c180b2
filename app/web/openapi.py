"""Descriptions of bodies and answers in the OpenAPI document: problems, headers, examples, media types."""

from collections.abc import Callable
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.kit.errors import Problem
from app.web.problems import TYPE

Example = dict[str, Any]
"""An example of a body, or of a part of one."""
Responses = dict[int | str, dict[str, Any]]
"""The `responses` of a route, as FastAPI takes them."""
PROBLEM_REF = {"$ref": "#/components/schemas/ProblemDocument"}
HEADERS: Example = {
    "X-Request-Id": {
        "description": "The random id of this request. The application log has it too: quote it to the operator.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    },
    "Retry-After": {"description": "Seconds to wait before the next try.", "schema": {"type": "integer", "minimum": 1}},
    "Location": {"description": "The address of the result.", "schema": {"type": "string", "format": "uri-reference"}},
    "WWW-Authenticate": {"description": "The scheme of the token.", "schema": {"type": "string"}},
}
"""The headers of answers that the document describes."""


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
    parameter: str | None = Field(default=None, description="The parameter of the query, if the field is one.")
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
        entry.setdefault("headers", {}).update(header_refs(*kind.headers))
    return responses


def header_refs(*names: str) -> Example:
    """Return the `headers` of an answer; names that the document does not describe are left out."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names if name in HEADERS}


def media_response(media_type: str, description: str, *, shortened: Example | None = None) -> Responses:
    """Return the `responses` of a route whose successful answer is not JSON of a model.

    Args:
        shortened: an example with most of the content left out.
    """
    text: Example = {"type": "string"} if media_type.startswith("text/") else {"type": "string", "format": "binary"}
    content: dict[str, Any] = {"schema": {} if media_type == "application/json" else text}
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
            headers = target.get("headers", {}) | entry.get("headers", {})
            target.update({key: value for key, value in entry.items() if key != "content"} | {"headers": headers})
            if problems := target["content"].get("application/problem+json", {}).get("examples"):
                target["description"] = ", ".join(f"`{slug}`" for slug in problems)
    return merged
