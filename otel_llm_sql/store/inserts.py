"""How new rows are inserted: by the fastest route of each driver, on the connection and in the transaction at hand.

Rows are tuples in the order of their columns: JSON is text, moments are microseconds since the epoch.
"""

from __future__ import annotations

import io
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from typing import Any, TypeAlias

import orjson
import sqlalchemy as sa

from otel_llm_sql.schema.tables import metadata

Columns: TypeAlias = tuple[str, ...]
Rows: TypeAlias = Sequence[tuple[Any, ...]]
Insert: TypeAlias = Callable[[sa.Connection, str, Columns, Rows], None]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MILLISECOND = timedelta(milliseconds=1)
TIMES = frozenset({"timestamp", "created_at", "last_seen_at", "received_at"})
DOCUMENTS = frozenset({"extras", "parts", "metadata", "provenance", "facts", "definitions"})

_AT_ONCE = 256
"""Rows of one statement on SQLite: more are not faster."""

_NULL = f"\1{secrets.token_hex(6)}"
"""What stands for NULL in COPY: nobody can guess it, so no text is taken for it; unlike `\\N` it needs no escaping."""

_PIECE = 64
"""Rows that PostgreSQL is sent at a time: it stores them while the next ones are put into words."""


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


@lru_cache(maxsize=256)
def _moments(columns: Columns) -> tuple[int, ...]:
    """Where moments stand in a row."""
    return tuple(at for at, name in enumerate(columns) if name in TIMES)


def insert_typed(connection: sa.Connection, table: str, columns: Columns, rows: Rows) -> None:
    """Batched Core insert through the column types: right on any database."""
    values = [{name: typed(name, value) for name, value in zip(columns, row, strict=True)} for row in rows]
    connection.execute(sa.insert(metadata.tables[table]), values)


def insert_plain(connection: sa.Connection, table: str, columns: Columns, rows: Rows) -> None:
    """Batched insert of values that are text already: Core's own statement, without its conversions."""
    statement = insert_statement(connection.dialect.paramstyle, table, columns)
    connection.exec_driver_sql(statement, [tuple(_values(row, _moments(columns), utc_text)) for row in rows])


@lru_cache(maxsize=64)
def insert_statement(paramstyle: str, table: str, columns: Columns, rows: int = 1) -> str:
    """An INSERT of so many rows at once."""
    mark = "?" if paramstyle == "qmark" else "%s"
    row = f"({', '.join([mark] * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"  # noqa: S608 - names of ours


def insert_at_once(connection: sa.Connection, table: str, columns: Columns, rows: Rows) -> None:
    """Many rows to a statement, for SQLite: an eighth faster, and Python's lock is let go for all of them at once.

    Row by row it is asked for again each time, and another thread that computes may keep it for 5 ms.
    """
    driver: Any = connection.connection.driver_connection
    at_once = min(_AT_ONCE, driver.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // len(columns))
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        values = list(chain.from_iterable(part))
        for at in _moments(columns):
            values[at :: len(columns)] = map(utc_text, values[at :: len(columns)])
        connection.exec_driver_sql(insert_statement("qmark", table, columns, len(part)), tuple(values))


def copy_psycopg2(connection: sa.Connection, table: str, columns: Columns, rows: Rows) -> None:
    """PostgreSQL's COPY through psycopg2."""
    with closing(connection.connection.cursor()) as cursor:
        cursor.copy_expert(copy_statement(table, columns), _Pieces(copy_texts(columns, rows)))


def copy_psycopg(connection: sa.Connection, table: str, columns: Columns, rows: Rows) -> None:
    """PostgreSQL's COPY through psycopg 3."""
    with closing(connection.connection.cursor()) as cursor, cursor.copy(copy_statement(table, columns)) as copy:
        for piece in copy_texts(columns, rows):
            copy.write(piece)


def copy_statement(table: str, columns: Columns) -> str:
    """A COPY that understands `copy_texts`."""
    return f"COPY {table} ({', '.join(columns)}) FROM STDIN (NULL '{_NULL}')"


class _Pieces(io.TextIOBase):
    """Pieces of text as the file that psycopg2 wants to read."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self._pieces = pieces

    def read(self, _size: int | None = -1, /) -> str:
        return next(self._pieces, "")


def copy_texts(columns: Columns, rows: Rows) -> Iterator[str]:
    """Rows in COPY's text format, in pieces."""
    moments = _moments(columns)
    for start in range(0, len(rows), _PIECE):
        lines = [_copy_line(_values(row, moments, utc_offset_text)) for row in rows[start : start + _PIECE]]
        lines.append("")
        yield "\n".join(lines)


def _values(row: tuple[Any, ...], moments: tuple[int, ...], text: Callable[[int], str]) -> list[Any]:
    values = list(row)
    for at in moments:
        values[at] = text(values[at])
    return values


def _copy_line(values: list[Any]) -> str:
    words = [value if type(value) is str else _NULL if value is None else _word(value) for value in values]
    line = "\t".join(words)
    # In nearly all rows nothing has to be escaped: one look at the whole line instead of four at each value. Bytes are
    # the last column where there are any, and begin with two backslashes of ours.
    own = 2 if type(values[-1]) is bytes else 0
    if line.count("\\") != own or "\n" in line or "\r" in line or line.count("\t") >= len(values):
        return "\t".join([_escaped(value) if type(value) is str else _word(value) for value in values])
    return line


def _word(value: Any) -> str:
    if value is None:
        return _NULL
    return rf"\\x{value.hex()}" if type(value) is bytes else str(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
