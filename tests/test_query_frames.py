"""Frames and rows: the same columns, dtypes and values on every database and driver."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
import query_data as data
from polars.testing import assert_frame_equal

from otel_llm_sql.errors import QueryError
from otel_llm_sql.query import AsyncQuery, Query, aquery_db, polars_from_db, query_db
from otel_llm_sql.query.filters import COLUMNS

pytestmark = pytest.mark.quick

SCHEMA = {
    **dict.fromkeys(COLUMNS, pl.String()),
    **{name: pl.Int64() for name in COLUMNS if name.endswith(("_tokens", "_ms"))},
    "timestamp": pl.Datetime("us", "UTC"),
    "cost": pl.Float64(),
}


@pytest.fixture
def filled(url: str) -> str:
    data.fill(url)
    return url


def everywhere(url: str, kind: str, *arguments: Any, **filters: Any) -> pl.DataFrame:
    """The frame that all drivers of this database give."""
    frames = {}
    for driver in data.SYNC_DRIVERS[kind]:
        with Query(data.with_driver(url, driver)) as query:
            frames[driver] = query.polars_from_db(*arguments, **filters)

    async def ask(driver: str) -> pl.DataFrame:
        async with AsyncQuery(data.with_driver(url, driver)) as query:
            return await query.polars_from_db(*arguments, **filters)

    for driver in data.ASYNC_DRIVERS[kind]:
        frames[f"async {driver}"] = asyncio.run(ask(driver))
    first = next(iter(frames.values()))
    for frame in frames.values():
        assert_frame_equal(frame, first, check_exact=True)
    return first


def ids(frame: pl.DataFrame) -> list[int]:
    return [int(text[-12:], 16) for text in frame["operation_id"]]


def test_every_operation_as_it_was_written(filled: str, kind: str) -> None:
    """All columns in order, our dtypes, and every value unharmed."""
    frame = everywhere(filled, kind)
    assert dict(frame.schema) == SCHEMA
    assert frame.columns == list(SCHEMA)
    assert ids(frame) == [10, 11, 12, 13, 14, 15]
    sessions = {session["session_id"]: session for session in data.SESSIONS}
    for row, written in zip(frame.rows(named=True), data.OPERATIONS, strict=True):
        expected = dict.fromkeys(SCHEMA) | {name: value for name, value in written.items() if name in SCHEMA}
        session = sessions[written["session_id"]]
        expected |= {name: session[name] for name in ("session_key", "workspace", "agent_id")}
        assert row | {"extras": None} == expected | {"extras": None}
    extras = frame["extras"].to_list()
    assert extras[0] == '{"a":{"x":2,"y":1},"zeta":1}'
    assert extras[2].startswith('{"big":18446744073709551615,"text":"quote \\" and \' comma')
    assert (extras[1], extras[4]) == (None, "{}")


def test_an_empty_answer_has_the_same_columns(filled: str, kind: str) -> None:
    """Nothing found: no rows, and the same dtypes."""
    assert dict(everywhere(filled, kind, provider="nobody").schema) == SCHEMA
    assert everywhere(filled, kind, limit=0).height == 0


def test_messages(filled: str, kind: str) -> None:
    """`messages=True` adds what went in and what came out, also where an earlier operation carried the message."""
    frame = everywhere(filled, kind, messages=True, limit=5)
    assert frame.columns[-2:] == ["input_text", "output_text"]
    assert frame.filter(operation_id=data.uid(11)).select("input_text", "output_text").rows() == [
        (f"Be brief.\n\n{data.HARD_TEXT}\n\nHello", "")
    ]
    assert frame.filter(operation_id=data.uid(12)).select("input_text", "output_text").rows() == [(None, None)]
    assert everywhere(filled, kind, messages=True, provider="nobody").height == 0
    only = everywhere(filled, kind, columns=["output_text"], session_id="talk-1")
    assert only.rows() == [("Hello",), ("",)]


@pytest.mark.parametrize("columns", ["error_message", ["cost", "operation_id"], ("session_key",)])
def test_columns(filled: str, kind: str, columns: Any) -> None:
    """Only the columns asked for, in the order asked for; a lone column keeps its NULLs and its empty texts."""
    names = [columns] if isinstance(columns, str) else list(columns)
    assert_frame_equal(everywhere(filled, kind, columns=columns), everywhere(filled, kind).select(names))


def test_a_day_is_a_date(filled: str, kind: str) -> None:
    """The column `day` of llm_usage_daily, which SQLite holds as text; what is no day stays text there, too."""
    literal = "date('2026-01-31')" if kind == "sqlite" else "DATE '2026-01-31'"
    assert everywhere(filled, kind, f"SELECT {literal} AS day").to_dicts() == [{"day": date(2026, 1, 31)}]
    assert everywhere(filled, kind, "SELECT 'Monday' AS day").to_dicts() == [{"day": "Monday"}]


FILTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({"start_date": "2023-06-01", "end_date": "2023-06-01"}, [11, 12, 13, 14, 15]),
    ({"end_date": "2023-05-31"}, [10]),
    ({"end_date": date(2023, 5, 31)}, [10]),
    ({"end_date": data.START.replace(tzinfo=None, microsecond=999_998)}, []),
    ({"start_date": "2023-06-01T03:00:00+02:00"}, [12, 13, 14, 15]),
    ({"start_date": "2023-06-01 00:59:59.999999Z", "end_date": data.START + timedelta(hours=1)}, [11]),
    ({"start_date": "2023-01-01", "end_date": "2023-12-31", "provider": "openai", "min_tokens": 100}, [10, 11, 15]),
    ({"provider": ["anthropic", "nobody"]}, [12]),
    ({"provider": []}, []),
    ({"model": "gpt-5-mini"}, [15]),
    ({"operation_type": "execute_tool"}, [14]),
    ({"status": "error"}, [13]),
    ({"session_id": data.uid(1)}, [10, 11]),
    ({"session_id": "talk-2"}, [12, 13]),
    ({"session_id": [data.uid(1).upper(), "talk-2"]}, [10, 11, 12, 13]),
    ({"workspace": "shop"}, [10, 11]),
    ({"agent_id": "seller"}, [10, 11]),
    ({"action_id": "plan"}, [12]),
    ({"user_id": "bob"}, [10]),
    ({"user_id": "ann"}, [10, 11]),
    ({"service_name": "web"}, [11]),
    ({"trace_id": "0AF7651916CD43DD8448EB211C80319C"}, [10]),
    ({"min_tokens": 110, "max_tokens": 200}, [10, 11]),
    ({"max_tokens": 10**30}, [10, 11, 12, 15]),
    ({"min_latency": 699.5, "max_latency": 1500}, [10, 11]),
    ({"min_cost": 0.3}, [10, 12]),
    ({"limit": 2}, [14, 15]),
    ({"limit": 1, "session_id": "talk-1"}, [11]),
    ({"provider": "x' OR '1'='1"}, []),
    ({"provider": None, "limit": None}, [10, 11, 12, 13, 14, 15]),
]


def test_filters(filled: str, kind: str) -> None:
    """Each filter finds what it says."""
    for filters, expected in FILTERS:
        assert ids(everywhere(filled, kind, **filters)) == expected, filters


def test_more_rows_than_a_batch(url: str, kind: str) -> None:
    """Columns that are NULL for many rows and then are not keep their dtype and their values."""
    count = 12_000
    data.fill(url, rows=False)
    data.repeat(url, count)
    frame = everywhere(url, kind)
    assert dict(frame.schema) == SCHEMA
    assert frame["tool_name"].to_list() == [None] * (count - 1) + ["last"]
    assert frame["cost"].to_list() == [None] * (count - 1) + [0.25]
    assert frame["input_tokens"].sum() == sum(range(count))


def test_without_the_fast_extra(new_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ADBC is not installed SQLite gives the same frame."""
    url = new_database("sqlite")
    data.fill(url)
    with Query(url) as query:
        fast = query.polars_from_db(messages=True)
        monkeypatch.setitem(sys.modules, "adbc_driver_sqlite", None)
        assert_frame_equal(query.polars_from_db(messages=True), fast, check_exact=True)


