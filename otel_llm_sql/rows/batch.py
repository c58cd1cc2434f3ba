"""RowBatch: the rows to insert, update and delete in one transaction.

A new row is a tuple in the order of its table's COLUMNS; a change is a dict. JSON is text, timestamps are microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from otel_llm_sql.records import Message
from otel_llm_sql.rows.facts import VALUES
from otel_llm_sql.rows.known import Row

NewRow = tuple[Any, ...]

COLUMNS: dict[str, tuple[str, ...]] = {
    "llm_sessions": (
        "session_id",
        "session_key",
        "workspace",
        "agent_id",
        "user_id",
        "created_at",
        "last_seen_at",
        "metadata",
        "provenance",
    ),
    "llm_operations": (
        "operation_id",
        "session_id",
        *VALUES,
        "trace_id",
        "span_id",
        "parent_span_id",
        "extras",
        "input_messages",
        "message_ids",
    ),
    "llm_tool_definitions": ("tool_definitions_id", "session_id", "definitions"),
    "llm_messages": (
        "message_id",
        "operation_id",
        "role",
        "content",
        "sequence_number",
        "direction",
        "parts",
        "tool_call_id",
        "tool_name",
        "finish_reason",
        "timestamp",
    ),
    "llm_spans": (
        "trace_id",
        "span_id",
        "operation_id",
        "parent_span_id",
        "span_name",
        "scope_name",
        "session_key",
        "workspace",
        "facts",
        "user_id",
    ),
}
"""Columns of each table, the key first. The tables stand in the order in which rows may be inserted, so that no foreign
key is ever in the way."""

TABLES = tuple(COLUMNS)

KEYS = {table: columns[: 2 if table == "llm_spans" else 1] for table, columns in COLUMNS.items()}
"""Primary keys: rows are written in their order, so that writers never wait for each other in a circle."""


@dataclass(slots=True)
class RowBatch:
    """What one transaction changes.

    Attributes:
        inserts: new rows, by table.
        updates: whole rows that exist already; of a message only its key and what follows its owner.
        deletes: primary keys that are gone, by table.
        notes: what is, or was, cut of the operations that are written: see `rows.notes`.
        repeated: messages that are carried again and stored already, by id.
        duplicates: how many signals said nothing new.
    """

    inserts: dict[str, list[NewRow]] = field(default_factory=lambda: {table: [] for table in TABLES})
    updates: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in TABLES})
    deletes: dict[str, list[str]] = field(default_factory=lambda: {table: [] for table in TABLES})
    notes: dict[str, dict[str, int]] = field(default_factory=dict)
    repeated: Mapping[str, Message] = field(default_factory=dict)
    duplicates: int = 0

    def put(self, table: str, row: NewRow, *, exists: bool) -> None:
        """Insert a row, or update the one that exists."""
        if exists:
            self.updates[table].append(named(table, row))
        else:
            self.inserts[table].append(row)

    def sort(self) -> None:
        """Bring all rows into the order of their keys."""
        for table, keys in KEYS.items():
            self.inserts[table].sort(key=itemgetter(*range(len(keys))))
            self.updates[table].sort(key=itemgetter(*keys))
            self.deletes[table].sort()


def named(table: str, row: NewRow) -> Row:
    """The values of a row by column."""
    return dict(zip(COLUMNS[table], row, strict=True))
