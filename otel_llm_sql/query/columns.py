"""Rows as a driver gives them -> named columns of one kind each, the same on every database. Knows no Polars.

The kind of a column is what the driver says; where it says nothing (SQLite), or where a column holds nothing, the
column's name decides, if it is or contains one of ours; else the values do. No value is cut: a column whose values
have no common kind is text.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeAlias

import orjson
import sqlalchemy as sa

from otel_llm_sql.errors import QueryError
from otel_llm_sql.schema.tables import metadata
from otel_llm_sql.schema.types import Json, References, Timestamp

Kind: TypeAlias = Literal[
    "text", "json", "integer", "float", "boolean", "timestamp", "date", "time", "interval", "binary", "number"
]
"""`number` is an exact decimal: integer where no value has a fraction, else float."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a result.

    Attributes:
        name: unique within the result.
        kind: what all values are; never `number`.
        values: None, str, int, float, bool, bytes, aware UTC datetime, date, time or timedelta. JSON is text in any
            spelling: see `canonical`.
    """

    name: str
    kind: Kind
    values: list[Any]


def _kind_of(column: sa.Column[Any]) -> Kind:
    if isinstance(column.type, Json):
        return "json"
    if isinstance(column.type, References):
        return "binary"
    if isinstance(column.type, Timestamp):
        return "timestamp"
    if isinstance(column.type, sa.Integer):
        return "integer"
    return "float" if isinstance(column.type, sa.Float) else "text"


KNOWN: Mapping[str, Kind] = {
    **{c.name: _kind_of(c) for table in metadata.tables.values() for c in table.columns},
    "day": "date",  # of the view
}
"""The kind of every column of our tables, by name; and of what our views have beside them."""

_CONTAINED: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"(^|_)(avg|average|mean|median|share|ratio|rate|pct|percent|p\d+)(_|\b)|avg\("), "float"),
    (re.compile(r"cost|price|usd"), "float"),
    (re.compile(r"tokens|latency|count|(^|_)(number|operations|requests|errors|calls|sessions|ms)(_|$)"), "integer"),
    (re.compile(r"timestamp|_(at|time)$|(^|_)(first|last)_seen"), "timestamp"),
)
_MYSQL_CODES: Mapping[object, Kind] = {
    **dict.fromkeys((1, 2, 3, 8, 9, 13), "integer"),
    **dict.fromkeys((4, 5), "float"),
    **dict.fromkeys((0, 246), "number"),
    **dict.fromkeys((7, 12), "timestamp"),
    10: "date",
    11: "interval",
    16: "binary",
    245: "json",
}
_TYPE_CODES: Mapping[str, Mapping[object, Kind]] = {
    "postgresql": {
        **dict.fromkeys((20, 21, 23, 26), "integer"),
        **dict.fromkeys((700, 701), "float"),
        **dict.fromkeys((1114, 1184), "timestamp"),
        **dict.fromkeys((114, 3802), "json"),
        **dict.fromkeys((25, 1042, 1043, 2950, 19), "text"),
        1700: "number",
        16: "boolean",
        1082: "date",
        1083: "time",
        1186: "interval",
        17: "binary",
    },
    "mysql": _MYSQL_CODES,
    "mariadb": _MYSQL_CODES,
}
"""What type codes in `cursor.description` mean: OIDs of PostgreSQL, field types of MySQL (its protocol's numbers)."""

_PYTHON: tuple[tuple[frozenset[type], Kind], ...] = (
    (frozenset({str}), "text"),
    (frozenset({bool}), "boolean"),
    (frozenset({int, bool}), "integer"),
    (frozenset({Decimal, int}), "number"),
    (frozenset({float, int, Decimal}), "float"),
    (frozenset({bytes, bytearray, memoryview}), "binary"),
    (frozenset({datetime.datetime}), "timestamp"),
    (frozenset({datetime.date}), "date"),
    (frozenset({datetime.time}), "time"),
    (frozenset({datetime.timedelta}), "interval"),
    (frozenset({dict, list}), "json"),
)
_STORED_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")
_BATCH = 600
_INT64 = 2**63
_EXACT_FLOAT = 2**53


def fetched(cursor: Any) -> list[list[Any]]:
    """All values of a cursor (PEP 249), by column.

    Rows are let go of batch by batch: Python's cyclic garbage collector walks over every row that is alive.
    """
    columns: list[list[Any]] = [[] for _ in cursor.description]
    while rows := cursor.fetchmany(_BATCH):
        for column, values in zip(columns, zip(*rows, strict=True), strict=True):
            column.extend(values)
    return columns


def typed(description: Sequence[Sequence[Any]], values: Sequence[list[Any]], dialect: str) -> list[Column]:
    """Give every column of a result its kind, and its values in that kind.

    Args:
        description: the cursor's (PEP 249): name and type code of each column.
        values: those of each column, as the driver gave them.
        dialect: the database's name in SQLAlchemy.
    """
    codes = _TYPE_CODES.get(dialect, {})
    names = unique(str(column[0]) for column in description)
    told = (codes.get(column[1]) for column in description)
    return [_column(*column) for column in zip(names, told, values, strict=True)]


def of_shape(shape: Mapping[str, Kind], values: Sequence[list[Any]]) -> list[Column]:
    """The columns of a result whose kinds are known.

    Raises:
        QueryError: a column holds what does not belong there.
    """
    columns = []
    for (name, kind), column in zip(shape.items(), values, strict=True):
        converted = _converted(kind, column, set(map(type, column)) - {type(None)})
        if converted is None:
            raise QueryError(f"column {name} holds values that are not {kind}: read it with query_db()")
        columns.append(Column(name, kind, converted))
    return columns


def unique(names: Iterable[str]) -> list[str]:
    """The names, each once: the second `session_id` becomes `session_id_2`."""
    found: dict[str, None] = {}
    for name in names:
        number, free = 1, name
        while free in found:
            number += 1
            free = f"{name}_{number}"
        found[free] = None
    return list(found)


def named_kind(name: str) -> Kind | None:
    """The kind of the column of ours that a name is, or seems to be made from; None where it says nothing."""
    name = name.lower()
    if name in KNOWN:
        return KNOWN[name]
    return next((kind for pattern, kind in _CONTAINED if pattern.search(name)), None)


def _column(name: str, told: Kind | None, values: list[Any]) -> Column:
    types = set(map(type, values)) - {type(None)}
    if not types:
        empty = named_kind(name) or told or "text"
        return Column(name, "float" if empty == "number" else empty, list(values))
    for kind in (told, _by_name(name, types), _by_values(types, values), "text"):
        if kind is None:
            continue
        chosen = _exact(values) if kind == "number" else kind
        converted = _converted(chosen, values, types)
        if converted is not None:
            return Column(name, chosen, converted)
    raise AssertionError("text takes every value")


def _by_name(name: str, types: set[type]) -> Kind | None:
    """What the name says, where values may be that: the driver said nothing."""
    kind = named_kind(name)
    fits: Mapping[Kind | None, set[type]] = {
        "float": {int, float, Decimal},
        "timestamp": {str, datetime.datetime},
        "date": {str},
    }
    if kind == "json" and name.lower() in KNOWN:
        return kind
    return kind if types <= fits.get(kind, set()) else None


def _by_values(types: set[type], values: Sequence[Any]) -> Kind | None:
    if types == {str} and all(v is None or _STORED_TIME.fullmatch(v) for v in values):
        return "timestamp"
    return next((kind for allowed, kind in _PYTHON if types <= allowed), None)


def _exact(values: Sequence[Any]) -> Kind:
    scales = (v.as_tuple().exponent for v in values if isinstance(v, Decimal))
    return "integer" if all(isinstance(scale, int) and scale >= 0 for scale in scales) else "float"


def _converted(kind: Kind, values: list[Any], types: set[type]) -> list[Any] | None:
    """The values in that kind, None where one of them is not of it."""
    if types == _AS_IT_IS.get(kind) and (kind != "integer" or _within(values)):
        return values
    convert = _CONVERT[kind]
    try:
        return [None if value is None else convert(value) for value in values]
    except (ValueError, TypeError, AttributeError, OverflowError):
        return None


def _within(numbers: list[int | None]) -> bool:
    known = [number for number in numbers if number is not None]
    return min(known) >= -_INT64 and max(known) < _INT64


def _integer(value: Any) -> int:
    number = int(value)
    if isinstance(value, str | bytes) or number != value or not -_INT64 <= number < _INT64:
        raise ValueError(value)
    return number


def _float(value: Any) -> float:
    if isinstance(value, str | bytes) or (isinstance(value, int) and abs(value) > _EXACT_FLOAT):
        raise ValueError(value)
    return float(value)


def _timestamp(value: Any) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(value) if isinstance(value, str) else value
    if moment.tzinfo is None:
        return moment.replace(tzinfo=datetime.UTC)
    return moment.astimezone(datetime.UTC)


def _date(value: Any) -> datetime.date:
    day = datetime.datetime.strptime(value, "%Y-%m-%d").date() if isinstance(value, str) else value  # noqa: DTZ007
    if not isinstance(day, datetime.date):
        raise TypeError(value)
    return day


def _text(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    return _json(value) if isinstance(value, dict | list) else str(value)


def _json(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def _only(*types: type) -> Callable[[Any], Any]:
    def same(value: Any) -> Any:
        if not isinstance(value, types):
            raise TypeError(value)
        return value

    return same


_AS_IT_IS: Mapping[Kind, set[type]] = {
    "text": {str},
    "json": {str},
    "integer": {int},
    "float": {float},
    "boolean": {bool},
    "binary": {bytes},
}
_CONVERT: Mapping[Kind, Callable[[Any], Any]] = {
    "text": _text,
    "json": _json,
    "integer": _integer,
    "float": _float,
    "boolean": _only(bool),
    "timestamp": _timestamp,
    "date": _date,
    "time": _only(datetime.time),
    "interval": _only(datetime.timedelta),
    "binary": lambda value: bytes(_only(bytes, bytearray, memoryview)(value)),
}