AICORE = [
    """SELECT provider, SUM(cost) as total_cost, COUNT(*) as request_count, AVG(latency_ms) as avg_latency
    FROM llm_operations GROUP BY provider ORDER BY total_cost DESC""",
    """SELECT s.workspace, s.agent_id, COUNT(o.operation_id) as operation_count, SUM(o.cost) as total_cost
    FROM llm_sessions s JOIN llm_operations o ON s.session_id = o.session_id GROUP BY s.workspace, s.agent_id""",
    """SELECT provider, model, error_message, COUNT(*) as error_count FROM llm_operations WHERE status = 'error'
    GROUP BY provider, model, error_message ORDER BY error_count DESC""",
]


def test_the_documented_queries_of_aicore(filled: str, kind: str) -> None:
    """AiCore's documented queries run verbatim, with the same dtypes and numbers everywhere."""
    cost, analysis, errors = (everywhere(filled, kind, sql) for sql in AICORE)
    assert dict(cost.schema) == {
        "provider": pl.String(),
        "total_cost": pl.Float64(),
        "request_count": pl.Int64(),
        "avg_latency": pl.Float64(),
    }
    assert cost.filter(provider="openai").row(0)[1:3] == (pytest.approx(0.3000001), 4)
    assert cost.filter(provider="openai").item(0, 3) == pytest.approx(733.3333, abs=1e-4)
    assert dict(analysis.schema) == {
        "workspace": pl.String(),
        "agent_id": pl.String(),
        "operation_count": pl.Int64(),
        "total_cost": pl.Float64(),
    }
    assert (None, None, 2, 0.0) in analysis.rows()
    assert errors.rows() == [("openai", "gpt-5", "slow down", 1)]


