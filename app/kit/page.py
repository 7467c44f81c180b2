"""Lists: `{items, next}` with `?limit=` and `?after=`, paged by key so that no reader holds the database."""

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, Self, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

T = TypeVar("T")
V = TypeVar("V")

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many items at most.")]
Cursor = Annotated[UUID | None, Query(description="The `next` of the page before.")]
"""For lists ordered by a random id."""
Position = Annotated[int | None, Query(ge=0, le=2**53, description="The `next` of the page before.")]
"""For lists ordered by a person's own count."""
Last = Annotated[str | None, Query(max_length=64, description="The `next` of the page before.")]
"""For lists with keys of another kind."""


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    next: str | None = Field(default=None, description="Give this as `after` for the next page; null on the last one.")

    @classmethod
    def cut(cls, found: Sequence[V], limit: int, *, key: Callable[[V], object], out: Callable[[V], T]) -> Self:
        """Make a page of at most *limit* items out of up to one more; the one more says that there is a next."""
        page = found[:limit]
        return cls(items=[out(one) for one in page], next=str(key(page[-1])) if len(found) > limit else None)

    @classmethod
    def part(
        cls, whole: Sequence[V], limit: int, after: str | None, *, key: Callable[[V], object], out: Callable[[V], T]
    ) -> Self:
        """Make the page after *after* of a list that is short enough to be read whole."""
        keys = [str(key(one)) for one in whole]
        start = keys.index(after) + 1 if after in keys else 0
        return cls.cut(whole[start : start + limit + 1], limit, key=key, out=out)
