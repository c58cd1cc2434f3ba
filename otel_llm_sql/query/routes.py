"""The fastest way a driver has to hand over many rows of a known shape. The differences are one table at the end.

PostgreSQL gives CSV by COPY, which Polars reads with all cores. MySQL's drivers take a microsecond or more for every
field: the server joins a row to one CSV line. SQLite's driver is C: its rows are taken as they are.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import polars as pl
import sqlalchemy as sa
from sqlalchemy.util import await_only

from otel_llm_sql.query.columns import KNOWN, Kind, of_shape
from otel_llm_sql.query.frames import frame, from_batches, from_csv
from otel_llm_sql.schema.types import Json, Timestamp, Uuid

Columns: TypeAlias = Mapping[str, sa.Column[Any]]
Statement: TypeAlias = Callable[[Sequence[sa.ColumnElement[Any]]], sa.Select[Any]]
Route: TypeAlias = Callable[[sa.Connection, Columns, Statement], pl.DataFrame]

_BATCH = 10_000
"""Rows taken at a time: Python's cyclic garbage collector walks over every row that is alive."""


def shape_of(columns: Columns) -> dict[str, Kind]:
    """The kind of each column."""
    return {name: KNOWN[column.name] for name, column in columns.items()}


def read(connection: sa.Connection, columns: Columns, statement: Statement) -> pl.DataFrame:
    """Read columns of our tables into a frame.

    Args:
        connection: in a reading transaction.
        columns: what to read, by the name it gets.
        statement: makes the SELECT of any expressions over the rows.
    """
    dialect = connection.dialect
    route = ROUTES.get((dialect.name, dialect.driver, dialect.is_async), fetched)
    return route(connection, columns, statement)


def fetched(connection: sa.Connection, columns: Columns, statement: Statement) -> pl.DataFrame:
    """Rows as the driver gives them, each value converted: right with every driver, and slow."""
    cursor: Any = connection.execute(statement([c.label(name) for name, c in columns.items()])).cursor
    return frame(of_shape(shape_of(columns), cursor.fetchall()))


def _batched(connection: sa.Connection, columns: Columns, statement: Statement) -> pl.DataFrame:
    """Rows as SQLite's driver gives them: times and JSON are text already."""
    select = statement([sa.type_coerce(c, sa.types.NULLTYPE).label(name) for name, c in columns.items()])
    return from_batches(list(_batches(connection.execute(select))), shape_of(columns))


def _batches(result: sa.CursorResult[Any]) -> Iterator[Sequence[Any]]:
    cursor: Any = result.cursor  # the driver's own: neither row objects nor conversions
    while rows := cursor.fetchmany(_BATCH):
        yield rows


def _copy_statement(connection: sa.Connection, columns: Columns, statement: Statement) -> tuple[str, Any]:
    """The SELECT in the driver's style, and its values; each column in the spelling that `from_csv` reads."""
    select = statement([_copied(column).label(name) for name, column in columns.items()])
    compiled = select.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
    values: Any = compiled.params
    if compiled.positional:
        values = tuple(values[name] for name in compiled.positiontup or ())
    return str(compiled), values


def _copied(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    if isinstance(column.type, Timestamp):
        return sa.cast(sa.extract("epoch", column) * 1_000_000, sa.BigInteger)
    return column


def _copy_psycopg2(connection: sa.Connection, columns: Columns, statement: Statement) -> pl.DataFrame:
    sql, values = _copy_statement(connection, columns, statement)
    target = io.BytesIO()
    with connection.connection.driver_connection.cursor() as cursor:  # type: ignore[union-attr]
        bound = cursor.mogrify(sql, values).decode()
        cursor.copy_expert(f"COPY ({bound}) TO STDOUT (FORMAT csv)", target, 1 << 20)
    return from_csv(target.getvalue(), shape_of(columns))


def _copy_psycopg(connection: sa.Connection, columns: Columns, statement: Statement) -> pl.DataFrame:
    sql, values = _copy_statement(connection, columns, statement)
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT csv)", values) as copy:
        data = b"".join(copy)
    return from_csv(data, shape_of(columns))


def _copy_asyncpg(connection: sa.Connection, columns: Columns, statement: Statement) -> pl.DataFrame:
    sql, values = _copy_statement(connection, columns, statement)
    target = io.BytesIO()
    driver: Any = connection.connection.driver_connection
    await_only(driver.copy_from_query(sql, *values, output=target, format="csv"))
    return from_csv(target.getvalue(), shape_of(columns))


def _copy_psycopg_async(connection: sa.Connection, columns: Columns, statement: Statement) -> pl.DataFrame:
    sql, values = _copy_statement(connection, columns, statement)
    driver: Any = connection.connection.driver_connection

    async def copied() -> bytes:
        async with driver.cursor() as cursor, cursor.copy(f"COPY ({sql}) TO STDOUT (FORMAT csv)", values) as copy:
            return b"".join([bytes(part) async for part in copy])

    return from_csv(await_only(copied()), shape_of(columns))


def _joined(connection: sa.Connection, columns: Columns, statement: Statement) -> pl.DataFrame:
    """One CSV line per row, written by the server. A line longer than its packets would come as NULL: then as usual."""
    line = sa.func.concat_ws(",", *map(_field, columns.values()))
    batches = list(_batches(connection.execute(statement([sa.type_coerce(line, sa.Text()).label("line")]))))
    lines = [row[0] for rows in batches for row in rows]
    if None in lines:
        return fetched(connection, columns, statement)
    return from_csv("\n".join(lines).encode(), shape_of(columns))


def _field(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    if isinstance(column.type, Timestamp):
        epoch: sa.ColumnElement[Any] = sa.literal_column("TIMESTAMP'1970-01-01 00:00:00'")
        value: sa.ColumnElement[Any] = sa.func.timestampdiff(sa.literal_column("MICROSECOND"), epoch, column)
    elif isinstance(column.type, sa.Integer | sa.Float | Uuid):
        value = sa.type_coerce(column, sa.String())
    else:
        quote: sa.ColumnElement[Any] = sa.literal_column("""'"'""")
        doubled = sa.func.replace(sa.type_coerce(column, sa.String()), quote, sa.literal_column("""'""'"""))
        value = sa.func.concat(quote, doubled, quote)
    return sa.func.ifnull(value, sa.literal_column("''"))


ROUTES: Mapping[tuple[str, str, bool], Route] = {
    ("sqlite", "pysqlite", False): _batched,
    ("sqlite", "aiosqlite", True): _batched,
    ("postgresql", "psycopg2", False): _copy_psycopg2,
    ("postgresql", "psycopg", False): _copy_psycopg,
    ("postgresql", "asyncpg", True): _copy_asyncpg,
    ("postgresql", "psycopg", True): _copy_psycopg_async,
    ("postgresql", "psycopg_async", True): _copy_psycopg_async,
    ("mysql", "pymysql", False): _joined,
    ("mysql", "aiomysql", True): _joined,
    ("mysql", "asyncmy", True): _joined,
    ("mariadb", "pymysql", False): _joined,
    ("mariadb", "aiomysql", True): _joined,
    ("mariadb", "asyncmy", True): _joined,
}
"""By database, driver, and whether it is async."""
