"""The fastest way a driver has to hand over many rows of a known shape. The differences are one table at the end.

PostgreSQL gives CSV by COPY, which Polars reads with all cores. MySQL's drivers take a microsecond or more for every
field: the server joins a row to one CSV line. SQLite's driver is C: its rows are taken as they are.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
import sqlalchemy as sa
from sqlalchemy.util import await_only

from otel_llm_sql.query.columns import KNOWN, Kind, fetched, of_shape
from otel_llm_sql.query.frames import frame, from_arrow, from_columns, from_csv
from otel_llm_sql.query.parameters import plain
from otel_llm_sql.schema.types import References, Timestamp, Uuid

Columns: TypeAlias = Mapping[str, sa.Column[Any] | sa.Label[Any]]
Statement: TypeAlias = Callable[[Sequence[sa.ColumnElement[Any]]], sa.Select[Any] | sa.CompoundSelect[Any]]
Route: TypeAlias = Callable[[sa.Connection, Columns, Statement], pl.DataFrame]


def shape_of(columns: Columns) -> dict[str, Kind]:
    """The kind of each column."""
    return {name: "text" if isinstance(c, sa.Label) else KNOWN[c.name] for name, c in columns.items()}


def read(connection: sa.Connection, columns: Columns, statement: Statement) -> pl.DataFrame:
    """Read columns of our tables into a frame.

    Args:
        connection: in a reading transaction.
        columns: what to read, by the name it gets.
        statement: makes the SELECT of any expressions over the rows.
    """
    dialect = connection.dialect
    route = ROUTES.get((dialect.name, dialect.driver, dialect.is_async), by_value)
    errors = _errors(dialect)
    readable = {name: _digits(c, dialect) if isinstance(c.type, References) else c for name, c in columns.items()}
    try:
        return route(connection, readable, statement)
    except errors as error:  # COPY goes past SQLAlchemy, which gives every other error this form
        raise sa.exc.DBAPIError(None, None, error) from error


def _digits(column: sa.ColumnElement[Any], dialect: sa.Dialect) -> sa.Label[Any]:
    """Bytes as text: hex digits go through CSV and every driver alike."""
    function, *more = _HEX.get(dialect.name, ("hex",))
    digits: sa.ColumnElement[Any] = getattr(sa.func, function)(column, *more, type_=sa.Text())
    return digits.label(None)


_HEX: Mapping[str, tuple[str, ...]] = {"postgresql": ("encode", "hex")}
"""How a database writes bytes in hex, where it is not `hex(bytes)`: the function, and what it takes besides."""


def _errors(dialect: sa.Dialect) -> tuple[type[Exception], ...]:
    dbapi: Any = dialect.loaded_dbapi
    beneath = getattr(dbapi, "asyncpg", None)
    return (dbapi.Error, beneath.PostgresError, beneath.InterfaceError) if beneath else (dbapi.Error,)


def by_value(connection: sa.Connection, columns: Columns, statement: Statement) -> pl.DataFrame:
    """Rows as the driver gives them, each value converted: right with every driver, and slow."""
    result = connection.execute(statement([column.label(name) for name, column in columns.items()]))
    return frame(of_shape(shape_of(columns), fetched(result.cursor)))


def _by_column(connection: sa.Connection, columns: Columns, statement: Statement) -> pl.DataFrame:
    """Rows as SQLite's driver gives them: times and JSON are text already."""
    select = statement([sa.type_coerce(column, sa.types.NULLTYPE).label(name) for name, column in columns.items()])
    return from_columns(fetched(connection.execute(select).cursor), shape_of(columns))


def _arrow(connection: sa.Connection, columns: Columns, statement: Statement) -> pl.DataFrame:
    """ADBC's reader for a SQLite file, where the extra `fast` is installed; else as usual."""
    file = connection.connection.driver_connection.execute("PRAGMA database_list").fetchone()[2]  # type: ignore[union-attr]
    try:
        from adbc_driver_sqlite import dbapi
    except ImportError:
        return _by_column(connection, columns, statement)
    # ADBC takes the types from the first rows: the first one has them all, and is taken out again.
    shape = shape_of(columns)
    firsts: list[Any] = [sa.literal_column(_FIRST.get(shape[name], "''")).label(name) for name in columns]
    first = sa.select().add_columns(*firsts)
    sql, values = _compiled(connection, columns, lambda expressions: sa.union_all(first, statement(expressions)))
    try:
        with dbapi.connect(f"{Path(file).as_uri()}?mode=ro") as adbc, adbc.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(_ARROW_ROWS)})
            cursor.execute(sql, [plain(value, native=False, aware=False) for value in values])
            return from_arrow(cursor.fetch_arrow_table(), shape)
    except (dbapi.Error, pl.exceptions.PolarsError, ValueError):
        return _by_column(connection, columns, statement)  # which says in our words what is wrong


_FIRST: Mapping[Kind, str] = {"integer": "0", "float": "0.0"}
_ARROW_ROWS = 65_536
"""ADBC sets memory aside for so many rows at once: a few hundred bytes for each."""


def _copy_statement(connection: sa.Connection, columns: Columns, statement: Statement) -> tuple[str, Any]:
    """The SELECT in the driver's style, and its values; each column in the spelling that `from_csv` reads."""
    return _compiled(connection, {name: _copied(column) for name, column in columns.items()}, statement)


def _compiled(
    connection: sa.Connection, columns: Mapping[str, sa.ColumnElement[Any]], statement: Statement
) -> tuple[str, Any]:
    select = statement([column.label(name) for name, column in columns.items()])
    compiled = select.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
    values: Any = compiled.params
    if compiled.positional:
        values = tuple(values[name] for name in compiled.positiontup or ())
    return str(compiled), values


def _copied(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
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
    (lines,) = fetched(connection.execute(statement([line.label("line")])).cursor)
    if None in lines:
        return by_value(connection, columns, statement)
    return from_csv("\n".join(lines).encode(), shape_of(columns))


def _field(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
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
    ("sqlite", "pysqlite", False): _arrow,
    ("sqlite", "aiosqlite", True): _by_column,
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
