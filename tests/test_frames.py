"""SQL to DataFrame: types as Postgres has them, parameters by name, and all else in a query left as it is."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import running

from dockerlab import Postgres
from dockerlab.engine.find import Engine
from dockerlab.errors import PostgresError


@pytest.fixture(scope="module")
def db(engine: Engine) -> Iterator[Postgres]:
    with running(engine) as server:
        yield server


UTC = datetime.UTC
TYPES = [
    ("7::int2", "Int64", 7),
    ("7", "Int64", 7),
    ("9007199254740993", "Int64", 9007199254740993),  # no float could hold it
    ("4000000000::oid", "Int64", 4000000000),
    ("true", "boolean", True),
    ("0.5::float4", "float64", 0.5),
    ("0.1::float8", "float64", 0.1),
    ("1.10", "object", decimal.Decimal("1.10")),
    ("'é'::text", "string", "é"),
    ("'x'::varchar(3)", "string", "x"),
    ("'x'::char(3)", "string", "x  "),
    ("'x'::name", "string", "x"),
    ("'x'::\"char\"", "string", "x"),
    ("'(1,2)'::point", "string", "(1,2)"),  # the driver has no type for it
    ("timestamp '2024-02-29 12:30:00.000001'", "datetime64[us]", pd.Timestamp("2024-02-29 12:30:00.000001")),
    ("timestamp '9999-12-31'", "datetime64[us]", pd.Timestamp("9999-12-31")),
    ("timestamptz '2024-07-01 12:00+02'", "datetime64[us, UTC]", pd.Timestamp("2024-07-01 10:00", tz="UTC")),
    ("interval '1 day 02:00'", "timedelta64[us]", pd.Timedelta(hours=26)),
    ("date '2024-02-29'", "object", datetime.date(2024, 2, 29)),
    ("time '12:30'", "object", datetime.time(12, 30)),
    ("'12345678-1234-5678-1234-567812345678'::uuid", "object", uuid.UUID("12345678123456781234567812345678")),
    ("""'{"a": [1, null]}'::jsonb""", "object", {"a": [1, None]}),
    ("'[1]'::json", "object", [1]),
    ("array[1, null, 3]", "object", [1, None, 3]),
    ("array['a', 'b']", "object", ["a", "b"]),
    (r"'\x00ff'::bytea", "object", b"\x00\xff"),
]


@pytest.mark.parametrize(("expression", "dtype", "value"), TYPES, ids=[case[0] for case in TYPES])
def test_a_column_has_the_type_that_postgres_says_whatever_is_in_it(
    db: Postgres, expression: str, dtype: str, value: object
) -> None:
    full = db.sql(f"SELECT {expression} AS x")
    with_null = db.sql(f"SELECT {expression} AS x UNION ALL SELECT NULL")
    null = db.sql(f"SELECT x FROM (SELECT {expression} AS x) t WHERE false UNION ALL SELECT NULL")
    empty = db.sql(f"SELECT {expression} AS x WHERE false")

    assert {str(frame["x"].dtype) for frame in (full, with_null, null, empty)} == {dtype}
    assert full["x"][0] == value
    assert list(with_null["x"].isna()) == [False, True] and list(null["x"].isna()) == [True]
    assert list(empty.columns) == ["x"] and len(empty) == 0
    if dtype == "object":
        assert type(full["x"][0]) is type(value) and null["x"][0] is None


def test_an_enum_is_text_and_so_is_a_null_of_it(db: Postgres) -> None:
    frame = db.sql("DROP TYPE IF EXISTS mood; CREATE TYPE mood AS ENUM ('fine'); SELECT 'fine'::mood a, NULL::mood b")
    assert [str(dtype) for dtype in frame.dtypes] == ["string", "string"] and frame["a"][0] == "fine"


def test_columns_may_share_a_name_or_be_none_at_all(db: Postgres) -> None:
    same = db.sql("SELECT 1 AS a, 'x' AS a, 2")
    assert list(same.columns) == ["a", "a", "?column?"] and same.iloc[0].tolist() == [1, "x", 2]
    assert db.sql("SELECT FROM generate_series(1, 3)").shape == (3, 0)
    assert db.sql("SELECT WHERE false").shape == (0, 0)


@pytest.mark.parametrize(
    ("statement", "tag"),
    [
        ("DROP TABLE IF EXISTS tags; CREATE TABLE tags (n int)", "CREATE TABLE"),
        ("INSERT INTO tags VALUES (1), (2), (3)", "INSERT 0 3"),
        ("UPDATE tags SET n = n + 1 WHERE n > 1", "UPDATE 2"),
        ("DELETE FROM tags", "DELETE 2"),
        ("VACUUM", "VACUUM"),
        ("SELECT 1; SET work_mem = '4MB'", "SET"),
        ("-- nothing", ""),
    ],
)
def test_a_statement_without_rows_says_what_it_did(db: Postgres, statement: str, tag: str) -> None:
    db.sql("CREATE TABLE IF NOT EXISTS tags (n int); TRUNCATE tags; INSERT INTO tags VALUES (1), (2)")
    if tag == "UPDATE 2":
        db.sql("INSERT INTO tags VALUES (5)")
    frame = db.sql(statement)
    assert list(frame.columns) == ["status"] and frame["status"].tolist() == [tag]


def test_of_several_statements_the_last_one_answers(db: Postgres) -> None:
    frame = db.sql("SELECT 1 AS first; CREATE TEMP TABLE gone (n int) ON COMMIT DROP; SELECT 2 AS last, 'x;y' AS text")
    assert frame.to_dict("records") == [{"last": 2, "text": "x;y"}]


LOOKALIKES = [
    ("""SELECT '{"a":1}'::jsonb -> 'a'""", 1),
    ("SELECT ':i'", ":i"),
    ("SELECT 'it''s :i'", "it's :i"),
    (r"SELECT E'\' :i'", "' :i"),
    ("SELECT $$ :i $$", " :i "),
    ("SELECT $q$ :i $$ $q$", " :i $$ "),
    ('SELECT 1 AS ":i"', 1),
    ("SELECT 1 -- :i\n", 1),
    ("SELECT /* :i */ 1", 1),
    ("SELECT '7'::int", 7),
    ("SELECT (array[5, 6, 7])[1:2]", [5, 6]),
    ("SELECT 17 % 10", 7),
    ("SELECT 'a' LIKE '%a%' AND '100%' ~ '%$'", True),
    ("SELECT '%s %(i)s %%'", "%s %(i)s %%"),
]


@pytest.mark.parametrize(("query", "value"), LOOKALIKES, ids=[case[0] for case in LOOKALIKES])
def test_what_only_looks_like_a_parameter_stays_as_it_is(db: Postgres, query: str, value: object) -> None:
    without = db.sql(query)
    beside = db.sql(f"SELECT :i AS i, q.* FROM ({query}\n) q", i=1)
    assert (
        without.iloc[0, 0] == value and beside.iloc[0, 1] == value and list(without.columns) == list(beside.columns[1:])
    )


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.binary(),
    st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9),
    st.dates(),
    st.datetimes(),
    st.uuids(),
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1),
    st.dictionaries(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.booleans()),
)


@given(value=VALUES)
@settings(max_examples=300, deadline=None)
def test_any_value_comes_back_as_it_was_given(db: Postgres, value: Any) -> None:
    frame = db.sql("SELECT :value AS value, ':value %' AS text", value=value)
    came = frame["value"][0]
    assert pd.isna(came) if value is None else came == value
    assert frame["text"][0] == ":value %"


def test_a_value_is_never_taken_for_sql(db: Postgres) -> None:
    db.sql("DROP TABLE IF EXISTS kept; CREATE TABLE kept (name text)")
    evil = r"x'); DROP TABLE kept; -- \'); DROP TABLE kept; -- :name %s"
    db.sql("INSERT INTO kept VALUES (:name)", name=evil)
    assert db.sql("SELECT name FROM kept WHERE name = :name", name=evil)["name"].tolist() == [evil]


def test_values_out_of_a_dataframe_can_be_given(db: Postgres) -> None:
    frame = db.sql(
        "SELECT :a + 1 AS a, :b AS b, :c::timestamp AS c, :d::int AS d, :e::date AS e",
        a=np.int64(41), b=np.float64(0.5), c=pd.Timestamp("2024-02-29"), d=pd.NA, e=pd.NaT,
    )  # fmt: skip
    assert frame["a"][0] == 42 and frame["b"][0] == 0.5 and frame["c"][0] == pd.Timestamp("2024-02-29")
    assert frame[["d", "e"]].isna().all(axis=None)


def test_parameters_go_with_several_statements_and_with_any_name(db: Postgres) -> None:
    frame = db.sql(
        "DROP TABLE IF EXISTS many; CREATE TABLE many (n int); INSERT INTO many VALUES (:query), (:self);"
        "SELECT array_agg(n) AS n FROM many WHERE n IN (:query, :self, :query)",
        query=1,
        self=2,
    )
    assert frame["n"][0] == [1, 2]


@pytest.mark.parametrize(
    ("query", "values", "said"),
    [
        ("SELECT :name", {}, ["db.sql(query, name=…)"]),
        ("SELECT ':name'", {"name": 1}, ["no place for: name", "no parameter", "inside of quotes"]),
        ("SELECT :names", {"name": 1}, ["no place for: name", "It names: :names"]),
        ("SELECT :x", {"x": object()}, ["cannot adapt type 'object'"]),
        ("SELECT :x", {"x": "a\0b"}, ["NUL"]),
    ],
)
def test_a_value_without_a_place_and_a_place_without_a_value_are_said(
    db: Postgres, query: str, values: dict[str, object], said: list[str]
) -> None:
    with pytest.raises(PostgresError) as caught:
        db.sql(query, **values)
    assert all(part in str(caught.value) for part in said), str(caught.value)
