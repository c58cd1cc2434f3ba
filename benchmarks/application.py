"""CPU per span inside the application: our exporter next to OpenTelemetry's OTLPSpanExporter, for the same spans.

Counted is the CPU time of this process alone, all its threads, without the making of the spans. Database servers and
the sink that takes the OTLP requests are other processes. SQLite runs inside ours: what it needs by itself for the same
rows is named beside it.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection

from load import spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from servers import started
from write import exported, limit, stored

from otel_llm_sql.exporter import LlmSqlSpanExporter

LOADS = {"new messages": False, "history repeated": True}

cpu = partial(exported, clock=time.process_time)


class _Sink(BaseHTTPRequestHandler):
    """Reads what it is sent and answers 200 with an empty body, which is a valid OTLP reply."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Silent."""


def _serve(port: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    port.send(server.server_port)
    server.serve_forever()


@contextmanager
def sink() -> Iterator[str]:
    """The endpoint of an OTLP sink in another process."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1/traces"
    finally:
        process.terminate()
        process.join()


def http_spans(count: int) -> list[ReadableSpan]:
    """Ended spans that are not about GenAI, with eight attributes."""
    keep = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(keep))
    tracer = provider.get_tracer("opentelemetry.instrumentation.requests", "0.50b0")
    for number in range(count):
        attributes = {
            "http.request.method": "GET",
            "http.response.status_code": 200,
            "network.peer.address": "10.0.0.7",
            "network.protocol.version": "1.1",
            "server.address": "shop.example.com",
            "server.port": 443,
            "url.full": f"https://shop.example.com/orders/{number}?page=2",
            "user_agent.original": "python-requests/2.32.3",
        }
        tracer.start_span("GET", attributes=attributes).end()
    return list(keep.get_finished_spans())


def show(what: str, load: str, seconds: list[tuple[float, float]], count: int, note: str = "") -> None:
    """A line: microseconds per span of one exporter, of OTLP in the same runs, and the ratio (medians)."""
    ours, otlp = (statistics.median(column) / count * 1e6 for column in zip(*seconds, strict=True))
    ratio = statistics.median(a / b for a, b in seconds)
    print(f"{what:12} {load:18} {ours:7.1f} us/span   OTLP {otlp:7.1f}   ratio {ratio:5.2f}{note}", flush=True)


def measure(kind: str, new_database: Callable[[], str], endpoint: str, operations: int, runs: int) -> None:
    """Both loads into one kind of database."""
    for name, history in LOADS.items():
        load = spans(operations, history=history)
        gc.collect()
        gc.freeze()  # as in write.py: an application does not keep its spans
        seconds, bare = [], []
        for _ in range(runs):
            url = new_database()
            ours = cpu(LlmSqlSpanExporter(url=url, timeout=60), load)
            seconds.append((ours, cpu(OTLPSpanExporter(endpoint=endpoint), load)))
            if kind == "sqlite":
                bare.append(limit(new_database(), stored(url), time.process_time))
        note = f"   (SQLite itself {statistics.median(bare) / operations * 1e6:.1f})" if bare else ""
        show(kind, name, seconds, operations, note)


def ignore(endpoint: str, count: int, runs: int) -> None:
    """Spans that are not about GenAI: no database is opened for them."""
    load = http_spans(count)
    gc.collect()
    gc.freeze()
    seconds = []
    for _ in range(runs):
        ours = cpu(LlmSqlSpanExporter(url="sqlite:////nowhere/never-opened.db"), load)
        seconds.append((ours, cpu(OTLPSpanExporter(endpoint=endpoint), load)))
    show("ignored", "HTTP spans", seconds, count)


def main() -> None:
    """Print a line for each database and load, and one for the spans that are ignored."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("databases", nargs="*", default=["sqlite", "postgresql"])
    arguments = parser.parse_args()
    print("CPU of the application per span, in batches of 512")
    with sink() as endpoint:
        for kind, new_database in started(arguments.databases):
            measure(kind, new_database, endpoint, arguments.operations, arguments.runs)
        ignore(endpoint, arguments.operations, arguments.runs)


if __name__ == "__main__":
    main()
