"""What differs between databases when rows are written, as frozen values; the unknown one gets the least capable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from otel_llm_sql.schema.tables import locks
from otel_llm_sql.store.inserts import (
    Insert,
    copy_psycopg,
    copy_psycopg2,
    insert_plain,
    insert_typed,
    utc_offset_text,
    utc_text,
)


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
class Dialect:
    """How rows are written to one kind of database.

    Attributes:
        insert: the fastest insert per driver; `None` stands for every other driver.
        among: how it is asked whether a column holds one of many values.
        moment: a timestamp (microseconds since the epoch) as an update takes it.
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


_MYSQL = Dialect(insert={None: insert_plain}, packet="SELECT @@max_allowed_packet")

DIALECTS = {
    "postgresql": Dialect(
        insert={"psycopg2": copy_psycopg2, "psycopg": copy_psycopg, None: insert_typed},
        among=Among(_in_array, _array),
        moment=utc_offset_text,
        # It waits for whoever locked rows (ROW SHARE), and whoever wants to lock rows waits for it.
        lock_all=f"LOCK TABLE {locks.name} IN EXCLUSIVE MODE",
        hangs=True,
    ),
    "sqlite": Dialect(insert={None: insert_plain}, among=Among(_in_json, _json), locks_rows=False),
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}
UNKNOWN = Dialect(insert={None: insert_typed}, typed=True)
