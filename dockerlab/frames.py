"""From SQL to a DataFrame: parameters by name, and column types taken from what Postgres says they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
import psycopg
from psycopg import postgres, pq
from psycopg.types.json import Jsonb

from .errors import PostgresError

__all__ = ["bind", "frame", "names", "run"]

_DTYPES = {
    postgres.types[name].oid: dtype
    for dtype, types in {
        "Int64": "int2 int4 int8 oid",
        "boolean": "bool",
        "float64": "float4 float8",
        "datetime64[us]": "timestamp",
        "datetime64[us, UTC]": "timestamptz",
        "timedelta64[us]": "interval",
    }.items()
    for name in types.split()
}

# Where a colon is not a parameter's: literals, quoted names, dollar quotes, comments, casts and slices (a[1:n]).
_TOKEN = re.compile(
    r"""
      (?<!\w)[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*"
    | (?<![\w$])\$(?P<quote>[^\W\d]\w*|)\$.*?\$(?P=quote)\$
    | --[^\n]* | /\*.*?\*/
    | :: | (?<![\w\]]):(?P<name>[^\W\d]\w*)
    """,
    re.DOTALL | re.VERBOSE,
)


def names(query: str) -> set[str]:
    """The parameters that a query names, as `:name` outside of literals and comments."""
    return {match["name"] for match in _TOKEN.finditer(query) if match["name"]}


def bind(query: str, params: Mapping[str, Any], connection: psycopg.Connection[Any]) -> str:
    """The query with each `:name` replaced by its value as an SQL literal; without parameters, the query as it is.

    Values are quoted by the driver; a dict becomes jsonb, a list an array. Raises `PostgresError` for a value without
    a place, and `psycopg.Error` for one that has no SQL form.
    """
    if not params:
        return query
    if unused := sorted(params.keys() - names(query)):
        raise PostgresError(
            f"The query has no place for: {', '.join(unused)}.",
            f"It names: {', '.join(':' + name for name in sorted(names(query))) or 'no parameter'}.",
            "Write :name where the value goes; inside of quotes it is plain text.",
        )
    values = {name: _plain(value) for name, value in params.items()}

    def place(match: re.Match[str]) -> str:
        return f"%({match['name']})s" if match["name"] in values else match[0].replace("%", "%%")

    parts, end = [], 0
    for match in _TOKEN.finditer(query):
        parts += [query[end : match.start()].replace("%", "%%"), place(match)]
        end = match.end()
    cursor = psycopg.ClientCursor(connection)
    return cursor.mogrify("".join([*parts, query[end:].replace("%", "%%")]).encode(), values)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return Jsonb(value)
    return None if value is pd.NA or value is pd.NaT else value


def run(connection: psycopg.Connection[Any], text: str) -> pd.DataFrame:
    """Send SQL as one message, which Postgres takes as one transaction, and return the last statement's `frame`.

    Raises `psycopg.Error`, and `PostgresError` where the text began a transaction and did not end it.
    """
    cursor = psycopg.ClientCursor(connection)
    cursor.execute(text.encode())
    cursor.set_result(-1)
    table = frame(cursor)
    if connection.info.transaction_status is not pq.TransactionStatus.IDLE:
        raise PostgresError(
            "This call left a transaction open, and it was rolled back.",
            "Each call of sql() is a transaction of its own.",
            "Put all its statements, from BEGIN to COMMIT, into one call.",
        )
    return table


def frame(cursor: psycopg.Cursor[tuple[Any, ...]]) -> pd.DataFrame:
    """The current result of a cursor; a statement without rows gives its command tag, as `INSERT 0 3`, in `status`.

    Column types come from Postgres's, so an empty or all-NULL column has the same as a full one: Int64, boolean,
    float64, string, datetime64 (timestamptz in UTC), timedelta64. Everything else is Python objects, None for NULL:
    numeric is Decimal (exact), date, time, UUID, bytes, lists, and what json holds. A type that the driver does not
    know (an enum) is string.
    """
    if cursor.description is None:
        return pd.DataFrame({"status": pd.Series([cursor.statusmessage or ""], dtype="string")})
    rows = cursor.fetchall()
    columns = list(zip(*rows, strict=True)) or [()] * len(cursor.description)
    data = {
        index: pd.Series(list(values), dtype=_dtype(column.type_code, cursor))
        for index, (column, values) in enumerate(zip(cursor.description, columns, strict=False))
    }
    table = pd.DataFrame(data, index=pd.RangeIndex(len(rows)))
    table.columns = pd.Index([column.name for column in cursor.description])
    return table


def _dtype(oid: int, cursor: psycopg.Cursor[Any]) -> Any:
    # The driver gives as text what it has no loader for.
    loader, text = (cursor.adapters.get_loader(type_, pq.Format.TEXT) for type_ in (oid, postgres.types["text"].oid))
    return _DTYPES.get(oid) or ("string" if loader in (None, text) else object)