def test_the_documented_queries_with_empty_tables(url: str, kind: str) -> None:
    """The same dtypes when there is nothing to tell them from."""
    data.fill(url, rows=False)
    for sql, names in zip(AICORE, ("total_cost avg_latency", "total_cost", ""), strict=True):
        frame = everywhere(url, kind, sql)
        for name, dtype in frame.schema.items():
            floats, counts = name in names.split(), name.endswith("_count")
            assert dtype == (pl.Float64 if floats else pl.Int64 if counts else pl.String), name


def test_raw_sql_gives_our_dtypes(filled: str, kind: str) -> None:
    """`SELECT *` and expressions: the schema's dtypes, aliases that say what they are, doubled names kept."""
    frame = everywhere(filled, kind, "SELECT * FROM llm_operations ORDER BY timestamp")
    names = [name for name in SCHEMA if name in frame.columns]
    assert_frame_equal(frame.select(names), everywhere(filled, kind).select(names), check_exact=True)
    joined = everywhere(
        filled, kind, "SELECT * FROM llm_sessions s JOIN llm_operations o ON s.session_id = o.session_id WHERE 1 = 0"
    )
    assert {"session_id", "session_id_2", "user_id_2"} <= set(joined.columns)
    assert joined.schema["metadata"] == pl.String
    sums = everywhere(
        filled,
        kind,
        "SELECT SUM(input_tokens) AS tokens, MAX(timestamp) AS latest, AVG(cost) AS c, MIN(latency_ms) AS fastest,"
        " SUM(reasoning_output_tokens) AS reasoning_tokens, MAX(tool_name) AS tool FROM llm_operations",
    )
    assert dict(sums.schema) == {
        "tokens": pl.Int64(),
        "latest": pl.Datetime("us", "UTC"),
        "c": pl.Float64(),
        "fastest": pl.Int64(),
        "reasoning_tokens": pl.Int64(),
        "tool": pl.String(),
    }
    assert sums.row(0)[:2] == (2**40 + 300, data.START + timedelta(hours=5))


UNHARMED = {
    "sqlite": ["SELECT '%s %(a)s 100% :x ::y ? $1 {a}' AS t", "SELECT '{\"a\":1}' ->> '$.a' AS t -- :x ? %"],
    "postgresql": [
        "SELECT '%s %(a)s 100% :x ::y ? $1 {a}'::text AS t",
        "SELECT ('{\"a\":1}'::jsonb ? 'a')::text AS t",
        "SELECT $$it's :x; 5% ?$$::varchar AS t /* :x /* nested */ ; */",
        "SELECT (ARRAY['a','b'])[1:2]::text AS t",
        r"SELECT E'\' :x ; %' AS t",
        "SELECT 5 % 3 AS t",
    ],
    "mariadb": [
        "SELECT '%s %(a)s 100% :x ::y ? $1 {a}' AS t",
        r"SELECT 'it\'s :x; 5% ?' AS t # :x",
        'SELECT JSON_EXTRACT(\'{"a":1}\', "$.a") AS t',
        "SELECT 5 % 3 AS t",
    ],
}
ANSWERS = {
    "SELECT '%s %(a)s 100%": "%s %(a)s 100% :x ::y ? $1 {a}",
    "SELECT '{\"a\":1}' ->>": 1,
    "SELECT ('{\"a\":1}'::jsonb ?": "true",
    "SELECT $$it's": "it's :x; 5% ?",
    "SELECT (ARRAY": "{a,b}",
    r"SELECT E'\'": "' :x ; %",
    r"SELECT 'it\'s": "it's :x; 5% ?",
    "SELECT JSON_EXTRACT": "1",
    "SELECT 5 % 3": 2,
}


