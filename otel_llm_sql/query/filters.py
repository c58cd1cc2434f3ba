"""Arguments -> one SELECT over operations and their sessions. Pure: no connection, no dialect.

One row per operation, with its session's key, workspace and agent; chronological, `operation_id` deciding ties.
"""

from __future__ import annotations

import datetime
import math
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypedDict

import sqlalchemy as sa

from otel_llm_sql.errors import QueryError
from otel_llm_sql.records import bounded_key
from otel_llm_sql.schema.tables import messages, operations, sessions

Moment: TypeAlias = str | datetime.date | datetime.datetime
"""A point in time: a datetime, a date, or either in ISO 8601; without a time zone it is UTC."""
Names: TypeAlias = str | Iterable[str]
"""One value, or several of which one must match."""

_EARLIEST, _LATEST = "0001-01-01T00:00:00", "9999-12-31T23:59:59.999999"
_MOST_ROWS = 2**63 - 1
"""The largest LIMIT that every database takes."""

_INTERNAL = ("message_ids", "input_messages")
_SESSION_COLUMNS = (sessions.c.session_key, sessions.c.workspace, sessions.c.agent_id)
_FIRST = (operations.c.operation_id, operations.c.session_id, *_SESSION_COLUMNS)
_REST = tuple(c for c in operations.columns if c.name not in (*_INTERNAL, "operation_id", "session_id"))

COLUMNS: Mapping[str, sa.Column[Any]] = {column.name: column for column in (*_FIRST, *_REST)}
"""The columns of the frame, in order."""
ORDER = ("timestamp", "operation_id")
"""The order of the frame."""
TEXTS = ("input_text", "output_text")
"""The columns that `messages=True` adds."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What to read.

    Attributes:
        columns: the columns that the frame shall have, in order.
        where: the conditions, all of which hold.
        limit: how many rows at most, the newest ones; None for all.
        texts: whether the texts of messages are wanted.
    """

    columns: tuple[str, ...]
    where: tuple[sa.ColumnElement[bool], ...]
    limit: int | None
    texts: bool

    @property
    def selected(self) -> dict[str, sa.Column[Any]]:
        """The columns of the SELECT, by name: those wanted, those that order, and what leads to texts."""
        named = {name: COLUMNS[name] for name in (*ORDER, *self.columns) if name in COLUMNS}
        return named | ({name: operations.c[name] for name in _INTERNAL} if self.texts else {})

    def statement(self, expressions: Sequence[sa.ColumnElement[Any]]) -> sa.Select[Any]:
        """A SELECT of any expressions over the chosen operations, in no order: Polars sorts faster than databases."""
        source = operations.join(sessions, sessions.c.session_id == operations.c.session_id)
        select = sa.select(*expressions).select_from(source)
        if self.limit is None:
            return select.where(*self.where)
        # The newest rows are chosen by their ids first: the server need not sort wide rows twice.
        newest = sa.select(operations.c.operation_id).select_from(source).where(*self.where)
        newest = newest.order_by(*(operations.c[name].desc() for name in ORDER)).limit(self.limit)
        chosen = newest.subquery("newest")
        return select.join(chosen, chosen.c.operation_id == operations.c.operation_id)

    def contents(self, expressions: Sequence[sa.ColumnElement[Any]]) -> sa.Select[Any]:
        """A SELECT of any expressions over all messages of the sessions of the chosen operations.

        A message stands with the first operation of its session that carried it, which may not be among the chosen.
        """
        chosen = self.statement([operations.c.session_id]).subquery("chosen")
        within = operations.alias("within")
        ids = sa.select(within.c.operation_id).where(within.c.session_id.in_(sa.select(chosen.c.session_id)))
        return sa.select(*expressions).where(messages.c.operation_id.in_(ids), messages.c.content.is_not(None))


class Filters(TypedDict, total=False):
    """The arguments of `polars_from_db`; None filters nothing. Several filters must all hold.

    Where several names are given, one must match. A time without a zone is UTC; a date as `end_date` includes that day.
    Tokens are input plus output; an operation without tokens, latency or cost passes no bound on it.
    """

    start_date: Moment | None
    end_date: Moment | None
    provider: Names | None
    model: Names | None
    operation_type: Names | None
    status: Names | None
    session_id: Names | uuid.UUID | None
    workspace: Names | None
    agent_id: Names | None
    action_id: Names | None
    user_id: Names | None
    service_name: Names | None
    trace_id: Names | None
    min_tokens: int | None
    max_tokens: int | None
    min_latency: float | None
    max_latency: float | None
    min_cost: float | None
    limit: int | None
    columns: Names | None
    messages: bool


def selection(
    *, columns: Names | None = None, limit: int | None = None, messages: bool = False, **filters: Any
) -> Selection:
    """Read the arguments of `polars_from_db`.

    Args:
        columns: names of columns, None for all.
        limit: how many rows at most, the newest ones.
        messages: whether to add `input_text` and `output_text`.
        **filters: see `FILTERS`; None filters nothing.

    Raises:
        QueryError: an unknown filter or column, or a value that cannot be one.
    """
    given = {name: value for name, value in filters.items() if value is not None}
    if unknown := sorted(set(given) - set(FILTERS)):
        raise QueryError(f"unknown filter {', '.join(unknown)}; allowed: {_listed(FILTERS)}, columns, limit, messages")
    where = tuple(FILTERS[name](name, value) for name, value in given.items())
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or not 0 <= limit <= _MOST_ROWS):
        raise QueryError(f"limit: {limit!r} was given; allowed: a whole number from 0 to {_MOST_ROWS}")
    wanted = _columns(columns, texts=messages)
    return Selection(wanted, where, limit, messages or bool(set(wanted) & set(TEXTS)))


