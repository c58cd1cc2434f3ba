"""Resident memory of an application while many spans pass through the exporter, each run in a process of its own.

First on SQLite, with both loads of load.py: memory is flat when it grows by less than 20 MB from the moment a fifth has
passed to the end. Then while the database takes nothing: it stays within `backlog_bytes` and a bound for the rest.
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

REST = 20
"""MB beside the backlog: the spans at hand, and what the allocator does not give back."""

BACKLOG = 64 * 1024 * 1024
"""The default of `Settings.backlog_bytes`."""

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


def passing(url: str, count: int, *, history: bool, stores: bool) -> list[float]:
    """MB after the first batch, with which the libraries load, and at each tenth of the spans."""
    logging.disable()  # a database that takes nothing is announced: not here
    door = LlmSqlSpanExporter(url=url, timeout=60 if stores else 1, backlog_bytes=BACKLOG)
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


def run(what: str, url: str, count: int, *, history: bool, stores: bool = True) -> list[float]:
    """Measure in a process of its own, and print a line of figures."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        seen = pool.submit(passing, url, count, history=history, stores=stores).result()
    print(f"{what:18} " + " ".join(f"{mb:6.0f}" for mb in seen), flush=True)
    return seen


def verdict(grown: float, limit: float, since: str) -> None:
    """Print growth next to its limit."""
    print(f"{'':18} grew by {grown:.0f} MB since {since}, limit {limit:.0f}: {'ok' if grown < limit else 'TOO MUCH'}")


def main() -> None:
    """Print a line of figures and a verdict for each load, and for a database that takes nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=100_000)
    count = parser.parse_args().spans
    print(f"Resident MB while {count:,} spans pass: after the first batch, then at each tenth")
    for what, history in (("new messages", False), ("history repeated", True)):
        with tempfile.TemporaryDirectory(prefix="llmsql-") as directory:
            seen = run(what, f"sqlite:///{directory}/llm.db", count, history=history)
        verdict(max(seen[3:]) - seen[2], FLAT, "20 %")
    seen = run("database is down", UNREACHABLE, count, history=False, stores=False)
    verdict(max(seen) - seen[0], BACKLOG / MB + REST, "the first batch")


if __name__ == "__main__":
    main()