def test_raw_sql_passes_unharmed(filled: str, kind: str) -> None:
    """Colons, percent signs, casts, question marks, JSON, quotes and comments reach the database as they are."""
    for sql in UNHARMED[kind]:
        expected = next(answer for start, answer in ANSWERS.items() if sql.startswith(start))
        assert everywhere(filled, kind, sql).item() == expected, sql
        assert everywhere(filled, kind, f"{sql}\n", {}).item() == expected, sql


def test_parameters_are_bound(filled: str, kind: str) -> None:
    """`:name` and `?` take values of every type; what stands in quotes, comments and casts is not a parameter."""
    cast = "::text" if kind == "postgresql" else ""
    sql = f"SELECT ':a ? %' AS t, operation_id FROM llm_operations WHERE session_id = :s AND cost >= :c {'-- :x'}\n"
    assert everywhere(filled, kind, sql, {"s": data.uid(1), "c": 0.1}).rows() == [(":a ? %", data.uid(10))]
    sql = f"SELECT COUNT(*) AS n, ':a; ?'{cast} AS t FROM llm_operations WHERE model = ? AND timestamp > ?"
    assert everywhere(filled, kind, sql, ["gpt-5", data.START]).rows() == [(2, ":a; ?")]
    evil = "x' OR 1=1; DELETE FROM llm_operations; --"
    assert everywhere(filled, kind, "SELECT * FROM llm_operations WHERE provider = :p", {"p": evil}).height == 0
    both = "SELECT COUNT(*) AS n FROM llm_operations WHERE provider = :p OR model = :p OR status = :q"
    assert everywhere(filled, kind, both, {"p": "openai", "q": "error"}).item() == 4


@pytest.mark.parametrize(
    ("sql", "params", "said"),
    [
        ("SELECT :a", {}, "parameters|refused"),
        ("SELECT :a", {"b": 1}, r"missing \['a'\]"),
        ("SELECT ?, ?", [1], "2 places"),
        ("SELECT ?", "x", "not text"),
        ("SELECT 1 WHERE 1 IN (:a)", {"a": [1, 2]}, "one place for each value"),
        ("SELECT 'x", None, "close it"),
        ("", None, "no SQL"),
        ("SELECT nonsense FROM llm_operations", None, "nonsense"),
    ],
)
def test_wrong_sql_is_explained(new_database: Callable[[str], str], sql: str, params: Any, said: str) -> None:
    """Each mistake has an error of ours that says what is wrong."""
    url = new_database("sqlite")
    data.fill(url, rows=False)
    with Query(url) as query, pytest.raises(QueryError, match=said):
        query.query_db(sql, params)


def test_rows_are_mappings(filled: str, kind: str) -> None:
    """`query_db` gives plain values, the same as in the frame."""
    sql = "SELECT operation_id, timestamp, cost, input_tokens, extras FROM llm_operations ORDER BY timestamp"
    rows = query_db(sql, db_uri=filled)
    assert rows == everywhere(filled, kind, sql).rows(named=True)
    assert rows == asyncio.run(aquery_db(sql, db_uri=filled))
    assert rows[0]["timestamp"] == data.START
    assert query_db("SELECT 1 AS a WHERE 1 = 0", db_uri=filled) == []


def test_mixed_values_are_kept(new_database: Callable[[str], str]) -> None:
    """A column of SQLite that holds everything becomes text, and nothing is lost."""
    sql = "SELECT 1 AS mixed UNION ALL SELECT 'a' UNION ALL SELECT x'ff41' UNION ALL SELECT NULL UNION ALL SELECT 0.5"
    url = new_database("sqlite")
    data.fill(url, rows=False)
    with Query(url) as query:
        assert query.polars_from_db(sql)["mixed"].to_list() == ["1", "a", "\\xffA", None, "0.5"]
        assert query.query_db("SELECT 9223372036854775807 AS n UNION ALL SELECT 1.5") == [
            {"n": "9223372036854775807"},
            {"n": "1.5"},
        ]


def test_large_numbers_are_kept(filled: str, kind: str) -> None:
    """A whole number beyond 64 bits is text with all its digits, not a rounded one."""
    big = "12345678901234567890123"
    sql = {"sqlite": f"SELECT '{big}' AS n"}.get(kind, f"SELECT CAST('{big}' AS DECIMAL(38, 0)) AS n")
    assert everywhere(filled, kind, sql).item() == big


def test_the_functions_read_the_settings(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without db_uri the environment names the database."""
    monkeypatch.setenv("OTEL_EXPORTER_LLM_SQL_URL", filled)
    assert polars_from_db(status="error")["operation_id"].to_list() == [data.uid(13)]
    assert query_db("SELECT COUNT(*) AS n FROM llm_operations") == [{"n": 6}]
