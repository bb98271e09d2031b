"""Values in JSON columns by names that people chose; Django's own lookups take some names for indexes or paths."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Func, TextField, Value
from django.db.models.functions import Cast
from django.db.models.sql.compiler import SQLCompiler

SQLPair = tuple[str, Any]


class ValueUnder(Func):
    """The value under a name of a JSON object, as text (on SQLite a number stays one); null without it."""

    output_field = TextField()

    def __init__(self, column: str, name: str) -> None:
        super().__init__(F(column), Cast(Value(name), TextField()))

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> SQLPair:
        """Compare names instead of writing a path, which would have to be escaped."""
        template = "(SELECT value FROM json_each(%(expressions)s LIMIT 1)"
        return super().as_sql(compiler, connection, template=template, arg_joiner=") WHERE key = ", **context)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> SQLPair:
        """Use the operator with a text on its right, which is always a name."""
        return super().as_sql(compiler, connection, template="(%(expressions)s)", arg_joiner=" ->> ", **context)
