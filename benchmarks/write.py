"""Operations per second of the exporter path, next to the database's own limit, in one run.

The limit: the very rows that the exporter wrote, into the same tables, keys and indexes of an empty database, by the
fastest bulk route of the driver (COPY on PostgreSQL, executemany in one transaction on SQLite, multi-row INSERT on
MariaDB), values already in the driver's form.
"""

from __future__ import annotations

import argparse
import gc
import io
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing

import sqlalchemy as sa
from load import spans
from opentelemetry.sdk.trace.export import SpanExporter
from servers import NAMES, started

from otel_llm_sql.exporter import LlmSqlSpanExporter
from otel_llm_sql.rows import TABLES
from otel_llm_sql.schema import versions
from otel_llm_sql.store.engines import create_engine
from otel_llm_sql.store.inserts import copy_statement, copy_texts, insert_statement
from otel_llm_sql.store.statements import PLAIN

BATCH = 512
"""What the SDK's BatchSpanProcessor hands over at once."""


Row = tuple[object, ...]


def exporter(url: str, operations: list) -> float:
    """Seconds until everything is committed."""
    return exported(LlmSqlSpanExporter(url=url, timeout=60), operations)


def exported(door: SpanExporter, operations: list, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of a clock until an exporter has passed everything on, in batches as the SDK hands them over."""
    door.export(operations[:1])  # connections and tables
    started = clock()
    for start in range(0, len(operations), BATCH):
        result = door.export(operations[start : start + BATCH])
        assert result.name == "SUCCESS", result
    seconds = clock() - started
    door.shutdown()
    return seconds


def executemany(connection: sa.Connection, table: str, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
    """One INSERT for all rows: PyMySQL makes multi-row statements of it."""
    connection.exec_driver_sql(insert_statement(connection.dialect.paramstyle, table, columns), rows)


def copy(connection: sa.Connection, table: str, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
    """COPY of the whole table, which is put into words as the exporter does it."""
    text = io.StringIO("".join(copy_texts((), rows)))
    with closing(connection.connection.cursor()) as cursor:
        cursor.copy_expert(copy_statement(table, columns), text)


BULK = {"sqlite": executemany, "postgresql": copy, "mysql": executemany}
"""The fastest bulk route of each driver."""


def stored(url: str) -> dict[str, list[Row]]:
    """All rows, as text, the way the driver takes them fastest."""
    engine = create_engine(url, timeout=600)
    rows = {}
    with engine.connect() as connection:
        for table in TABLES:
            columns = list(PLAIN[table].c)
            if engine.dialect.name == "postgresql":
                columns = [sa.cast(column, sa.Text).label(column.name) for column in columns]
            rows[table] = [tuple(row) for row in connection.execute(sa.select(*columns).select_from(PLAIN[table]))]
    engine.dispose()
    return rows


def limit(url: str, rows: dict[str, list[Row]], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of a clock for the same rows by the fastest bulk route, in one transaction."""
    engine = create_engine(url, timeout=600)
    versions.ensure(engine)
    insert = BULK[engine.dialect.name]
    started = clock()
    with engine.begin() as connection:
        for table in TABLES:
            if rows[table]:
                insert(connection, table, tuple(PLAIN[table].c.keys()), rows[table])
    seconds = clock() - started
    engine.dispose()
    return seconds


def measure(name: str, new_database: Callable[[], str], operations: int, runs: int) -> None:
    """Both loads on one kind of database."""
    for history in (False, True):
        load = spans(operations, history=history)
        figures = []
        for _ in range(runs):
            gc.collect()
            gc.freeze()  # an application does not keep its spans: the collector shall not walk over ours all the time
            url = new_database()
            ours = exporter(url, load)
            bound = limit(new_database(), stored(url))
            figures.append((operations / ours, operations / bound, bound / ours))
        ours_rate, limit_rate, ratio = (statistics.median(column) for column in zip(*figures, strict=True))
        what = "history repeated" if history else "new messages"
        rates = f"{ours_rate:8,.0f} operations/s   limit {limit_rate:8,.0f}"
        print(f"{name:12} {what:18} {rates}   ratio {ratio:.2f}", flush=True)


def main() -> None:
    """Print a line for each database and load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("databases", nargs="*", default=list(NAMES))
    arguments = parser.parse_args()
    for name, new_database in started(arguments.databases):
        measure(name, new_database, arguments.operations, arguments.runs)


if __name__ == "__main__":
    main()
