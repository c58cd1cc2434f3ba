"""What differs between databases when rows are written, as frozen values; the unknown one gets the least capable."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from otel_llm_sql.schema.tables import locks, metadata

Columns = tuple[str, ...]
Rows = Sequence[tuple[Any, ...]]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MILLISECOND = timedelta(milliseconds=1)
TIMES = frozenset({"timestamp", "created_at", "last_seen_at", "received_at"})
DOCUMENTS = frozenset({"extras", "parts", "metadata", "provenance", "facts", "definitions"})


@lru_cache(maxsize=4096)
def utc_text(microseconds: int) -> str:
    """A moment as text that every database reads as UTC."""
    return (EPOCH + microseconds * MICROSECOND).replace(tzinfo=None).isoformat(" ", "microseconds")


@lru_cache(maxsize=4096)
def utc_offset_text(microseconds: int) -> str:
    """A moment as text with its offset, for a database that would otherwise think of its own time zone."""
    return utc_text(microseconds) + "+00"


def typed(name: str, value: Any) -> Any:
    """A value as our column types take it."""
    if value is None:
        return None
    if name in TIMES:
        return EPOCH + value * MICROSECOND
    return orjson.loads(value) if name in DOCUMENTS else value


def insert_plain(connection: sa.Connection, table: str, columns: Columns, rows: Rows) -> None:
    """Batched insert of rows whose values are text already: Core's own statement, without its conversions."""
    connection.exec_driver_sql(_insert_statement(connection.dialect.paramstyle, table, columns), rows)


@lru_cache(maxsize=256)
def _insert_statement(paramstyle: str, table: str, columns: Columns) -> str:
    mark = "?" if paramstyle == "qmark" else "%s"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))})"  # noqa: S608 - names of ours


def insert_typed(connection: sa.Connection, table: str, columns: Columns, rows: Rows) -> None:
    """Batched Core insert through the column types: right on any database."""
    values = [{name: typed(name, value) for name, value in zip(columns, row, strict=True)} for row in rows]
    connection.execute(sa.insert(metadata.tables[table]), values)


def copy_psycopg2(connection: sa.Connection, table: str, columns: Columns, rows: Rows) -> None:
    """PostgreSQL's COPY through psycopg2, on the connection and in the transaction at hand."""
    with closing(connection.connection.cursor()) as cursor:
        cursor.copy_expert(_copy_statement(table, columns), io.StringIO(_copy_text(rows)))


def copy_psycopg(connection: sa.Connection, table: str, columns: Columns, rows: Rows) -> None:
    """PostgreSQL's COPY through psycopg 3."""
    with closing(connection.connection.cursor()) as cursor, cursor.copy(_copy_statement(table, columns)) as copy:
        copy.write(_copy_text(rows))


def _copy_statement(table: str, columns: Columns) -> str:
    return f"COPY {table} ({', '.join(columns)}) FROM STDIN"


def _copy_text(rows: Rows) -> str:
    field = _copy_field
    lines = ["\t".join([field(value) for value in row]) for row in rows]
    lines.append("")
    return "\n".join(lines)


def _copy_field(value: Any) -> str:
    if value is None:
        return "\\N"
    if type(value) is not str:
        return rf"\\x{value.hex()}" if type(value) is bytes else str(value)
    text: str = value
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if "\n" in text:
        text = text.replace("\n", "\\n")
    if "\t" in text:
        text = text.replace("\t", "\\t")
    return text.replace("\r", "\\r") if "\r" in text else text


@dataclass(frozen=True, slots=True)
class Among:
    """How it is asked whether a column holds one of many values.

    Attributes:
        condition: the question about a column, with the values as the parameter ASKED.
        parameter: the values as that parameter.
    """

    condition: Callable[[sa.Column[Any]], sa.ColumnElement[bool]]
    parameter: Callable[[Sequence[str]], Any]


ASKED = "asked"


def _in_list(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
    return column.in_(sa.bindparam(ASKED, expanding=True))


def _in_array(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
    """PostgreSQL: one array for all values takes half of the time of a long list of parameters."""
    return column == sa.any_(sa.cast(sa.bindparam(ASKED, type_=sa.Text), postgresql.ARRAY(column.type)))


def _array(values: Sequence[str]) -> str:
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return '{"' + '","'.join(quoted) + '"}' if values else "{}"


def _in_json(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
    """SQLite: one JSON array for all values."""
    each = sa.func.json_each(sa.bindparam(ASKED, type_=sa.Text)).table_valued("value")
    return column.in_(sa.select(each.c.value))


def _json(values: Sequence[str]) -> str:
    return orjson.dumps(values).decode()


@dataclass(frozen=True, slots=True)
class Insert:
    """A way to insert rows.

    Attributes:
        run: puts rows into a table, within the transaction of a connection.
        typed: whether it takes rows as they are, or with moments as text.
    """

    run: Callable[[sa.Connection, str, Columns, Rows], None]
    typed: bool = False


@dataclass(frozen=True, slots=True)
class Dialect:
    """How rows are written to one kind of database.

    Attributes:
        insert: the fastest insert per driver; `None` stands for every other driver.
        among: how it is asked whether a column holds one of many values.
        moment: a timestamp (microseconds since the epoch) as the plain insert takes it.
        locks_rows: whether writers take row locks; SQLite has one writer at a time anyway.
        lock_all: locks all rows of `llm_locks` at once, where that is cheaper than locking many of them.
        typed: whether values go through our column types, also in updates.
        packet: a query for the largest statement in bytes, where the server has such a limit.
        hangs: whether the driver waits for a silent server for ever, so that the connection has to be cut.
    """

    insert: Mapping[str | None, Insert]
    among: Among = Among(_in_list, list)
    moment: Callable[[int], str] = utc_text
    locks_rows: bool = True
    lock_all: str | None = None
    typed: bool = False
    packet: str | None = None
    hangs: bool = False


_PLAIN = Insert(insert_plain)
_TYPED = Insert(insert_typed, typed=True)
_MYSQL = Dialect(insert={None: _PLAIN}, packet="SELECT @@max_allowed_packet")

DIALECTS = {
    "postgresql": Dialect(
        insert={"psycopg2": Insert(copy_psycopg2), "psycopg": Insert(copy_psycopg), None: _TYPED},
        among=Among(_in_array, _array),
        moment=utc_offset_text,
        # It waits for whoever locked rows (ROW SHARE), and whoever wants to lock rows waits for it.
        lock_all=f"LOCK TABLE {locks.name} IN EXCLUSIVE MODE",
        hangs=True,
    ),
    "sqlite": Dialect(insert={None: _PLAIN}, among=Among(_in_json, _json), locks_rows=False),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}
UNKNOWN = Dialect(insert={None: _TYPED}, typed=True)
