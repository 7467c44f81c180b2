"""Read columns whose values may be damaged, for audits.

SQLite stores a value of any type in any column, for example after a write by another program. PostgreSQL does not.
"""

from typing import Any

from sqlalchemy import ColumnElement, LargeBinary
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import type_coerce
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType


def raw(column: Any) -> ColumnElement[Any]:  # noqa: ANN401 - a mapped column of any type
    """Return *column* without the conversion of its type, which a damaged value would break."""
    return type_coerce(column, NullType())


class bytes_or_null(FunctionElement[bytes]):  # noqa: N801 - named as a function of SQL
    """The value of a column of bytes; NULL if it is not bytes."""

    type = LargeBinary()
    inherit_cache = True


class text_as_bytes(FunctionElement[bytes]):  # noqa: N801 - named as a function of SQL
    """The UTF-8 bytes of a column of text, also if they are no text."""

    type = LargeBinary()
    inherit_cache = True


@compiles(bytes_or_null)
def _plain(element: bytes_or_null, compiler: SQLCompiler, **options: object) -> str:
    return compiler.process(element.clauses, **options)


@compiles(bytes_or_null, "sqlite")
def _bytes_only(element: bytes_or_null, compiler: SQLCompiler, **options: object) -> str:
    column = compiler.process(element.clauses, **options)
    return f"CASE typeof({column}) WHEN 'blob' THEN {column} END"


@compiles(text_as_bytes)
def _convert(element: text_as_bytes, compiler: SQLCompiler, **options: object) -> str:
    return f"convert_to({compiler.process(element.clauses, **options)}, 'UTF8')"


@compiles(text_as_bytes, "sqlite")
def _cast(element: text_as_bytes, compiler: SQLCompiler, **options: object) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS BLOB)"
