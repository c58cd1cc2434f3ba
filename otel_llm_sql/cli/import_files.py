"""Store recorded telemetry: files with OTLP requests of traces and logs, as a Collector, an exporter or a test writes.

Protobuf, JSON or JSON Lines, also compressed with gzip or Zstandard: what a file holds is told by its content. It takes
the same way as the exporter's telemetry, so files may come in any order, and again. Metrics are ignored.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from otel_llm_sql.cli import failures
from otel_llm_sql.cli.progress import progress
from otel_llm_sql.errors import LlmSqlError, StoreError
from otel_llm_sql.settings import Settings, load

if TYPE_CHECKING:
    from otel_llm_sql.intake.signal import Signal
    from otel_llm_sql.pipeline import Pipeline

SUMMARY = "store recorded telemetry (files with OTLP traces and logs)"

_COUNTED = ("stored", "duplicate", "ignored", "dead-lettered")

_TOGETHER = 8 * 1024 * 1024
"""Bytes of requests that are stored together: enough for a transaction to be worth it, little enough to hold."""

_FAULTS_SHOWN = 10
"""Of each file: who gave the wrong file is not to be told a million times."""

_PATIENCE = 60.0
"""Seconds that a busy database is given: no application waits for us, and giving up means to begin again."""

_STDIN = "-"


@dataclass(slots=True)
class _Told:
    """What became of a file."""

    counts: list[int] = field(default_factory=lambda: [0] * len(_COUNTED))
    faults: list[str] = field(default_factory=list)
    more_faults: int = 0
    metrics: int = 0

    def fault(self, line: str) -> None:
        if len(self.faults) < _FAULTS_SHOWN:
            self.faults.append(line)
        else:
            self.more_faults += 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's own arguments."""
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="OTLP protobuf, JSON or JSON Lines, plain, .gz or .zst; - reads standard input",
    )


def run(arguments: argparse.Namespace) -> int:
    """Import the files; what cannot be read of one leaves the rest of it, and the others."""
    # What is not stored now still stands in its file: it is not kept anywhere else.
    settings = replace(load(url=arguments.db_uri, schema=arguments.schema), spool="off")
    _require_database(settings)
    from otel_llm_sql.pipeline import Pipeline

    pipeline = Pipeline(replace(settings, timeout=max(settings.timeout, _PATIENCE)))
    try:
        imported = [_import(name, pipeline) for name in arguments.files]
    finally:
        pipeline.close(timeout=0)
    if len(imported) > 1:
        _print("total", [sum(column) for column in zip(*(told.counts for told in imported), strict=True)])
    return failures.FAILURE if any(told.faults for told in imported) else 0


def _require_database(settings: Settings) -> None:
    """A database that does not answer is said before any file is read."""
    from otel_llm_sql.cli.connections import connected, require_current
    from otel_llm_sql.schema import versions

    with connected(settings, role="write") as (_, connection):
        require_current(versions.current_version(connection))


def _import(name: str, pipeline: Pipeline) -> _Told:
    """Import one file and say what became of it."""
    told, before = _Told(), _counts(pipeline)
    try:
        with _opened(name) as file:
            _deliver(file, name, pipeline, told)
    except StoreError:  # the database's fault: it would be the same with the next file
        raise
    except LlmSqlError as error:
        told.fault(failures.line(error))
    except OSError as error:
        told.fault(error.strerror or type(error).__name__)
    told.counts = [now - earlier for now, earlier in zip(_counts(pipeline), before, strict=True)]
    told.counts[_COUNTED.index("ignored")] += told.metrics
    _report(name, told)
    return told


def _opened(name: str) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if name == _STDIN else Path(name).open("rb")


def _deliver(file: BinaryIO, name: str, pipeline: Pipeline, told: _Told) -> None:
    from otel_llm_sql.pipeline import BATCH

    total, done = _size(file), 0
    with progress(name, total) as show:
        for signals, size in _batches(file, told, BATCH):
            done += size
            # A transaction takes so many: the timeout holds for each.
            for start in range(0, len(signals), BATCH):
                pipeline.deliver(signals[start : start + BATCH])
            show(file.tell() if total else done)  # of a compressed file its own bytes count


def _size(file: BinaryIO) -> int:
    """Bytes of a file; 0 where nobody knows before its end."""
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _batches(file: BinaryIO, told: _Told, enough: int) -> Iterator[tuple[list[Signal], int]]:
    """Signals that are worth a transaction, and how many bytes they took."""
    from otel_llm_sql.intake.otlp_file import entries

    held: list[Signal] = []
    size = 0
    for entry in entries(file):
        held += entry.signals
        size += entry.size
        told.metrics += entry.metrics
        if entry.fault:
            told.fault(entry.fault)
        if len(held) >= enough or size >= _TOGETHER:
            yield held, size
            held, size = [], 0
    yield held, size


def _counts(pipeline: Pipeline) -> list[int]:
    new = pipeline.stored - pipeline.duplicates
    return [new, pipeline.duplicates, pipeline.ignored, pipeline.dead_lettered]


def _report(name: str, told: _Told) -> None:
    for fault in told.faults:
        print(f"otel-llm-sql: {name}: {fault}", file=sys.stderr)
    if told.more_faults:
        print(f"otel-llm-sql: {name}: and {told.more_faults:,} more of the kind", file=sys.stderr)
    if any(told.counts) or not told.faults:
        _print(name, told.counts)


def _print(what: str, counts: list[int]) -> None:
    print(f"{what}: " + ", ".join(f"{count:,} {name}" for count, name in zip(counts, _COUNTED, strict=True)))
