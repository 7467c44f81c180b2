"""Lists as `{items, next}` with `?limit=` and `?after=`, paged by key.

`after` is a position in the order of the list: it stays valid when its row is deleted, and does not reveal whether an
id exists. A value that cannot be a position in the list is an `invalid-request`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from operator import attrgetter
from typing import Annotated, Any, Generic, Self, TypeVar, get_args
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

T = TypeVar("T")
V = TypeVar("V")

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

_position = attrgetter("position")
MAX_DIGITS = 15
CURSOR_SCHEMA = {"type": "string"}
REASON = "Give the `next` of a page of this list"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Marks a query parameter as a cursor: an opaque string for callers, a position for the route.

    Args:
        read: returns the position that a text stands for; raises ValueError if it stands for none.
    """

    read: Callable[[str], object]

    def __get_pydantic_core_schema__(self, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read the text."""
        return core_schema.no_info_after_validator_function(self._position, core_schema.str_schema())

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe every cursor alike."""
        return dict(CURSOR_SCHEMA)

    def _position(self, text: str) -> object:
        try:
            return self.read(text)
        except ValueError:
            raise PydanticCustomError("no_place", REASON) from None


def _read_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= len(text) <= MAX_DIGITS and text[0] != "0"):
        raise ValueError
    return int(text)


def _read_day_and_id(text: str) -> str:
    day, _, row_id = text.partition(".")
    if text != f"{date.fromisoformat(day)}.{UUID(row_id)}":
        raise ValueError
    return text


def matching(pattern: str) -> Cursor:
    """Return the mark of a cursor that matches the regular expression *pattern*."""
    compiled = re.compile(pattern, re.DOTALL)

    def read(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError
        return text

    return Cursor(read)


AFTER = Query(description="The `next` of the page before.")
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Maximum number of items.")]
RowId = Annotated[UUID | None, Cursor(UUID), AFTER]
"""For lists ordered by a random id."""
Position = Annotated[int | None, Cursor(_read_count), AFTER]
"""For lists in descending order of a count that begins with 1."""
DayAndId = Annotated[str | None, Cursor(_read_day_and_id), AFTER]
"""For lists ordered by day and, within a day, by a random id."""


def _add_example(schema: dict[str, Any], page: type[BaseModel]) -> None:
    """Make the example of a page from the examples of its items."""
    (item,) = get_args(page.model_fields["items"].annotation)
    schema["examples"] = [{"items": item.model_config["json_schema_extra"]["examples"], "next": None}]


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    model_config = ConfigDict(json_schema_extra=_add_example)

    items: list[T]
    next: str | None = Field(description="Give this as `after` for the next page; null on the last one.")

    @classmethod
    def cut(
        cls, found: Sequence[V], limit: int, *, out: Callable[[V], T], key: Callable[[V], object] = _position
    ) -> Self:
        """Make a page of *limit* items from *found*; one item more in *found* means that there is a next page.

        Args:
            key: returns the value of `after` that leads to the item after this one; by default its `position`.
        """
        page = found[:limit]
        return cls(items=[out(item) for item in page], next=str(key(page[-1])) if len(found) > limit else None)

    @classmethod
    def part(
        cls, whole: Sequence[V], limit: int, after: str | None, *, key: Callable[[V], str], out: Callable[[V], T]
    ) -> Self:
        """Make the page that follows *after* from a list that is in memory and in the order of its keys."""
        rest = [item for item in whole if after is None or key(item) > after]
        return cls.cut(rest[: limit + 1], limit, key=key, out=out)
