"""Values that are larger than a statement may be: MySQL drops the connection on them, which looks like an outage (F25).

What is cut is flagged in the operation's `extras`; nothing is cut silently, and nothing is tried for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
import sqlalchemy as sa

from otel_llm_sql.records import REPAIRED
from otel_llm_sql.rows import COLUMNS, TABLES, Row, RowBatch, named
from otel_llm_sql.store.dialects import Dialect
from otel_llm_sql.store.inserts import DOCUMENTS

_JSON = DOCUMENTS | {"payload"}
"""Columns whose text is JSON, and stays JSON when it is cut."""

_MARGIN = 64 * 1024
"""Bytes of a statement that are not the one large value."""


def statement_limit(connection: sa.Connection, dialect: Dialect) -> int | None:
    """Bytes that one value may take in a statement; None where there is no such limit."""
    if dialect.packet is None:
        return None
    return int(connection.exec_driver_sql(dialect.packet).scalar_one()) - _MARGIN


def fit(batch: RowBatch, limit: int) -> None:
    """Cut what no statement can carry.

    Args:
        batch: the rows to be written, in place.
        limit: bytes the values of one row may take together, escaped.
    """
    cut: dict[str, dict[str, int]] = {}
    for table in TABLES:
        inserts = batch.inserts[table]
        for index, new in enumerate(inserts):
            if not _is_small(new, limit):
                row = named(table, new)
                _note(cut, table, row, fit_row(row, limit))
                inserts[index] = tuple(row.values())
        for row in batch.updates[table]:
            _note(cut, table, row, fit_row(row, limit))
    if cut:
        _flag(batch, cut)


def _note(cut: dict[str, dict[str, int]], table: str, row: Row, sizes: Mapping[str, int]) -> None:
    """Remember for an operation what was cut of its rows."""
    if sizes and "operation_id" in row:
        names = cut.setdefault(row["operation_id"], {})
        names.update((f"{table}.{name}", size) for name, size in sizes.items())


def _is_small(values: Iterable[Any], limit: int) -> bool:
    # Escaping at most doubles a byte, and UTF-8 takes at most four of them for a character.
    return sum([len(value) for value in values if type(value) is str]) * 8 <= limit


def fit_row(row: Row, limit: int) -> dict[str, int]:
    """Cut a row to what one statement can carry, in place; the columns that were cut, and how long they were."""
    if _is_small(row.values(), limit):
        return {}
    texts = {name: value for name, value in row.items() if isinstance(value, str)}
    if sum(map(_escaped, texts.values())) <= limit:
        return {}
    share = limit // len(texts)
    cut = {name: len(text) for name, text in texts.items() if _escaped(text) > share}
    for name in cut:
        row[name] = (_cut_document if name in _JSON else _cut)(texts[name], limit // len(cut) - _MARGIN)
    return cut


def _escaped(text: str) -> int:
    return len(text.encode()) + sum(text.count(sign) for sign in "\\'\"\n\r\0\x1a")


def _cut(text: str, limit: int) -> str:
    while (size := _escaped(text)) > limit:
        text = text[: min(len(text) * limit // size, len(text) - 1)]
    return text


def _cut_document(text: str, limit: int) -> str:
    """JSON of the same shape, whose longest texts are cut until it fits."""
    document, longest = orjson.loads(text), limit
    while _escaped(text) > limit and longest:
        longest //= 2
        text = orjson.dumps(_shortened(document, longest)).decode()
    return text


def _shortened(value: Any, longest: int) -> Any:
    if isinstance(value, str):
        return value[:longest]
    if isinstance(value, list):
        return [_shortened(item, longest) for item in value]
    if isinstance(value, dict):
        return {key: _shortened(item, longest) for key, item in value.items()}
    return value


def _flag(batch: RowBatch, cut: Mapping[str, Mapping[str, int]]) -> None:
    """List in the extras of operations what was cut."""
    at = COLUMNS["llm_operations"].index("extras")
    inserts = batch.inserts["llm_operations"]
    for index, row in enumerate(inserts):
        if sizes := cut.get(row[0]):
            inserts[index] = (*row[:at], _flagged(row[at], sizes), *row[at + 1 :])
    for change in batch.updates["llm_operations"]:
        if sizes := cut.get(change["operation_id"]):
            change["extras"] = _flagged(change["extras"], sizes)


def _flagged(text: str | None, sizes: Mapping[str, int]) -> str:
    extras = orjson.loads(text) if text else {}
    repaired = extras.setdefault(REPAIRED, {})
    for name, size in sizes.items():
        repaired[name] = f"cut from {size} characters: max_allowed_packet"
    return orjson.dumps(extras).decode()
