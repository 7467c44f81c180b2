"""Lists: `{items, next}` with `?limit=` and `?after=`, paged by key so that no reader holds the database.

`after` is a place in the order of the list, and what comes is what stands behind that place: it holds when the row that
stood there has gone meanwhile, and no list tells whether an id exists. What can be no place in this list is an
`invalid-request`; nothing is taken for the beginning.
"""

import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Annotated, Any, Generic, Self, TypeVar, get_args
from uuid import UUID

from fastapi import Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

T = TypeVar("T")
V = TypeVar("V")

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

CURSOR_DESCRIPTION = "The `next` of the page before."
REASON = "Give the `next` of a page of this list"


def _day_and_id(text: str) -> str:
    day, _, one = text.partition(".")
    try:
        if text == f"{date.fromisoformat(day)}.{UUID(one)}":
            return text
    except ValueError:
        pass
    raise PydanticCustomError("no_place", REASON)


def cursor_pattern(form: str) -> AfterValidator:
    """Refuse what has not this *form*, a regular expression: it can be no place in the list."""
    known = re.compile(form, re.DOTALL)

    def check(text: str) -> str:
        if known.fullmatch(text) is None:
            raise PydanticCustomError("no_place", REASON)
        return text

    return AfterValidator(check)


Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many items at most.")]
Cursor = Annotated[UUID | None, Query(description=CURSOR_DESCRIPTION)]
"""For lists ordered by a random id."""
Position = Annotated[int | None, Query(ge=1, le=2**53, description=CURSOR_DESCRIPTION)]
"""For lists ordered by a person's own count, which begins with 1; newest first, so that all are behind a higher one."""
DayAndId = Annotated[Annotated[str, AfterValidator(_day_and_id)] | None, Query(description=CURSOR_DESCRIPTION)]
"""For lists ordered by day, and by a random id within one."""


def _like_its_items(schema: dict[str, Any], page: type[BaseModel]) -> None:
    """Show a page of what its items show, in the schema of the page."""
    (item,) = get_args(page.model_fields["items"].annotation)
    shown = item.model_config["json_schema_extra"]["examples"]
    schema["examples"] = [{"items": shown, "next": None}]


class Page(BaseModel, Generic[T]):
    """One page of a list; a model of its items has an example."""

    model_config = ConfigDict(json_schema_extra=_like_its_items)

    items: list[T]
    next: str | None = Field(description="Give this as `after` for the next page; null on the last one.")

    @classmethod
    def cut(cls, found: Sequence[V], limit: int, *, key: Callable[[V], object], out: Callable[[V], T]) -> Self:
        """Make a page of at most *limit* items out of up to one more; the one more says that there is a next."""
        page = found[:limit]
        return cls(items=[out(one) for one in page], next=str(key(page[-1])) if len(found) > limit else None)

    @classmethod
    def part(
        cls, whole: Sequence[V], limit: int, after: str | None, *, key: Callable[[V], str], out: Callable[[V], T]
    ) -> Self:
        """Make the page after *after* of a list that is short enough to be read whole, in the order of its keys."""
        rest = [one for one in whole if after is None or key(one) > after]
        return cls.cut(rest[: limit + 1], limit, key=key, out=out)
