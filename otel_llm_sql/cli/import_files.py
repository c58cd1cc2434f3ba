"""Store recorded telemetry: files with OTLP protobuf requests of traces and logs, as a Collector or a test keeps them.

The same way as the exporter's, so files may come in any order, and again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from otel_llm_sql.cli import failures
from otel_llm_sql.errors import LlmSqlError, SettingsError, StoreError
from otel_llm_sql.settings import Settings, load

if TYPE_CHECKING:
    from otel_llm_sql.intake.signal import Signal
    from otel_llm_sql.pipeline import Pipeline

SUMMARY = "store recorded telemetry (OTLP protobuf files of traces and logs)"

_COUNTED = ("stored", "duplicate", "ignored", "dead-lettered")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's own arguments."""
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="OTLP protobuf (.pb): traces, logs or both")


def run(arguments: argparse.Namespace) -> int:
    """Import the files; one that cannot be read leaves the others."""
    for file in arguments.files:
        if file.suffix.lower() in (".json", ".jsonl"):
            raise SettingsError(f"{file}: OTLP/JSON cannot be imported yet; allowed: OTLP protobuf (.pb)")
    # What is not stored now still stands in its file: it is not kept anywhere else.
    settings = replace(load(url=arguments.db_uri, schema=arguments.schema), spool="off")
    _require_database(settings)
    from otel_llm_sql.pipeline import Pipeline

    pipeline = Pipeline(settings)
    try:
        imported = [_import(file, pipeline) for file in arguments.files]
    finally:
        pipeline.close(timeout=0)
    if len(imported) > 1:
        _print("total", _counts(pipeline))
    return 0 if all(imported) else failures.FAILURE


def _require_database(settings: Settings) -> None:
    """A database that does not answer is said before any file is read."""
    from otel_llm_sql.cli.connections import connected, require_current
    from otel_llm_sql.schema import versions

    with connected(settings, role="write") as (_, connection):
        require_current(versions.current_version(connection))


def _import(file: Path, pipeline: Pipeline) -> bool:
    """Import one file and say what became of it; whether it could be read."""
    from otel_llm_sql.intake.otlp_file import signals_from_file

    before = _counts(pipeline)
    try:
        for batch in _batches(signals_from_file(file.read_bytes())):
            pipeline.deliver(batch)
    except StoreError:  # the database's fault: it would be the same with the next file
        raise
    except LlmSqlError as error:
        print(f"otel-llm-sql: {file}: {failures.line(error)}", file=sys.stderr)
        return False
    except OSError as error:
        print(f"otel-llm-sql: {failures.line(error)}", file=sys.stderr)
        return False
    _print(str(file), [now - earlier for now, earlier in zip(_counts(pipeline), before, strict=True)])
    return True


def _batches(signals: list[Signal]) -> Iterator[list[Signal]]:
    """As many at a time as one transaction takes: the timeout holds for each."""
    from otel_llm_sql.pipeline import BATCH

    return (signals[start : start + BATCH] for start in range(0, len(signals), BATCH))


def _counts(pipeline: Pipeline) -> list[int]:
    new = pipeline.stored - pipeline.duplicates
    return [new, pipeline.duplicates, pipeline.ignored, pipeline.dead_lettered]


def _print(what: str, counts: list[int]) -> None:
    print(f"{what}: " + ", ".join(f"{count:,} {name}" for count, name in zip(counts, _COUNTED, strict=True)))
