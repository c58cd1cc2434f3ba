"""Version 0004 packs the references of version 0003: nothing tells a migrated database from a fresh one."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
import telemetry

from otel_llm_sql.rows import TABLES
from otel_llm_sql.schema import tables, versions
from otel_llm_sql.schema.types import Json, Uuid
from otel_llm_sql.settings import Settings
from otel_llm_sql.store.engines import create_engine
from otel_llm_sql.store.writer import Writer

pytestmark = pytest.mark.quick

Rows = list[dict[str, Any]]
PACKED = tables.operations
ARRAYS = sa.table(
    "llm_operations", *(sa.column(c.name, Json() if c.name == "message_ids" else c.type) for c in PACKED.columns)
)
"""The operations as version 0003 stored them."""
VIEW = sa.table(
    "llm_operation_messages",
    *(sa.column("operation_id", Uuid), sa.column("sequence_number"), sa.column("message_id", Uuid)),
    sa.column("direction"),
)
MANY = 1100
"""More rows than the migration converts at once."""


def _sorted(connection: sa.Connection, table: sa.FromClause) -> Rows:
    return sorted((dict(row) for row in connection.execute(sa.select(table)).mappings()), key=str)


def _everything(engine: sa.Engine) -> dict[str, Rows]:
    with engine.connect() as connection:
        stored = {name: _sorted(connection, tables.metadata.tables[name]) for name in TABLES}
        return stored | {VIEW.name: _sorted(connection, VIEW)}


def _deliver(url: str) -> dict[str, Rows]:
    writer = Writer(Settings(url=url))
    writer.write(telemetry.everything(), time.monotonic() + 60)
    rows = _everything(writer.engine)
    writer.close()
    return rows


def _as_0003(engine: sa.Engine, rows: dict[str, Rows]) -> None:
    """Make the tables of version 0003, with these rows as it stored them."""
    versions.migrate(engine, "0003")
    with engine.begin() as connection:
        for name in TABLES:
            table = ARRAYS if name == "llm_operations" else tables.metadata.tables[name]
            if rows.get(name):
                connection.execute(sa.insert(table), rows[name])


@pytest.mark.parametrize("interrupted", [False, True])
def test_old_rows_are_those_of_a_fresh_database(
    kind: str, new_database: Callable[[str], str], *, interrupted: bool
) -> None:
    """Rows of 0003, migrated, are those that 0004 writes, in tables and view; the same telemetry changes nothing."""
    fresh = _deliver(new_database(kind))
    assert any(row["message_ids"] for row in fresh["llm_operations"])
    assert any(row["message_ids"] is None for row in fresh["llm_operations"])
    url = new_database(kind)
    engine = create_engine(url)
    _as_0003(engine, fresh)
    if interrupted:  # as MySQL leaves it, which commits after each statement
        blob = {"postgresql": "BYTEA", "mariadb": "MEDIUMBLOB"}.get(kind, "BLOB")
        comment = "COMMENT 'what the call sent and got back, in order: see llm_operation_messages'"
        with engine.begin() as connection:
            added = f"ALTER TABLE llm_operations ADD COLUMN message_ids_new {blob}"
            connection.exec_driver_sql(f"{added} {comment}" if kind == "mariadb" else added)
    with engine.connect() as connection:
        view = _sorted(connection, VIEW)
    assert view == fresh["llm_operation_messages"]
    assert versions.migrate(engine) == ["0004"]
    assert _everything(engine) == fresh
    assert _deliver(url) == fresh
    versions.migrate(engine, "0003")
    with engine.connect() as connection:
        assert _sorted(connection, ARRAYS) == fresh["llm_operations"]
        assert _sorted(connection, VIEW) == fresh["llm_operation_messages"]
    engine.dispose()


def test_empty_arrays_and_more_rows_than_a_portion(url: str) -> None:
    """Every row is converted, however many there are; an empty array stays empty."""
    moment, session = datetime(2026, 1, 1, tzinfo=UTC), str(uuid.UUID(int=1))
    row = {"session_id": session, "timestamp": moment, "operation_type": "chat", "status": "ok", "input_messages": 0}
    rows: Rows = [
        row | {"operation_id": str(uuid.UUID(int=n + 1)), "message_ids": [str(uuid.UUID(int=n))] * (n % 3)}
        for n in range(MANY)
    ]
    engine = create_engine(url)
    sessions = [{"session_id": session, "created_at": moment, "last_seen_at": moment}]
    _as_0003(engine, {"llm_sessions": sessions, "llm_operations": rows})
    versions.migrate(engine)
    with engine.connect() as connection:
        stored = {row.operation_id: row.message_ids for row in connection.execute(sa.select(PACKED))}
        unfolded = connection.scalar(sa.select(sa.func.count()).select_from(VIEW))
    engine.dispose()
    assert stored == {row["operation_id"]: row["message_ids"] for row in rows}
    assert unfolded == sum(len(row["message_ids"]) for row in rows)
