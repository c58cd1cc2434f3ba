"""rotel, an agent that others wrote, between the SDK and us: what goes in comes out, over HTTP and gRPC."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from databases import free_port
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExportResult
from receivers import until
from serving import serve

from otel_llm_sql.testing import chat_spans, stored

PROTOCOLS = ("http", "grpc")


@contextmanager
def rotel(protocol: str, port: int, directory: Path) -> Iterator[int]:
    """The agent, sending to a port of ours; the port where it takes OTLP/HTTP."""
    spec = find_spec("rotel")
    assert spec is not None
    assert spec.origin is not None
    web, remote = free_port(), free_port()
    words = ["--otlp-grpc-endpoint", f"127.0.0.1:{remote}", "--otlp-http-endpoint", f"127.0.0.1:{web}"]
    words += ["--exporter", "otlp", "--otlp-exporter-protocol", protocol]
    words += ["--otlp-exporter-endpoint", f"http://127.0.0.1:{port}"]
    with (directory / "rotel.log").open("wb") as log:
        program = Path(spec.origin).with_name("rotel-agent")
        process = subprocess.Popen([program, "start", *words], stdout=log, stderr=log, cwd=directory)
        try:
            until(lambda: process.poll() is None and _listens(web))
            yield web
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def deliver(port: int, count: int) -> set[str]:
    """Spans of a model's calls to the agent, over the SDK's own exporter; their ids."""
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{port}/v1/traces")
    spans = chat_spans(count)
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    exporter.shutdown()
    return {f"{span.context.span_id:016x}" for span in spans}


def ids(url: str) -> list[str]:
    return sorted(row["span_id"] for row in stored(url)["llm_operations"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_thousand_spans(protocol: str, new_database: Callable[[str], str], tmp_path: Path) -> None:
    """1,000 spans in, exactly those rows."""
    url = new_database("postgresql")
    with serve(url) as serving:
        port = {"http": serving.port, "grpc": serving.grpc_port}[protocol]
        with rotel(protocol, port, tmp_path) as agent:
            sent = deliver(agent, 1000)
            until(lambda: len(ids(url)) >= 1000)
        assert ids(url) == sorted(sent)
        assert serving.metric("received_total", signal="traces") == 1000


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_col_01_a_restart_of_ours(protocol: str, new_database: Callable[[str], str], tmp_path: Path) -> None:
    """COL-01: what the agent takes while we are away comes when we are back, once."""
    url = new_database("postgresql")
    web, remote = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    port = int({"http": web, "grpc": remote}[protocol].rpartition(":")[2])
    with serve(url, http=web, grpc=remote) as serving, rotel(protocol, port, tmp_path) as agent:
        sent = deliver(agent, 500)
        until(lambda: len(ids(url)) >= 500)
        assert serving.end(signal.SIGKILL if os.name == "posix" else signal.SIGTERM) != 0
        sent |= deliver(agent, 500)
        with serve(url, http=web, grpc=remote):
            until(lambda: len(ids(url)) >= 1000, 120)
            assert ids(url) == sorted(sent)
