"""`otel-llm-sql serve` in a process of its own, and clients for it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from receivers import Receiver, until

COMMAND = str(Path(sys.executable).with_name("otel-llm-sql"))
_LIMITLESS = [("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]


@dataclass
class Serving(Receiver):
    """The command while it runs."""

    process: subprocess.Popen[str] | None = None
    grpc_port: int = 0
    line: str = ""
    errors: list[str] = field(default_factory=list)

    def listen_to(self, errors: TextIO) -> None:
        """Read to the end: a process that nobody listens to would wait."""
        with errors:
            self.errors.extend(errors)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(90)

    def channel(self, credentials: grpc.ChannelCredentials | None = None) -> grpc.Channel:
        """A connection of its own to the gRPC door."""
        target = f"127.0.0.1:{self.grpc_port}"
        options = [*_LIMITLESS, ("grpc.use_local_subchannel_pool", 1)]
        if credentials is None:
            return grpc.insecure_channel(target, options=options)
        return grpc.secure_channel(target, credentials, options=options)


def start(url: str, *options: str, http: str = "127.0.0.1:0", grpc: str = "127.0.0.1:0", **environment: str) -> Serving:
    """Start the command, and wait until it says where it listens."""
    process = subprocess.Popen(
        [COMMAND, "serve", "--db-uri", url, "--http", http, "--grpc", grpc, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    assert process.stdout is not None
    serving = Serving(0, process=process)
    threading.Thread(target=serving.listen_to, args=(process.stderr,), daemon=True).start()
    serving.line = process.stdout.readline()
    if not serving.line:
        process.wait(60)
        process.stdout.close()
        until(lambda: bool(serving.errors), 10)
        raise AssertionError("".join(serving.errors))
    web = re.search(r"https?://[^:]+:(\d+)", serving.line)
    remote = re.search(r"gRPC on [^:]+:(\d+)", serving.line)
    serving.port = int(web[1]) if web else 0
    serving.grpc_port = int(remote[1]) if remote else 0
    return serving


@contextmanager
def serve(url: str, *options: str, **rest: str) -> Iterator[Serving]:
    """The command, killed at the end if it still runs."""
    serving = start(url, *options, **rest)
    try:
        yield serving
    finally:
        assert serving.process is not None
        if serving.process.poll() is None:
            serving.process.terminate()
            try:
                serving.process.wait(60)
            except subprocess.TimeoutExpired:
                serving.process.kill()
        serving.process.wait(60)
        if serving.process.stdout is not None:
            serving.process.stdout.close()


def ran(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command where it is expected to end by itself."""
    return subprocess.run(
        [COMMAND, "serve", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
    )


def send(channel: grpc.Channel, request: Any, *, timeout: float = 60, **rest: Any) -> Any:
    """Export over a channel; the stub fits the request."""
    stubs = {"Trace": TraceServiceStub, "Logs": LogsServiceStub, "Metrics": MetricsServiceStub}
    stub = next(stub for name, stub in stubs.items() if name in type(request).__name__)
    return stub(channel).Export(request, timeout=timeout, **rest)
