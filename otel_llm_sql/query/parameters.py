"""Raw SQL and its parameters -> the text and values a driver takes. Values are bound, never written into the SQL. Pure.

A mapping fills `:name`, a sequence fills `?`; what stands in strings, comments and casts is left alone.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, TypeAlias

import orjson

from otel_llm_sql.errors import QueryError
from otel_llm_sql.query.tokens import Token

Parameters: TypeAlias = Mapping[str, Any] | Sequence[Any]
"""A mapping for `:name`, a sequence for `?`."""

_STYLES: dict[str, Callable[[int], str]] = {
    "qmark": lambda _n: "?",
    "format": lambda _n: "%s",
    "pyformat": lambda _n: "%s",
    "numeric_dollar": lambda n: f"${n}",
    "numeric": lambda n: f":{n}",
}
"""How drivers write the n-th value (PEP 249); `named` ones take a sequence of `?` through SQLite's own driver."""


def bind(tokens: list[Token], parameters: Parameters, paramstyle: str) -> tuple[str, tuple[Any, ...]]:
    """Write SQL in a driver's parameter style.

    Args:
        tokens: the SQL.
        parameters: a mapping for `:name`, a sequence for `?`.
        paramstyle: the driver's, as in PEP 249.

    Returns:
        The SQL and its values, in the order of their places.

    Raises:
        QueryError: values are missing or left over, or the driver's style is not known.
    """
    if paramstyle not in _STYLES:
        raise QueryError(f"parameters are not supported with this driver (paramstyle {paramstyle!r})")
    named = isinstance(parameters, Mapping)
    kind = "parameter" if named else "position"
    places = [token.text[1:] for token in tokens if token.kind == kind]
    values = _named(places, parameters) if isinstance(parameters, Mapping) else _positional(places, parameters)
    number, style = count(1), _STYLES[paramstyle]
    percent = "%%" if "format" in paramstyle else "%"
    sql = "".join(style(next(number)) if t.kind == kind else t.text.replace("%", percent) for t in tokens)
    return sql, values


def plain(value: Any, *, native: bool, aware: bool) -> Any:
    """A value as every driver takes it.

    Args:
        value: what the caller gave.
        native: whether the driver takes dates, times and decimals; else they become text as our tables hold it.
        aware: whether the database keeps time zones; else times become UTC without one.
    """
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, Mapping):
        return orjson.dumps(value, default=str).decode()
    if isinstance(value, datetime.datetime):
        return _moment(value, native=native, aware=aware)
    if native:
        return value
    if isinstance(value, list | tuple | set | frozenset):
        raise QueryError("a parameter is a list, and this database takes none: one place for each value, IN (?, ?)")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return float(value) if isinstance(value, decimal.Decimal) else value


def _moment(value: datetime.datetime, *, native: bool, aware: bool) -> datetime.datetime | str:
    value = value.replace(tzinfo=datetime.UTC) if value.tzinfo is None else value.astimezone(datetime.UTC)
    value = value if aware else value.replace(tzinfo=None)
    return value if native else value.isoformat(" ", "microseconds")


def _named(places: list[str], parameters: Mapping[str, Any]) -> tuple[Any, ...]:
    missing, unused = sorted(set(places) - set(parameters)), sorted(set(map(str, parameters)) - set(places))
    if missing or unused:
        raise QueryError(f"parameters do not fit the SQL: missing {missing}, not in the SQL {unused}")
    return tuple(parameters[name] for name in places)


def _positional(places: list[str], parameters: Sequence[Any]) -> tuple[Any, ...]:
    if isinstance(parameters, str | bytes):
        raise QueryError("params: a mapping for :name or a list for ? is expected, not text")
    if len(places) != len(parameters):
        advice = "; where ? is an operator, use a mapping and :name"
        raise QueryError(f"the SQL has {len(places)} places ? for {len(parameters)} values{advice}")
    return tuple(parameters)
