"""RowBatch: the rows to insert, update and delete in one transaction. Rows are named, never positional."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]

TABLES = ("llm_sessions", "llm_operations", "llm_tool_definitions", "llm_messages", "llm_spans")
"""Tables in the order in which rows may be inserted, so that no foreign key is ever in the way."""

KEYS = {
    "llm_sessions": ("session_id",),
    "llm_operations": ("operation_id",),
    "llm_tool_definitions": ("tool_definitions_id",),
    "llm_messages": ("message_id",),
    "llm_spans": ("trace_id", "span_id"),
}
"""Primary keys: rows are written in their order, so that writers never wait for each other in a circle."""

MOVES = ("operation_id", "sequence_number", "direction", "finish_reason", "timestamp")
"""Columns of `llm_messages` that follow the owner."""


def _tables() -> dict[str, list[Row]]:
    return {table: [] for table in TABLES}


@dataclass(slots=True)
class RowBatch:
    """What one transaction changes.

    Attributes:
        inserts: new rows, by table.
        updates: whole rows that exist already; of a message only its key and MOVES.
        deletes: primary keys that are gone, by table.
        duplicates: how many signals said nothing new.
    """

    inserts: dict[str, list[Row]] = field(default_factory=_tables)
    updates: dict[str, list[Row]] = field(default_factory=_tables)
    deletes: dict[str, list[str]] = field(default_factory=lambda: {table: [] for table in TABLES})
    duplicates: int = 0

    def put(self, table: str, row: Row, *, exists: bool) -> None:
        """Insert a row, or update the one that exists."""
        (self.updates if exists else self.inserts)[table].append(row)

    def sort(self) -> None:
        """Bring all rows into the order of their keys."""
        for table, names in KEYS.items():
            for rows in (self.inserts[table], self.updates[table]):
                _sort(rows, names)
            self.deletes[table].sort()

    def changes(self) -> Iterable[list[Any]]:
        """All lists of rows and keys."""
        for table in TABLES:
            yield from (self.inserts[table], self.updates[table], self.deletes[table])


def _sort(rows: list[Row], names: tuple[str, ...]) -> None:
    if len(names) == 1:
        rows.sort(key=lambda row: row[names[0]])
    else:
        rows.sort(key=lambda row: tuple(row[name] for name in names))
