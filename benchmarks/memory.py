"""Resident memory of an application while many spans pass through the exporter, each run in a process of its own.

On SQLite, with both loads of load.py, memory is flat when it grows by less than 20 MB from the moment a fifth has
passed to the end. While the database takes nothing it stays within `backlog_bytes` and a bound for the rest.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import multiprocessing
import resource
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from load import spans
from opentelemetry.sdk.trace import ReadableSpan

from otel_llm_sql.exporter import LlmSqlSpanExporter

BATCH = 512
"""What the SDK's BatchSpanProcessor hands over at once."""

MADE = 5 * BATCH
"""Spans made at once, a whole number of batches and of sessions."""

MB = 1_000_000
FLAT = 20
"""MB that memory may grow after a fifth of the spans."""

REST = 30
"""MB beside the backlog: the spans at hand, what was parsed, and what the allocator does not give back."""

BACKLOG = 64 * 1024 * 1024
"""The default of `Settings.backlog_bytes`."""

CASES = {"new": (False, True), "history": (True, True), "down": (False, False)}
"""Whether calls repeat their history, and whether the database takes rows."""

UNREACHABLE = "postgresql://nobody:nothing@127.0.0.1:1/none"


def resident() -> float:
    """MB of this process in memory; where the system does not tell, the most it ever was."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024 / MB
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MB


def batches(*, history: bool) -> Iterator[list[ReadableSpan]]:
    """Batches without end, of sessions that never come again."""
    for seed in itertools.count():
        made = spans(MADE, history=history, seed=seed)
        for start in range(0, MADE, BATCH):
            yield made[start : start + BATCH]


def passing(directory: str, count: int, *, history: bool, stores: bool) -> list[float]:
    """MB after the first batch, with which the libraries load, and at each tenth of the spans."""
    logging.disable()  # a database that takes nothing is announced: not here
    url, timeout = (f"sqlite:///{directory}/llm.db", 60) if stores else (UNREACHABLE, 1)
    door = LlmSqlSpanExporter(url=url, timeout=timeout, backlog_bytes=BACKLOG, spool=directory)
    seen: list[float] = []
    passed = 0
    for batch in batches(history=history):
        result = door.export(batch)
        assert (result.name == "SUCCESS") is stores, result
        passed += len(batch)
        while passed * 10 >= count * len(seen):
            seen.append(resident())
        if len(seen) > 10:
            break
    door.shutdown(1000)
    return seen[:11]


def run(what: str, count: int) -> None:
    """Measure in a process of its own; print the figures and what they mean."""
    history, stores = CASES[what]
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="llmsql-") as directory, ProcessPoolExecutor(1, mp_context=spawn) as pool:
        seen = pool.submit(passing, directory, count, history=history, stores=stores).result()
    print(f"{what:9}" + "".join(f"{mb:6.0f}" for mb in seen), flush=True)
    grown, limit, since = (
        (max(seen[3:]) - seen[2], FLAT, "20 %")
        if stores
        else (max(seen) - seen[0], BACKLOG / MB + REST, "the first batch")
    )
    print(f"{'':9}  grew by {grown:.0f} MB since {since}, limit {limit:.0f}: {'ok' if grown < limit else 'TOO MUCH'}")


def main() -> None:
    """Print two lines for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("cases", nargs="*", default=list(CASES), help=", ".join(CASES))
    arguments = parser.parse_args()
    print(f"Resident MB while {arguments.spans:,} spans pass: after the first batch, then at each tenth")
    for case in arguments.cases:
        run(case, arguments.spans)


if __name__ == "__main__":
    main()
