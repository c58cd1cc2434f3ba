"""Reading 200,000 operations into Polars, next to `pl.read_database` and to ADBC, in one run on each database.

`python benchmarks/read.py [rows] [kind ...]`. The machine may be noisy: compare the ratios of one run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from unittest import mock

import polars as pl
import sqlalchemy as sa
from servers import NAMES, started

from otel_llm_sql.query import Query
from otel_llm_sql.query.filters import COLUMNS
from otel_llm_sql.schema.tables import metadata
from otel_llm_sql.store.engines import create_engine

ROUNDS = 2
SELECT = (
    "SELECT "
    + ", ".join(f"{column.table.name}.{name} AS {name}" for name, column in COLUMNS.items())
    + " FROM llm_operations JOIN llm_sessions ON llm_sessions.session_id = llm_operations.session_id"
    + " ORDER BY llm_operations.timestamp, llm_operations.operation_id"
)
"""What `polars_from_db()` asks, as SQL."""

EXTRAS = (
    """'{"gen_ai.request.max_tokens":1024,"gen_ai.request.temperature":0.7,"request":'""",
    """',"server.address":"api.openai.com","scope":{"name":"opentelemetry.instrumentation.openai","version":"1.2.0"}}'""",
)

# How each database writes a UUID from a number, a moment i seconds after the start of 2026, text and JSON from i.
SPELLINGS: Mapping[str, Mapping[str, str]] = {
    "sqlite": {
        "uuid": "printf('00000000-0000-4000-8000-%012x', {})",
        "tenth": "i / 10",
        "time": "strftime('%Y-%m-%d %H:%M:%S', 1767225600 + i, 'unixepoch') || '.123456'",
        "text": "CAST(i AS TEXT)",
        "json": f"{EXTRAS[0]} || i || {EXTRAS[1]}",
        "before": "SELECT 1",
    },
    "postgresql": {
        "uuid": "CAST('00000000-0000-4000-8000-' || lpad(to_hex({}), 12, '0') AS UUID)",
        "tenth": "i / 10",
        "time": "to_timestamp(1767225600 + i) + interval '123456 microseconds'",
        "text": "CAST(i AS TEXT)",
        "json": f"CAST({EXTRAS[0]} || i || {EXTRAS[1]} AS JSONB)",
        "before": "SELECT 1",
    },
    "mysql": {
        "uuid": "LOWER(CONCAT('00000000-0000-4000-8000-', LPAD(HEX({}), 12, '0')))",
        "tenth": "i DIV 10",
        "time": "DATE_ADD(TIMESTAMP'2026-01-01 00:00:00.123456', INTERVAL i SECOND)",
        "text": "CAST(i AS CHAR)",
        "json": f"CONCAT({EXTRAS[0]}, i, {EXTRAS[1]})",
        "before": "SET SESSION max_recursive_iterations = 100000000",
    },
}


def fill(connection: sa.Connection, rows: int) -> None:
    """Write `rows` operations, ten to a session, made by the database itself."""
    spelled = SPELLINGS[connection.dialect.name]
    connection.exec_driver_sql(spelled["before"])
    session = {
        "session_id": spelled["uuid"].format("i"),
        "session_key": spelled["text"],
        "workspace": "'bench'",
        "agent_id": "'agent'",
        "created_at": spelled["time"],
        "last_seen_at": spelled["time"],
    }
    operation = {
        "operation_id": spelled["uuid"].format("i"),
        "session_id": spelled["uuid"].format(spelled["tenth"]),
        "timestamp": spelled["time"],
        "operation_type": "'chat'",
        "provider": "'openai'",
        "model": "'gpt-5-mini'",
        "request_model": "'gpt-5-mini'",
        "input_tokens": "100 + i % 900",
        "output_tokens": "i % 300",
        "cache_read_input_tokens": "CASE WHEN i % 3 = 0 THEN 64 END",
        "latency_ms": "200 + i % 5000",
        "cost": "0.000123456789e0 * (1 + i % 1000)",
        "cost_source": "'catalog'",
        "status": "CASE WHEN i % 50 = 0 THEN 'error' ELSE 'ok' END",
        "error_type": "CASE WHEN i % 50 = 0 THEN 'RateLimitError' END",
        "error_message": "CASE WHEN i % 50 = 0 THEN 'Rate limit reached, please \"wait\"' END",
        "finish_reason": "'stop'",
        "response_id": spelled["text"],
        "service_name": "'bench'",
        "trace_id": "'0123456789abcdef0123456789abcdef'",
        "span_id": "'0123456789abcdef'",
        "extras": spelled["json"],
        "message_ids": "NULL",
        "input_messages": "0",
    }
    for table, columns, count in (("llm_sessions", session, rows // 10 + 1), ("llm_operations", operation, rows)):
        numbers = f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count})"
        if connection.dialect.name == "mysql":
            numbers, source = "", f"FROM ({numbers} SELECT i FROM n) AS numbers"
        else:
            source = "FROM n"
        named = ", ".join(f'"{c}"' if connection.dialect.name != "mysql" else f"`{c}`" for c in columns)
        values = ", ".join(columns.values())
        select = f"{numbers} INSERT INTO {table} ({named}) SELECT {values} {source}"
        connection.exec_driver_sql(select.replace("%", "%%") if connection.dialect.name != "sqlite" else select)
    connection.commit()


def own(url: str) -> pl.DataFrame:
    """Our reader."""
    with Query(url, timeout=600) as query:
        return query.polars_from_db()


def plain(url: str) -> pl.DataFrame:
    """Our reader as it is without the extra `fast`."""
    with mock.patch.dict(sys.modules, {"adbc_driver_sqlite": None}):
        return own(url)


def raw(url: str) -> pl.DataFrame:
    """Our reader of raw SQL."""
    with Query(url, timeout=600) as query:
        return query.polars_from_db(SELECT)


def polars(url: str) -> pl.DataFrame:
    """`pl.read_database` over a SQLAlchemy engine."""
    engine = create_engine(url, timeout=600)
    with engine.connect() as connection:
        frame = pl.read_database(SELECT, connection, infer_schema_length=None)
    engine.dispose()
    return frame


def adbc(url: str) -> pl.DataFrame:
    """ADBC, where it has a driver."""
    return pl.read_database_uri(SELECT, url, engine="adbc")


READERS = {
    "polars_from_db()": own,
    "without `fast`": plain,
    "polars_from_db(sql)": raw,
    "pl.read_database": polars,
    "ADBC": adbc,
}


def measure(kind: str, url: str, rows: int) -> dict[str, float]:
    """Seconds of each reader on one database, the best of a few rounds in turn."""
    engine = create_engine(url, timeout=600, poolclass=sa.NullPool)
    with engine.connect() as connection:
        metadata.create_all(connection)
        fill(connection, rows)
    best: dict[str, float] = {}
    readers = {name: read for name, read in READERS.items() if not (name == "ADBC" and kind == "mariadb")}
    for _ in range(ROUNDS):
        for name, read in readers.items():
            begun = time.perf_counter()
            found = read(url)
            best[name] = min(best.get(name, 1e9), time.perf_counter() - begun)
            if found.height != rows:
                raise SystemExit(f"{name} read {found.height} rows of {rows}")
    return best


def main() -> None:
    """Print a line for each reader and database."""
    rows = next((int(word) for word in sys.argv[1:] if word.isdigit()), 200_000)
    print(f"Reading {rows:,} operations x {len(COLUMNS)} columns into Polars")
    for kind, new_database in started([word for word in sys.argv[1:] if word in NAMES]):
        best = measure(kind, new_database(), rows)
        for name, seconds in best.items():
            ratios = "".join(f"  {seconds / best[of]:5.2f} x {of}" for of in ("ADBC", "pl.read_database") if of in best)
            print(f"{kind:11} {name:20} {seconds:6.2f} s {rows / seconds:10,.0f} rows/s{ratios}")


if __name__ == "__main__":
    main()
