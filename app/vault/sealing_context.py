"""The context that a sealed value is bound to."""

from typing import Any
from uuid import UUID

from sqlalchemy import Column
from sqlalchemy.orm import InstrumentedAttribute


def sealing_context(column: Column[Any] | InstrumentedAttribute[Any], row_id: UUID) -> str:
    """Return the context of one row's sealed column: `table.column:id`."""
    if isinstance(column, InstrumentedAttribute):
        column = column.property.columns[0]
    return f"{column.table.name}.{column.name}:{row_id}"
