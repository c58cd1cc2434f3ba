"""A RowBatch as statements: a constant number of them, whatever the number of rows.

Rows that refer are written after what they refer to and deleted before it, so that no foreign key is ever in the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from otel_llm_sql.rows import COLUMNS, KEYS, TABLES, NewRow, RowBatch
from otel_llm_sql.schema.tables import metadata
from otel_llm_sql.store.dialects import Dialect
from otel_llm_sql.store.inserts import TIMES, typed

Rows = Sequence[Mapping[str, Any]]

# Without types SQLAlchemy passes our text through as it stands.
PLAIN = {name: sa.table(name, *(sa.column(c.name) for c in table.columns)) for name, table in metadata.tables.items()}


def apply(connection: sa.Connection, dialect: Dialect, batch: RowBatch) -> None:
    """Make the changes of a batch, in the transaction at hand."""
    for table in TABLES:
        _insert(connection, dialect, table, COLUMNS[table], batch.inserts[table])
        for changed in _alike(batch.updates[table]):
            _update(connection, dialect, table, changed)
    for table in reversed(TABLES):
        _delete(connection, table, batch.deletes[table])


def new_rows(connection: sa.Connection, dialect: Dialect, table: str, rows: Rows) -> None:
    """Insert rows that name their columns, all the same ones."""
    if rows:
        _insert(connection, dialect, table, tuple(rows[0]), [tuple(row.values()) for row in rows])


def _insert(
    connection: sa.Connection, dialect: Dialect, table: str, columns: tuple[str, ...], rows: Sequence[NewRow]
) -> None:
    """Insert rows by the fastest route of the driver."""
    if rows:
        insert = dialect.insert.get(connection.dialect.driver) or dialect.insert[None]
        insert(connection, table, columns, rows)


def _alike(rows: Rows) -> Iterable[Rows]:
    """Rows that change the same columns together: of a message its owner may change, or the name of a tool."""
    found: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row), []).append(row)
    return found.values()


def _update(connection: sa.Connection, dialect: Dialect, table: str, rows: Rows) -> None:
    target = metadata.tables[table] if dialect.typed else PLAIN[table]
    keys = KEYS[table]
    where = (target.c[key] == sa.bindparam(f"key_{key}", type_=target.c[key].type) for key in keys)
    changed = [name for name in rows[0] if name not in keys]
    statement = (
        sa.update(target)
        .where(*where)
        .values({name: sa.bindparam(f"new_{name}", type_=target.c[name].type) for name in changed})
    )
    connection.execute(statement, [_parameters(dialect, row, keys) for row in rows])


def _parameters(dialect: Dialect, row: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    values = {n: typed(n, v) for n, v in row.items()} if dialect.typed else _with_moments(dialect, row)
    return {f"{'key' if name in keys else 'new'}_{name}": value for name, value in values.items()}


def _with_moments(dialect: Dialect, row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: dialect.moment(v) if name in TIMES else v for name, v in row.items()}


def _delete(connection: sa.Connection, table: str, ids: Sequence[str]) -> None:
    if ids:
        column = metadata.tables[table].c[KEYS[table][0]]
        connection.execute(
            sa.delete(metadata.tables[table]).where(column == sa.bindparam("gone")), [{"gone": key} for key in ids]
        )
