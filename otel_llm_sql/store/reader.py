"""What the database knows: `rows.Known` over a connection. Timestamps come as microseconds, JSON as Python values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa

from otel_llm_sql.rows import Carrier, Owner, Row
from otel_llm_sql.rows.agreement import GENERATING
from otel_llm_sql.rows.failures import LIBRARY
from otel_llm_sql.rows.twins import CALLBACKS
from otel_llm_sql.schema import tables as t
from otel_llm_sql.store.dialects import ASKED, Among, Dialect
from otel_llm_sql.store.inserts import EPOCH, MICROSECOND, MILLISECOND, TIMES
from otel_llm_sql.store.marks import has_callbacks

_PER_QUESTION = 5000
"""Values in one IN list: below every database's limit on parameters (asyncpg 32,767; the smallest)."""

_LONGEST = timedelta(minutes=15)
"""A call that lasts longer is not looked for by the clock when its twin inside it arrives later."""

_LASTING = {"seconds": timedelta(seconds=5), "minutes": _LONGEST, "day": timedelta(days=1)}
"""Who began so long ago may still be under way if they lasted at least as long as the step before."""

_EARLIEST = (datetime(1, 1, 3, tzinfo=UTC) - EPOCH) // MICROSECOND
"""Microseconds since the epoch: from here on a day earlier is still a date."""

_LIGHT = [c for c in t.spans.columns if c.name != "facts"]


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def _row(mapping: Any) -> Row:
    row = dict(mapping)
    for name in TIMES & row.keys():
        row[name] = _microseconds(row[name])
    return row


class Questions:
    """The questions as statements, made once: to put one together takes as long as to have it answered.

    Args:
        among: how this kind of database is asked about many values.
    """

    def __init__(self, among: Among) -> None:
        o, m, d = t.operations.c, t.messages.c, t.tool_definitions.c
        isin = among.condition
        self.spans = sa.select(*_LIGHT).where(isin(t.spans.c.trace_id))
        self.operations = sa.select(t.operations).where(isin(o.operation_id))
        self.spans_of_operations = sa.select(t.spans).where(isin(t.spans.c.operation_id))
        self.sessions = sa.select(t.sessions).where(isin(t.sessions.c.session_id))
        self.messages = sa.select(t.messages).where(isin(m.message_id))
        self.kept = sa.select(t.spans.c.operation_id, t.spans.c.facts).where(isin(t.spans.c.operation_id))
        self.definitions = sa.select(d.tool_definitions_id, d.definitions).where(isin(d.tool_definitions_id))
        # Not by the index on timestamps, of which PostgreSQL thinks that it finds few: it would read all that began
        # lately for each batch. What stands in a function is not looked for in an index.
        begun = sa.func.coalesce(o.timestamp, o.timestamp)
        self.calls = sa.select(o.operation_id).where(isin(o.response_id), _under_way(begun))
        self.owners = (
            sa.select(m.message_id, m.operation_id, m.timestamp, o.operation_type, m.tool_name)
            .join_from(t.messages, t.operations, m.operation_id == o.operation_id)
            .where(isin(m.message_id))
        )
        self.extents = (
            sa.select(o.session_id, sa.func.min(o.timestamp), sa.func.max(o.timestamp))
            .where(isin(o.session_id), o.operation_id.not_in(sa.bindparam("without", expanding=True)))
            .group_by(o.session_id)
        )
        self.carriers = sa.select(
            *(o.operation_id, o.session_id, o.timestamp, o.operation_type, o.message_ids, o.input_messages),
            *(o.finish_reason, o.agent_name, o.user_id, o.extras),
        ).where(isin(o.session_id))
        self.surroundings = _surroundings(isin(o.session_id))
        self._by_the_clock()

    def _by_the_clock(self) -> None:
        """The questions for calls that only the clock ties to others."""
        o = t.operations.c
        self.unlinked = (
            sa.select(o.operation_id)
            .join_from(t.operations, t.spans, t.spans.c.operation_id == o.operation_id)
            .where(_under_way(o.timestamp), o.timestamp >= _moment("minutes"), o.parent_span_id.is_(None))
            .where(t.spans.c.scope_name.contains(sa.bindparam("library")))
        )
        # Not the operation's own parent: it is the innermost span's, which may be a span of the same operation.
        root = sa.exists().where(t.spans.c.operation_id == o.operation_id, t.spans.c.parent_span_id.is_(None))
        self.without_parent = _begun(root)
        told = sa.exists().where(t.spans.c.operation_id == o.operation_id, t.spans.c.scope_name.contains(CALLBACKS))
        self.told_by_callbacks = _begun(told)
        self.failed = _begun(sa.and_(o.status == "error", root.where(t.spans.c.scope_name.contains(LIBRARY))))


