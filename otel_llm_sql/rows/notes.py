"""Notes of what was cut since a database could not carry it whole (`store.fitting`), in `extras` of operations.

Such a note is the database's doing, no part of what was said: it is taken off when a row is read back as evidence, and
stays with the operation when its row is written again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from otel_llm_sql.records import REPAIRED

_NOTE = "cut from {} characters: max_allowed_packet"
_noted = re.compile(_NOTE.format(r"(\d+)")).fullmatch

Sizes = Mapping[str, int]
"""Table and column of what was cut -> how many characters it had."""


def without_notes(extras: dict[str, Any] | None) -> tuple[dict[str, Any] | None, dict[str, int]]:
    """The extras of a stored operation as they were told; and what was cut."""
    if not extras or REPAIRED not in extras:
        return extras, {}
    told = dict(extras)
    repaired = told.pop(REPAIRED)
    sizes = {name: int(match[1]) for name, what in repaired.items() if (match := _noted(what))}
    if repaired := {name: what for name, what in repaired.items() if name not in sizes}:
        told[REPAIRED] = repaired
    return told or None, sizes


def with_notes(extras: str | None, sizes: Sizes) -> str:
    """The extras of an operation that is written, JSON as text, with what was cut."""
    told = orjson.loads(extras) if extras else {}
    told[REPAIRED] = (told.get(REPAIRED) or {}) | {name: _NOTE.format(size) for name, size in sizes.items()}
    return orjson.dumps(told).decode()


def note(notes: dict[str, dict[str, int]], operation_id: str, sizes: Sizes) -> None:
    """Note what was cut of an operation; of several values of a column the longest."""
    known = notes.setdefault(operation_id, {})
    for name, size in sizes.items():
        known[name] = max(size, known.get(name, size))
