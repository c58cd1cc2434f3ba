"""Spans per second through `otel-llm-sql serve`, from the first byte sent to the last row committed; and rivals.

Requests of 100 spans from four senders, requests of one span from 64, the time of an answer under half of that load,
and the memory while the database does not take anything. The senders are a process of their own.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import sqlalchemy as sa
from load import spans
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from rivals import RIVALS, Rival
from senders import Sent, free_port, memory, request, send, send_over_grpc, wait_until_ready
from servers import NAMES, started

from otel_llm_sql.store.engines import create_engine

MEGABYTE = 1_000_000
QUEUE = 64 * 1024 * 1024
"""Bytes that may wait for the database, in the measure of memory."""

ALLOWED = 150 * MEGABYTE


def requests(count: int, spans_each: int, seed: int) -> list[bytes]:
    """OTLP requests of so many spans each, four messages of 400 characters on each span."""
    made = spans(count * spans_each, history=False, seed=seed)
    return [encode_spans(made[at : at + spans_each]).SerializeToString() for at in range(0, len(made), spans_each)]


@contextmanager
def receiver(url: str, *arguments: str) -> Iterator[tuple[int, int]]:
    """A receiver with one worker: its port and its process id."""
    port = free_port()
    command = [str(Path(sys.executable).parent / "otel-llm-sql"), "serve", "--db-uri", url]
    command += ["--http", f"127.0.0.1:{port}", *(() if "--grpc" in arguments else ("--grpc", "off")), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_ready(port, "/readyz")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def rows(url: str) -> int:
    """Operations that are stored."""
    engine = create_engine(url, timeout=60)
    with engine.connect() as connection:
        count = int(connection.scalar(sa.text("SELECT COUNT(*) FROM llm_operations")) or 0)
    engine.dispose()
    return count


def sent(port: int, bodies: list[bytes], senders: int, per_second: float | None = None) -> Sent:
    """What became of the requests, sent by a process of their own."""
    made = [request(port, "/v1/traces", body) for body in bodies]
    with get_context("fork").Pool(1) as pool:
        return pool.apply(send, (port, made, senders, per_second))


def throughput(url: str, count: int, spans_each: int, senders: int, seed: int) -> float:
    """Spans per second; everything that was answered with success is there."""
    with receiver(url) as (port, _):
        sent(port, requests(20, spans_each, seed + 1), senders)  # connections, tables, prices
        before = rows(url)
        outcome = sent(port, requests(count, spans_each, seed), senders)
        assert outcome.refused == 0, outcome
        assert rows(url) - before == count * spans_each
    return count * spans_each / outcome.seconds


def answers(url: str, spans_per_second: float, seconds: int, seed: int) -> tuple[float, float]:
    """Median and 99th percentile of the seconds until the answer, at a steady load."""
    with receiver(url) as (port, _):
        sent(port, requests(20, 100, seed + 1), 4)
        outcome = sent(port, requests(int(spans_per_second / 100 * seconds), 100, seed), 4, spans_per_second / 100)
    ordered = sorted(outcome.waits)
    return ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]


def overload(url: str, seed: int, senders: Callable[[int, list[bytes]], Sent] | None = None) -> tuple[float, int]:
    """The most resident memory in megabytes while nothing can be written, and requests that were refused.

    Args:
        url: of an empty database.
        seed: of the load.
        senders: what sends; 400 connections over HTTP by default, else over gRPC.
    """
    grpc_port = free_port()
    door = ("--grpc", f"127.0.0.1:{grpc_port}") if senders else ()
    with receiver(url, "--queue-bytes", str(QUEUE), *door) as (port, process):
        sent(port, requests(20, 100, seed + 1), 4)
        engine = create_engine(url, timeout=60)
        with engine.connect() as connection:
            connection.exec_driver_sql(HOLD[connection.dialect.name]).close()
            bodies = requests(100, 100, seed) * 8  # 260 MB, half of it at the same time
            with get_context("fork").Pool(1) as pool:
                if senders:
                    result = pool.apply_async(senders, (grpc_port, bodies))
                else:
                    made = [request(port, "/v1/traces", body) for body in bodies]
                    result = pool.apply_async(send, (port, made, 400, None))
                most = 0.0
                while not result.ready():
                    most = max(most, memory(process))
                    time.sleep(0.05)
            connection.rollback()
        engine.dispose()
        outcome: Sent = result.get()
    return most, outcome.refused


def over_grpc(port: int, bodies: list[bytes]) -> Sent:
    """The same requests from 100 gRPC clients, four times over: they are refused fast."""
    return send_over_grpc(port, bodies * 4, 100)


HOLD = {
    "sqlite": "UPDATE llm_locks SET stripe = stripe",
    "postgresql": "LOCK TABLE llm_locks IN ACCESS EXCLUSIVE MODE",
    "mysql": "SELECT stripe FROM llm_locks FOR UPDATE",
}
"""What keeps every writer waiting."""


def measure(name: str, new_database: Callable[[], str], big: int, small: int, runs: int) -> None:
    """All measures on one kind of database; of the throughput the median of several runs."""
    full = statistics.median(throughput(new_database(), big, 100, 4, 1) for _ in range(runs))
    single = statistics.median(throughput(new_database(), small, 1, 64, 3) for _ in range(runs))
    print(f"{name:12} {full:8,.0f} spans/s of 100 to a request, {single:8,.0f} of 1, 64 senders", flush=True)
    median, last = answers(new_database(), full / 2, 5, 5)
    print(f"{name:12} under half of that load: median {median * 1000:.0f} ms, p99 {last * 1000:.0f} ms", flush=True)
    most, refused = overload(new_database(), 7)
    bound = (QUEUE + ALLOWED) / MEGABYTE
    print(f"{name:12} overload: {most:.0f} MB, bound {bound:.0f}; {refused:,} requests refused", flush=True)
    most, refused = overload(new_database(), 7, over_grpc)
    print(f"{name:12} overload over gRPC: {most:.0f} MB; {refused:,} requests refused", flush=True)


def rival(known: Rival, folder: Path, count: int) -> None:
    """The same requests to somebody else's server, on SQLite."""
    with known.running(folder) as port:
        bodies = requests(count, 100, 1)
        made = [request(port, known.path, body, known.headers) for body in bodies]
        with get_context("fork").Pool(1) as pool:
            started = time.perf_counter()
            outcome: Sent = pool.apply(send, (port, made, 4, None))
        stored = known.wait_for_rows(folder, count * 100)
        seconds = time.perf_counter() - started
        print(
            f"{known.name:12} {count * 100 / seconds:8,.0f} spans/s of 100 to a request, until they are stored;"
            f" answered after {outcome.seconds / seconds:.0%} of that; {stored:,} of {count * 100:,} stored",
            flush=True,
        )


def main() -> None:
    """Print the lines of each database, and of the rivals if asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200, help="of 100 spans")
    parser.add_argument("--single", type=int, default=4000, help="requests of one span")
    parser.add_argument("--runs", type=int, default=3, help="of which the median of spans/s is printed")
    parser.add_argument("--rivals", action="store_true", help="install Phoenix and MLflow, and measure them too")
    parser.add_argument("databases", nargs="*", default=list(NAMES))
    arguments = parser.parse_args()
    for name, new_database in started(arguments.databases):
        measure(name, new_database, arguments.requests, arguments.single, arguments.runs)
    if arguments.rivals:
        for known in RIVALS:
            with tempfile.TemporaryDirectory() as folder:
                rival(known, Path(folder), max(arguments.requests // 10, 1))


if __name__ == "__main__":
    main()
