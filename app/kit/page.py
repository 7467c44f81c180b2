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


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    next: str | None = Field(default=None, description="Give this as `after` for the next page; null on the last one.")

    @classmethod
    def cut(cls, found: Sequence[V], limit: int, *, key: Callable[[V], object], out: Callable[[V], T]) -> Self:
        """Make a page of at most *limit* items out of up to one more; the one more says that there is a next."""
        page = found[:limit]
        return cls(items=[out(one) for one in page], next=str(key(page[-1])) if len(found) > limit else None)