def _moment(name: str) -> sa.BindParameter[datetime]:
    return sa.bindparam(name, type_=t.operations.c.timestamp.type)


def _under_way(begun: sa.ColumnElement[datetime]) -> sa.ColumnElement[bool]:
    """Whether an operation was under way: begun before `until`, and not over long before: see `_stretch`."""
    c = t.operations.c
    # Whoever answers every call with one constant id (test servers, caches) makes this a flood: of what started
    # earlier, only a call that lasted may still have been under way.
    lasted: list[sa.ColumnElement[bool]] = []
    lasting: sa.ColumnElement[bool] = sa.true()
    for name, step in _LASTING.items():
        lasted.append(sa.and_(lasting, begun >= _moment(name)))
        lasting = c.latency_ms >= step // MILLISECOND
    return sa.and_(begun <= _moment("until"), sa.or_(*lasted, lasting))


def _begun(condition: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Operations that generate something and began between `since` and `until`."""
    c = t.operations.c
    generating = c.operation_type.in_(sorted(GENERATING))
    return sa.select(c.operation_id).where(
        c.timestamp.between(_moment("since"), _moment("until")), generating, condition
    )


def _surroundings(condition: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """All spans of the traces in which these operations stand."""
    told, around = t.spans, t.spans.alias("around")
    traces = (
        sa.select(told.c.trace_id)
        .join_from(t.operations, told, told.c.operation_id == t.operations.c.operation_id)
        .where(condition)
    )
    return sa.select(*(around.c[column.name] for column in _LIGHT)).where(around.c.trace_id.in_(traces))


_questions = cache(Questions)


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
        self._parameter = dialect.among.parameter
        self._questions = _questions(dialect.among)
        self._require_traces = require_traces

    def _ask(self, question: sa.Select[Any], ids: Collection[str], **more: Any) -> Iterator[sa.Row[*tuple[Any, ...]]]:
        ordered = sorted(ids)
        for start in range(0, len(ordered), _PER_QUESTION):
            asked = self._parameter(ordered[start : start + _PER_QUESTION])
            yield from self._connection.execute(question, {ASKED: asked, **more})

    def spans(self, trace_ids: Collection[str]) -> list[Row]:
        """Rows of `llm_spans` without `facts`."""
        self._require_traces(trace_ids)
        return [dict(row._mapping) for row in self._ask(self._questions.spans, trace_ids)]

    def calls(self, response_ids: Collection[str], since: int, until: int) -> set[str]:
        """Ids of operations with these response ids that were under way in this stretch of time (microseconds)."""
        return {row[0] for row in self._ask(self._questions.calls, response_ids, **_stretch(since, until))}

    def unlinked(self, library: str, since: int, until: int) -> set[str]:
        """Ids of operations without a parent, of instrumentations of a library, under way in this stretch of time."""
        asked = {"library": library, **_stretch(since, until)}
        return set(self._connection.scalars(self._questions.unlinked, asked))

    def without_parent(self, since: int, until: int) -> set[str]:
        """Ids of operations that generate something, began in this stretch of time and have a span without a parent."""
        return set(self._connection.scalars(self._questions.without_parent, _between(since, until)))

    def told_by_callbacks(self, since: int, until: int) -> set[str]:
        """The same of operations, wherever they stand, of which a span of `twins.CALLBACKS` tells."""
        if not has_callbacks(self._connection):
            return set()
        return set(self._connection.scalars(self._questions.told_by_callbacks, _between(since, until)))

    def failed(self, since: int, until: int) -> set[str]:
        """The same of those that failed, where that span is of `failures.LIBRARY`."""
        return set(self._connection.scalars(self._questions.failed, _between(since, until)))

    def operations(self, operation_ids: Collection[str]) -> tuple[list[Row], list[Row]]:
        """Whole rows of `llm_operations`, and of the `llm_spans` that tell about them."""
        rows = [_row(row._mapping) for row in self._ask(self._questions.operations, operation_ids)]
        spans = self._ask(self._questions.spans_of_operations, operation_ids)
        return rows, [dict(row._mapping) for row in spans]

    def sessions(self, session_ids: Collection[str]) -> dict[str, Row]:
        """Whole rows of `llm_sessions` by id."""
        return {row.session_id: _row(row._mapping) for row in self._ask(self._questions.sessions, session_ids)}

    def owners(self, message_ids: Collection[str]) -> dict[str, Owner]:
        """Message id -> the operation that owns it."""
        rows = self._ask(self._questions.owners, message_ids)
        return {row[0]: Owner(row[1], _microseconds(row[2]), *row[3:]) for row in rows}

    def messages(self, message_ids: Collection[str]) -> list[Row]:
        """Whole rows of `llm_messages`."""
        return [_row(row._mapping) for row in self._ask(self._questions.messages, message_ids)]

    def kept(self, operation_ids: Collection[str]) -> list[tuple[str, Mapping[str, Any]]]:
        """Operation id and `facts` of the `llm_spans` that tell about these operations and have any."""
        return [(row[0], row[1]) for row in self._ask(self._questions.kept, operation_ids) if row[1]]

    def carriers(self, session_ids: Collection[str]) -> list[Carrier]:
        """All operations of these sessions."""
        return [
            Carrier(**(row._asdict() | {"timestamp": _microseconds(row.timestamp)}) | _without_nulls(row))
            for row in self._ask(self._questions.carriers, session_ids)
        ]

    def surroundings(self, session_ids: Collection[str]) -> list[Row]:
        """Rows of `llm_spans` without `facts`: all of the traces in which operations of these sessions stand."""
        # Their traces need no lock: who changes what an operation tells its session locks that session.
        return [dict(row._mapping) for row in self._ask(self._questions.surroundings, session_ids)]

    def extents(self, session_ids: Collection[str], without: Collection[str]) -> dict[str, tuple[int, int]]:
        """Session id -> earliest and latest timestamp of its operations, but for some of them."""
        rows = self._ask(self._questions.extents, session_ids, without=sorted(without))
        return {row[0]: (_microseconds(row[1]), _microseconds(row[2])) for row in rows}

    def definitions(self, ids: Collection[str]) -> dict[str, Any]:
        """Ids of tool definitions that are stored already -> the definitions."""
        return {row[0]: row[1] for row in self._ask(self._questions.definitions, ids)}


def _stretch(since: int, until: int) -> dict[str, datetime]:
    """The parameters of `_under_way`."""
    first = EPOCH + max(since, _EARLIEST) * MICROSECOND
    return {"until": EPOCH + until * MICROSECOND} | {name: first - step for name, step in _LASTING.items()}


def _between(since: int, until: int) -> dict[str, datetime]:
    return {"since": EPOCH + since * MICROSECOND, "until": EPOCH + until * MICROSECOND}


def _without_nulls(row: sa.Row[Any]) -> dict[str, Any]:
    return {"message_ids": row.message_ids or [], "extras": row.extras or {}}
