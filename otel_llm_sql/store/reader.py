"""What the database knows: `rows.Known` over a connection. Timestamps come as microseconds, JSON as Python values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from otel_llm_sql.rows import Carrier, Row
from otel_llm_sql.schema import tables as t
from otel_llm_sql.store.dialects import EPOCH, MICROSECOND, MILLISECOND, TIMES, Dialect

_PER_QUESTION = 5000
"""Values in one IN list: below every database's limit on parameters (asyncpg 32,767; the smallest)."""

_LONGEST = timedelta(minutes=15)
"""A call that lasts longer is not looked for when its twin inside it arrives later."""

_LASTING = timedelta(seconds=5)

_LIGHT = [c for c in t.spans.columns if c.name != "facts"]


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def _row(mapping: Any) -> Row:
    row = dict(mapping)
    for name in TIMES & row.keys():
        row[name] = _microseconds(row[name])
    return row


class Reader:
    """Answers `rows.Known` within one transaction.

    Args:
        connection: the writer's connection, its locks held.
        dialect: what differs between databases.
        require_traces: called with trace ids before their spans are read; raises when they are not locked yet.
    """

    def __init__(
        self, connection: sa.Connection, dialect: Dialect, require_traces: Callable[[Collection[str]], None]
    ) -> None:
        self._connection = connection
        self._among = dialect.among
        self._require_traces = require_traces

    def _ask(
        self, select: sa.Select[Any], column: sa.Column[Any], ids: Collection[str]
    ) -> Iterator[sa.Row[*tuple[Any, ...]]]:
        ordered = sorted(ids)
        for start in range(0, len(ordered), _PER_QUESTION):
            asked = ordered[start : start + _PER_QUESTION]
            yield from self._connection.execute(select.where(self._among(column, asked)))

    def spans(self, trace_ids: Collection[str]) -> list[Row]:
        """Rows of `llm_spans` without `facts`."""
        self._require_traces(trace_ids)
        return [dict(row._mapping) for row in self._ask(sa.select(*_LIGHT), t.spans.c.trace_id, trace_ids)]

    def calls(self, response_ids: Collection[str], since: int, until: int) -> set[str]:
        """Ids of operations with these response ids that were under way in this stretch of time (microseconds)."""
        c = t.operations.c
        earliest = EPOCH + since * MICROSECOND
        # Whoever answers every call with one constant id (test servers, caches) makes this a flood: of what started
        # earlier, only a call that lasted may still have been under way.
        under_way = sa.or_(c.timestamp >= earliest - _LASTING, c.latency_ms >= _LASTING // MILLISECOND)
        between = c.timestamp.between(earliest - _LONGEST, EPOCH + until * MICROSECOND)
        select = sa.select(c.operation_id).where(between, under_way)
        return {row[0] for row in self._ask(select, c.response_id, response_ids)}

    def operations(self, operation_ids: Collection[str]) -> tuple[list[Row], list[Row]]:
        """Whole rows of `llm_operations`, and of the `llm_spans` that tell about them."""
        operations = self._ask(sa.select(t.operations), t.operations.c.operation_id, operation_ids)
        rows = [_row(row._mapping) for row in operations]
        spans = self._ask(sa.select(t.spans), t.spans.c.operation_id, operation_ids)
        return rows, [dict(row._mapping) for row in spans]

    def sessions(self, session_ids: Collection[str]) -> dict[str, Row]:
        """Whole rows of `llm_sessions` by id."""
        rows = self._ask(sa.select(t.sessions), t.sessions.c.session_id, session_ids)
        return {row.session_id: _row(row._mapping) for row in rows}

    def owners(self, message_ids: Collection[str]) -> dict[str, tuple[str, int, str]]:
        """Message id -> operation that owns it: id, timestamp, operation type."""
        m, o = t.messages.c, t.operations.c
        select = sa.select(m.message_id, m.operation_id, m.timestamp, o.operation_type).join_from(
            t.messages, t.operations, m.operation_id == o.operation_id
        )
        rows = self._ask(select, m.message_id, message_ids)
        return {row[0]: (row[1], _microseconds(row[2]), row[3]) for row in rows}

    def messages(self, message_ids: Collection[str]) -> list[Row]:
        """Whole rows of `llm_messages`."""
        return [_row(row._mapping) for row in self._ask(sa.select(t.messages), t.messages.c.message_id, message_ids)]

    def carriers(self, session_ids: Collection[str]) -> list[Carrier]:
        """All operations of these sessions."""
        c = t.operations.c
        s = t.spans.c
        naming = sa.func.min(sa.case((s.session_key.is_not(None), s.workspace)))
        workspace = sa.case((sa.func.min(s.session_key).is_not(None), naming), else_=sa.func.min(s.workspace))
        said = [
            sa.select(what).where(s.operation_id == c.operation_id).scalar_subquery().label(name)
            for name, what in (("session_key", sa.func.min(s.session_key)), ("workspace", workspace))
        ]
        select = sa.select(
            *(c.operation_id, c.session_id, c.timestamp, c.operation_type, c.message_ids, c.input_messages),
            *(c.finish_reason, c.agent_name, c.user_id, *said, c.extras),
        )
        return [
            Carrier(**(row._asdict() | {"timestamp": _microseconds(row.timestamp)}) | _without_nulls(row))
            for row in self._ask(select, c.session_id, session_ids)
        ]

    def extents(self, session_ids: Collection[str], without: Collection[str]) -> dict[str, tuple[int, int]]:
        """Session id -> earliest and latest timestamp of its operations, but for some of them."""
        c = t.operations.c
        select = sa.select(c.session_id, sa.func.min(c.timestamp), sa.func.max(c.timestamp)).group_by(c.session_id)
        select = select.where(c.operation_id.not_in(sorted(without)))
        rows = self._ask(select, c.session_id, session_ids)
        return {row[0]: (_microseconds(row[1]), _microseconds(row[2])) for row in rows}

    def definitions(self, ids: Collection[str]) -> dict[str, Any]:
        """Ids of tool definitions that are stored already -> the definitions."""
        c = t.tool_definitions.c
        rows = self._ask(sa.select(c.tool_definitions_id, c.definitions), c.tool_definitions_id, ids)
        return {row[0]: row[1] for row in rows}


def _without_nulls(row: sa.Row[Any]) -> dict[str, Any]:
    return {"message_ids": row.message_ids or [], "extras": row.extras or {}}
