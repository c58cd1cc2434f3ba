"""Values that are larger than a statement may be: MySQL drops the connection on them, which looks like an outage (F25).

What is cut is flagged in the operation's `extras`; nothing is cut silently, and nothing is tried for ever.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import sqlalchemy as sa

from otel_llm_sql.records import REPAIRED
from otel_llm_sql.rows import Row, RowBatch
from otel_llm_sql.store.dialects import DOCUMENTS, Dialect

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
        limit: bytes one value may take, escaped.
    """
    operations = {row["operation_id"]: row for row in _rows(batch, "llm_operations")}
    for table in batch.inserts:
        for row in _rows(batch, table):
            for name in _too_large(row, limit):
                size = len(row[name])
                row[name] = _stand_in(size) if name in DOCUMENTS else _cut(row[name], limit)
                operation = operations.get(row.get("operation_id", ""))
                if operation is not None and name != "extras":
                    _flag(operation, f"{table}.{name}", f"cut from {size} characters: max_allowed_packet")


def _rows(batch: RowBatch, table: str) -> Iterator[Row]:
    yield from batch.inserts[table]
    yield from batch.updates[table]


def _too_large(row: Row, limit: int) -> list[str]:
    # Escaping at most doubles a byte, and UTF-8 takes at most four of them for a character.
    suspects = (name for name, value in row.items() if isinstance(value, str) and len(value) * 8 > limit)
    return [name for name in suspects if _escaped(row[name]) > limit]


def _escaped(text: str) -> int:
    return len(text.encode()) + sum(text.count(sign) for sign in "\\'\"\n\r\0\x1a")


def _cut(text: str, limit: int) -> str:
    while (size := _escaped(text)) > limit:
        text = text[: min(len(text) * limit // size, len(text) - 1)]
    return text


def _stand_in(size: int) -> str:
    return orjson.dumps({REPAIRED: {"left out": f"{size} characters of JSON: max_allowed_packet"}}).decode()


def _flag(operation: Row, name: str, what: str) -> None:
    extras = orjson.loads(operation["extras"]) if operation["extras"] else {}
    extras.setdefault(REPAIRED, {})[name] = what
    operation["extras"] = orjson.dumps(extras).decode()
