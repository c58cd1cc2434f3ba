"""Whether an Operation can be stored as it stands in SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from otel_llm_sql.records import Message, Operation
from otel_llm_sql.schema import tables

_JSON = ("extras", "metadata", "tool_definitions", "parts")


def problems(operation: Operation) -> list[str]:
    """What would keep the operation or one of its messages from being stored."""
    found = [*_record(operation, tables.operations), *_record(operation, tables.sessions)]
    for message in operation.messages:
        found += _record(message, tables.messages)
    if not -62_135_596_800_000_000 <= operation.timestamp <= 253_402_300_799_999_999:
        found.append("timestamp")
    return found


def _record(record: Operation | Message, table: Any) -> Iterator[str]:
    for column in table.columns:
        value = getattr(record, column.name, None)
        if value is None or column.name in ("timestamp", "session_id"):
            continue
        if column.name in _JSON:
            yield from (f"{column.name}: {problem}" for problem in _json(value, 1))
        elif isinstance(value, str):
            limit = getattr(column.type, "length", None)
            yield from (f"{column.name}: {problem}" for problem in _text(value))
            if limit is not None and len(value) > limit:
                yield f"{column.name}: {len(value)} > {limit} characters"
        elif isinstance(value, (int, float)):
            yield from (f"{column.name}: {problem}" for problem in _json(value, 1))
        else:
            yield f"{column.name}: {type(value)}"


def _json(value: Any, depth: int) -> Iterator[str]:
    if depth > 30 and isinstance(value, (dict, list)):
        yield "too deep"
    elif type(value) is dict:
        for key, item in value.items():
            yield from _text(key) if type(key) is str else ("key",)
            yield from _json(item, depth + 1)
    elif type(value) is list:
        for item in value:
            yield from _json(item, depth + 1)
    else:
        yield from _scalar(value)


def _scalar(value: Any) -> Iterator[str]:
    if type(value) is str:
        yield from _text(value)
    elif type(value) is float:
        if not math.isfinite(value):
            yield "not finite"
    elif type(value) is int:
        if not -(2**63) <= value < 2**63:
            yield "beyond 64 bits"
    elif value is not None and type(value) is not bool:
        yield str(type(value))


def _text(value: str) -> Iterator[str]:
    if "\0" in value:
        yield "NUL"
    if value.encode("utf-8", "replace").decode() != value and any("\ud800" <= char <= "\udfff" for char in value):
        yield "surrogate"
