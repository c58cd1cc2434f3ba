"""Recordings that are not in the corpus (`tests/recordings_fresh`): other versions, combinations and scenarios.

Each was made with real clients and instrumentations and a stand-in server. Its `expected.json` has of each call what
the server knows and the telemetry tells; a fact that stands nowhere in the recording is left out.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from otel_llm_sql.intake.otlp import signals_from_logs, signals_from_traces
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.pipeline import Pipeline
from otel_llm_sql.records import AGGREGATES
from otel_llm_sql.schema.tables import operations, sessions
from otel_llm_sql.settings import Settings
from otel_llm_sql.store.engines import create_engine

FOLDER = Path(__file__).parent / "recordings_fresh"
NAMES = sorted(path.name for path in FOLDER.iterdir())
READERS = {"traces.pb": signals_from_traces, "logs.pb": signals_from_logs}

SAID = """
SELECT m.content FROM llm_operation_messages r JOIN llm_messages m ON m.message_id = r.message_id
WHERE r.operation_id = :id AND r.direction = :direction AND m.role = :role
ORDER BY r.sequence_number
"""
SIDES = {"question": ("input", "user"), "answer": ("output", "assistant")}


def signals(name: str) -> list[Signal]:
    """What was recorded."""
    files = [(FOLDER / name / file, read) for file, read in READERS.items()]
    return [signal for file, read in files if file.exists() for signal in read(file.read_bytes())]


def stored(url: str, batches: list[list[Signal]]) -> list[dict[str, Any]]:
    """The calls as they stand in the database, each with its session, its questions and its answers."""
    pipeline = Pipeline(Settings(url=url, timeout=60))
    for batch in batches:
        pipeline.deliver(batch)
    assert pipeline.dropped == 0
    pipeline.close()
    engine = create_engine(url)
    told = (sessions.c.session_key, sessions.c.user_id.label("user_of_session"))
    of_session = sa.select(operations, *told).join_from(operations, sessions)
    with engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(of_session).mappings()]
        for row in rows:
            for side, (direction, role) in SIDES.items():
                asked = {"id": row["operation_id"], "direction": direction, "role": role}
                row[side] = [text or "" for text in connection.scalars(sa.text(SAID), asked)]
    engine.dispose()
    return [row for row in rows if row["operation_type"] not in AGGREGATES]


def shuffled(told: list[Signal]) -> list[list[Signal]]:
    """In small batches, some twice."""
    chance = random.Random(len(told))
    mixed = told + chance.sample(told, len(told) // 3)
    chance.shuffle(mixed)
    return [mixed[start : start + 3] for start in range(0, len(mixed), 3)]


def missing(expected: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The expected calls for which no row of its own is right."""
    left, wrong = list(rows), []
    for call in expected:
        row = next((row for row in left if {key: row[key] for key in call} == call), None)
        if row is None:
            wrong.append(call)
        else:
            left.remove(row)
    return wrong


@pytest.mark.parametrize("way", ["at once", "one by one", "reversed", "shuffled"])
@pytest.mark.parametrize("name", NAMES)
def test_what_was_recorded_elsewhere(url: str, name: str, way: str) -> None:
    """Each call is one row that says what the server knows of it, in whichever order its spans arrive."""
    told = signals(name)
    single = [[signal] for signal in told]
    ways = {"at once": [told], "one by one": single, "reversed": single[::-1], "shuffled": shuffled(told)}
    rows = stored(url, ways[way])
    expected = json.loads((FOLDER / name / "expected.json").read_text())
    assert missing(expected["calls"], rows) == []
    assert len(rows) == len(expected["calls"])
    assert {row["session_key"] for row in rows} == {expected["session_key"]}
    assert {row["user_id"] for row in rows} == {expected["user_id"]}
    assert {row["user_of_session"] for row in rows} == {expected["user_id"]}
