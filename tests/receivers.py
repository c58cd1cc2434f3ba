"""Real receivers for the tests: uvicorn on a loopback port, in a thread or in a process of its own; their requests."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from databases import free_port
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_llm_sql.receiver.http import create_app
from otel_llm_sql.receiver.requests import Reception
from otel_llm_sql.receiver.settings import PREFIX, load_receiver
from otel_llm_sql.settings import load

PROTOBUF, JSON = "application/x-protobuf", "application/json"

_PATIENT = {"answer_seconds": 60}
"""However slow the machine is: a test that wants to see a database fail in time asks for less."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A running receiver, as its clients know it."""

    port: int
    reception: Reception | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: bytes | Iterator[bytes] = b"", **headers: str) -> Reply:
        """One request on a connection of its own; `Content_Type=...` is the header Content-Type."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def post(self, body: bytes | Iterator[bytes], path: str = "/v1/traces", **headers: str) -> Reply:
        return self.ask("POST", path, body, **{"Content_Type": PROTOBUF} | headers)

    def is_ready(self) -> bool:
        return self.ask("GET", "/readyz").status == 200

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric; 0 where nothing was counted yet."""
        inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
        line = re.escape(f"otel_llm_sql_receiver_{name}" + (f"{{{inside}}}" if inside else ""))
        found = re.search(rf"^{line} (\S+)$", self.ask("GET", "/metrics").body.decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0


@contextmanager
def receiver(url: str, *, mounted: Callable[[Any], Any] = lambda app: app, **settings: Any) -> Iterator[Receiver]:
    """A receiver in a thread, over a database; `settings` are those of `load_receiver`."""
    database = load(url=url, spool="off")
    reception = Reception(database, load_receiver(**_PATIENT | settings))
    try:
        with serving(mounted(create_app(reception))) as running:
            yield Receiver(running.port, reception)
    finally:
        asyncio.run(reception.close(10))


@contextmanager
def serving(app: Any) -> Iterator[Receiver]:
    """An ASGI application, served by uvicorn in a thread."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    until(lambda: server.started)
    try:
        yield Receiver(listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


PROGRAM = """
import sys, uvicorn
from otel_llm_sql.receiver.http import create_app
uvicorn.run(create_app(url=sys.argv[1], spool="off"), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
"""


@dataclass
class ReceiverProcess(Receiver):
    """A receiver in a process of its own, which may be killed and started again."""

    url: str = ""
    process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        command = [sys.executable, "-c", PROGRAM, self.url, str(self.port)]
        self.process = subprocess.Popen(command, env=os.environ | environment)
        until(self.is_up)

    def is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "the receiver ended"
        try:
            return self.ask("GET", "/healthz").status == 200
        except OSError:
            return False

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def receiver_process(url: str, **environment: str) -> Iterator[ReceiverProcess]:
    """A receiver in a process of its own."""
    running = ReceiverProcess(free_port(), url=url)
    patient = {PREFIX + name.upper(): str(value) for name, value in _PATIENT.items()}
    running.start(**patient | environment)
    try:
        yield running
    finally:
        running.end(signal.SIGKILL)


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def traces(count: int = 1, *, genai: bool = True, **attributes: str) -> Any:
    """A request of `count` spans, of which no two requests share any."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for _ in range(count):
        add_span(scope, **{**_chat(), **attributes} if genai else {"http.request.method": "GET"})
    return request


def _chat() -> dict[str, str]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "sample-model",
        "gen_ai.response.model": "sample-model",
    }


def add_span(scope: Any, **attributes: str) -> Any:
    """One more span."""
    number = next(_numbers)
    start = 1_700_000_000_000_000_000 + number * 1_000_000
    span = scope.spans.add(
        name="chat sample-model",
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        start_time_unix_nano=start,
        end_time_unix_nano=start + 5_000_000,
    )
    for key, value in attributes.items():
        span.attributes.add(key=key.replace("__", ".")).value.string_value = value
    return span


def logs(message: str = "hello") -> Any:
    """A request with one content event."""
    number = next(_numbers)
    request = ExportLogsServiceRequest()
    record = (
        request.resource_logs.add()
        .scope_logs.add()
        .log_records.add(
            time_unix_nano=1_700_000_000_000_000_000,
            trace_id=number.to_bytes(16, "big"),
            span_id=number.to_bytes(8, "big"),
            event_name="gen_ai.client.inference.operation.details",
        )
    )
    for key, value in {
        **_chat(),
        "gen_ai.input.messages": f'[{{"role":"user","parts":[{{"type":"text","content":"{message}"}}]}}]',
    }.items():
        record.attributes.add(key=key).value.string_value = value
    return request


def span_ids(request: Any) -> set[str]:
    """The ids of a request's spans."""
    return {s.span_id.hex() for entry in request.resource_spans for scope in entry.scope_spans for s in scope.spans}
