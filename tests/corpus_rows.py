"""A case of `tests/corpus` on its real path (OTLP bytes, signals, Pipeline, SQLite), and its rows back."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from otel_llm_sql.intake.otlp import signals_from_logs, signals_from_traces
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.pipeline import Pipeline
from otel_llm_sql.records import AGGREGATES
from otel_llm_sql.schema import versions
from otel_llm_sql.settings import load
from otel_llm_sql.store.engines import create_engine

_OURS = ("could not be read", "could not be stored")
"""Dead letters that are a fault of ours; the others name what the telemetry lacks."""

_MESSAGES = """
SELECT r.operation_id, r.direction, m.role, m.content, m.parts, m.tool_call_id, m.tool_name
FROM llm_operation_messages r JOIN llm_messages m ON m.message_id = r.message_id
ORDER BY r.operation_id, r.sequence_number
"""


@dataclass
class Row:
    """One operation as it stands in the database, with what hangs on it."""

    operation: dict[str, Any]
    session: dict[str, Any]
    messages: list[dict[str, Any]]
    spans: set[str]

    @property
    def is_call(self) -> bool:
        """Whether it counts as a call to a provider."""
        return self.operation["operation_type"] not in AGGREGATES


@dataclass
class Loaded:
    """What became of a case.

    Attributes:
        rows: its operations, by time.
        faults: what went wrong, in words; empty when it loaded.
        changed: tables that a second delivery changed.
        signals: what was delivered.
    """

    rows: list[Row] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)


def empty_database(file: Path) -> Path:
    """A database with the tables and nothing in it, to be copied for each case."""
    engine = create_engine(f"sqlite:///{file}")
    versions.ensure(engine)
    engine.dispose()
    return file


def load_case(folder: Path, empty: Path, file: Path) -> Loaded:
    """Deliver a case to a new database, twice, and read its rows.

    Args:
        folder: where its `traces.pb` and `logs.pb` are.
        empty: the database to begin with.
        file: where the database of the case goes.
    """
    shutil.copyfile(empty, file)
    loaded = Loaded()
    pipeline = Pipeline(load(url=f"sqlite:///{file}", spool="off"))
    try:
        requests = _requests(folder)
        loaded.signals = [signal for request in requests for signal in request]
        for request in requests:
            pipeline.deliver(request)
        first = _tables(file)
        for request in requests:
            pipeline.deliver(request)
        second = _tables(file)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the measure is to report
        loaded.faults.append(f"{type(error).__name__}: {error}")
        return loaded
    finally:
        pipeline.close()
    loaded.changed = [name for name in first if first[name] != second[name]]
    loaded.faults += [letter for letter in _letters(file) if letter.startswith(_OURS)]
    loaded.rows = _rows(file)
    return loaded


def _requests(folder: Path) -> list[list[Signal]]:
    readers = {"traces.pb": signals_from_traces, "logs.pb": signals_from_logs}
    return [read((folder / name).read_bytes()) for name, read in readers.items() if (folder / name).exists()]


def _select(file: Path, statement: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(file)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(statement)]


def _tables(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(file)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in names}


def _letters(file: Path) -> list[str]:
    return [row["reason"] for row in _select(file, "SELECT reason FROM llm_dead_letters")]


def _rows(file: Path) -> list[Row]:
    messages, spans = defaultdict(list), defaultdict(set)
    for message in _select(file, _MESSAGES):
        messages[message["operation_id"]].append(message | {"parts": json.loads(message["parts"] or "null") or []})
    for span in _select(file, "SELECT operation_id, span_id FROM llm_spans"):
        spans[span["operation_id"]].add(span["span_id"])
    sessions = {row["session_id"]: row for row in _select(file, "SELECT * FROM llm_sessions")}
    return [
        Row(
            operation | {"extras": json.loads(operation["extras"] or "{}")},
            sessions[operation["session_id"]],
            messages[operation["operation_id"]],
            spans[operation["operation_id"]],
        )
        for operation in _select(file, "SELECT * FROM llm_operations ORDER BY timestamp, operation_id")
    ]
