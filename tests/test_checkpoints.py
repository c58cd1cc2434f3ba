"""Checkpoints of SQLite files: beside the writer, never in its way."""

from __future__ import annotations

import time
from pathlib import Path

import telemetry

from otel_llm_sql.settings import Settings
from otel_llm_sql.store.writer import Writer


def soon() -> float:
    """A deadline."""
    return time.monotonic() + 30


def test_rows_reach_the_file_while_the_writer_goes_on(tmp_path: Path) -> None:
    """What was committed moves from the log into the file, although nobody closes a connection."""
    file = tmp_path / "llm.db"
    writer = Writer(Settings(url=f"sqlite:///{file}"))
    writer.write([], soon())
    begun = size = file.stat().st_size
    for trace in range(1, 5):
        writer.write(telemetry.conversation(trace, 400, f"talk {trace}"), soon())
    deadline = soon()
    while size < begun + 500_000 and time.monotonic() < deadline:
        time.sleep(0.01)
        size = file.stat().st_size
    assert size >= begun + 500_000
    writer.close()