def _columns(columns: Names | None, *, texts: bool) -> tuple[str, ...]:
    allowed = (*COLUMNS, *TEXTS)
    if columns is None:
        return allowed if texts else tuple(COLUMNS)
    wanted = tuple(dict.fromkeys([columns] if isinstance(columns, str) else columns))
    if unknown := [name for name in wanted if name not in allowed]:
        raise QueryError(f"unknown column {', '.join(map(str, unknown))}; allowed: {_listed(allowed)}")
    if not wanted:
        raise QueryError("columns: an empty list was given; name at least one column, or leave it out for all")
    return wanted + tuple(name for name in TEXTS if texts and name not in wanted)


def moment(name: str, value: Moment, *, end: bool = False) -> datetime.datetime:
    """The first moment that `value` means; with `end`, the last: a date ends with its last microsecond.

    Raises:
        QueryError: it is no date and no time.
    """
    read = _read_moment(name, value) if isinstance(value, str) else value
    if isinstance(read, datetime.datetime):
        try:
            return read.replace(tzinfo=datetime.UTC) if read.tzinfo is None else read.astimezone(datetime.UTC)
        except (OverflowError, ValueError):
            raise QueryError(f"{name}: {read} was given; allowed: {_EARLIEST} to {_LATEST} in UTC") from None
    if not isinstance(read, datetime.date):
        raise QueryError(f"{name}: {value!r} was given; allowed: a date or datetime, or its ISO 8601 text")
    return datetime.datetime.combine(read, datetime.time.max if end else datetime.time.min, datetime.UTC)


def _read_moment(name: str, text: str) -> datetime.date:
    for read in (datetime.date.fromisoformat, datetime.datetime.fromisoformat):
        try:
            return read(text.strip())
        except ValueError:
            continue
    raise QueryError(f"{name}: {text!r} was given; allowed: a date like 2026-01-31, a time like 2026-01-31T12:00:00Z")


Condition: TypeAlias = Callable[[str, Any], sa.ColumnElement[bool]]


def _texts(name: str, value: Any) -> list[str]:
    values = [value] if isinstance(value, str | uuid.UUID) else value
    if not isinstance(values, Iterable) or isinstance(values, bytes | Mapping):
        raise QueryError(f"{name}: {value!r} was given; allowed: text or a list of texts")
    texts = [str(v) if isinstance(v, uuid.UUID) else v for v in values]
    if wrong := [v for v in texts if not isinstance(v, str)]:
        raise QueryError(f"{name}: {wrong[0]!r} was given; allowed: text or a list of texts")
    return texts


def _is(column: sa.ColumnElement[Any], texts: list[str]) -> sa.ColumnElement[bool]:
    return column == texts[0] if len(texts) == 1 else column.in_(texts)


def _among(*columns: sa.ColumnElement[Any]) -> Condition:
    return lambda name, value: sa.or_(*(_is(column, _texts(name, value)) for column in columns))


def _workspace(name: str, value: Any) -> sa.ColumnElement[bool]:
    return _is(sessions.c.workspace, [bounded_key(text) for text in _texts(name, value)])


def _session(name: str, value: Any) -> sa.ColumnElement[bool]:
    """The session's id where the value is a UUID, or the application's own key."""
    texts = _texts(name, value)
    ids = [canonical for canonical in map(_uuid, texts) if canonical]
    key = _is(sessions.c.session_key, [bounded_key(text) for text in texts])
    return sa.or_(_is(operations.c.session_id, ids), key) if ids else key


def _uuid(text: str) -> str | None:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def _trace(name: str, value: Any) -> sa.ColumnElement[bool]:
    """Lower-case hex, as we store it, whatever other tools show."""
    return _is(operations.c.trace_id, [text.lower().replace("-", "") for text in _texts(name, value)])


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise QueryError(f"{name}: {value!r} was given; allowed: a number")
    return value


def _at_least(column: sa.ColumnElement[Any]) -> Condition:
    return lambda name, value: column >= _literal(name, value)


def _at_most(column: sa.ColumnElement[Any]) -> Condition:
    return lambda name, value: column <= _literal(name, value)


def _literal(name: str, value: Any) -> sa.ColumnElement[Any]:
    number = _number(name, value)
    whole = isinstance(number, int) and abs(number) < 2**63
    return sa.literal(number if whole else float(number), sa.BigInteger() if whole else sa.Double())


_TOKENS = sa.func.coalesce(operations.c.input_tokens, operations.c.output_tokens) + sa.case(
    (operations.c.input_tokens.is_(None), 0), else_=sa.func.coalesce(operations.c.output_tokens, 0)
)
FILTERS: Mapping[str, Condition] = {
    "start_date": lambda name, value: operations.c.timestamp >= moment(name, value),
    "end_date": lambda name, value: operations.c.timestamp <= moment(name, value, end=True),
    "provider": _among(operations.c.provider),
    "model": _among(operations.c.model),
    "operation_type": _among(operations.c.operation_type),
    "status": _among(operations.c.status),
    "session_id": _session,
    "workspace": _workspace,
    "agent_id": _among(sessions.c.agent_id),
    "action_id": _among(operations.c.action_id),
    "user_id": _among(operations.c.user_id, sessions.c.user_id),
    "service_name": _among(operations.c.service_name),
    "trace_id": _trace,
    "min_tokens": _at_least(_TOKENS),
    "max_tokens": _at_most(_TOKENS),
    "min_latency": _at_least(operations.c.latency_ms),
    "max_latency": _at_most(operations.c.latency_ms),
    "min_cost": _at_least(operations.c.cost),
}
"""Every filter by its name. Tokens are input plus output; an operation without tokens passes neither bound."""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
