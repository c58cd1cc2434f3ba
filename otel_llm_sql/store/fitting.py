"""Values that are larger than a statement may be: MySQL drops the connection on them, which looks like an outage (F25).

What is cut is flagged in `extras` of operations (`rows.notes`): nothing is cut silently, and nothing is tried for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
import sqlalchemy as sa

from otel_llm_sql.references import unpacked
from otel_llm_sql.rows import COLUMNS, TABLES, Row, RowBatch, named
from otel_llm_sql.rows.notes import Sizes, note, with_notes
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
    """Cut what no statement can carry, and note it.

    Args:
        batch: the rows to be written, in place.
        limit: bytes the values of one row may take together, escaped.
    """
    cut = _repeated(batch, limit)
    for table in TABLES:
        inserts = batch.inserts[table]
        for index, new in enumerate(inserts):
            if not _is_small(new, limit):
                row = named(table, new)
                _note(batch, cut, table, row, fit_row(row, limit))
                inserts[index] = tuple(row.values())
        for row in batch.updates[table]:
            _note(batch, cut, table, row, fit_row(row, limit))
    if cut:
        _note_messages(batch, cut)


def _repeated(batch: RowBatch, limit: int) -> dict[str, Sizes]:
    """What was cut of messages, by id, when somebody else told them."""
    cut: dict[str, Sizes] = {}
    for message_id, message in batch.repeated.items():
        parts = None if message.parts is None else orjson.dumps(message.parts).decode()
        if sizes := fit_row({"content": message.content, "parts": parts}, limit):
            cut[message_id] = sizes
    return cut


def _note(batch: RowBatch, cut: dict[str, Sizes], table: str, row: Row, sizes: Sizes) -> None:
    """Remember what was cut of a row: for its operation; of a message for all that carry it."""
    if not sizes:
        return
    if table == "llm_messages":
        cut[row["message_id"]] = sizes
    elif "operation_id" in row:
        note(batch.notes, row["operation_id"], {f"{table}.{name}": size for name, size in sizes.items()})


def _note_messages(batch: RowBatch, cut: Mapping[str, Sizes]) -> None:
    """Whoever owns a message, every operation that carries it tells that it was cut: owners change."""
    new = [named("llm_operations", row) for row in batch.inserts["llm_operations"]]
    for row in (*new, *batch.updates["llm_operations"]):
        for message_id in cut.keys() & unpacked(row["message_ids"] or b""):
            sizes = cut[message_id]
            note(batch.notes, row["operation_id"], {f"llm_messages.{name}": size for name, size in sizes.items()})


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


def flag(batch: RowBatch) -> None:
    """List in the extras of operations what is cut, or was when they were written before."""
    if not batch.notes:
        return
    at = COLUMNS["llm_operations"].index("extras")
    inserts = batch.inserts["llm_operations"]
    for index, row in enumerate(inserts):
        if sizes := batch.notes.get(row[0]):
            inserts[index] = (*row[:at], with_notes(row[at], sizes), *row[at + 1 :])
    for change in batch.updates["llm_operations"]:
        if sizes := batch.notes.get(change["operation_id"]):
            change["extras"] = with_notes(change["extras"], sizes)
