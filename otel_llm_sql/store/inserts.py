"""How new rows are inserted: by the fastest route of each driver, on the connection and in the transaction at hand.

Rows are tuples in the order of their columns: JSON is text, moments are microseconds since the epoch.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import lru_cache
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
    moments = _moments(columns)
    values = [tuple(_values(row, moments, utc_text)) for row in rows] if moments else list(rows)
    connection.exec_driver_sql(statement, values)


@lru_cache(maxsize=64)
def insert_statement(paramstyle: str, table: str, columns: Columns) -> str:
    """An INSERT of one row."""
    mark = "?" if paramstyle == "qmark" else "%s"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))})"  # noqa: S608 - names of ours


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
