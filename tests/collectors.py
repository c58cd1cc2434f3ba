"""A real Collector with one of our files, a backend that keeps what it gets, and a client whose telemetry goes in.

`LLM_SQL_COLLECTOR` names the Collector's program (`.ci/collector` builds one), `LLM_SQL_COLLECTOR_ROUTING` and
`LLM_SQL_COLLECTOR_REPLAY` those for `routing.yaml` and `replay.yaml` where the first lacks the components; otherwise
`otelcol-contrib` is taken from the PATH.
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
from databases import _dying_with_us

from otel_llm_sql.intake.otlp import signals_from_logs, signals_from_traces
from otel_llm_sql.intake.signal import Signal

FOLDER = Path(__file__).parent.parent / "collector-config"
READ = {"/v1/traces": signals_from_traces, "/v1/logs": signals_from_logs}
TOKEN = "senders-show-it"
OWN = {"routing.yaml": "LLM_SQL_COLLECTOR_ROUTING", "replay.yaml": "LLM_SQL_COLLECTOR_REPLAY"}
"""Files for which a Collector of its own is built -> the variable that names it."""

FORMER = {"otlp_json_file": "otlpjsonfile", "otlp_http": "otlphttp"}
"""Names of components -> what a Collector before 0.144 calls them, as the one for the replay is."""

_SECONDS = 120
"""How long something may take on a machine that is busy."""


def program(file: str = "") -> str:
    """The Collector that runs a file; the test is skipped where there is none, and fails where there must be one."""
    own = os.environ.get(OWN[file]) if file in OWN else None
    found = own or os.environ.get("LLM_SQL_COLLECTOR") or shutil.which("otelcol-contrib")
    if found is None:
        assert not os.environ.get("LLM_SQL_REQUIRE_COLLECTOR"), "LLM_SQL_COLLECTOR is to name a Collector here"
        pytest.skip("no Collector here: set LLM_SQL_COLLECTOR, or let .ci/collector build one")
    return found


def configuration(file: str, directory: Path) -> Path:
    """A file of ours as its Collector takes it: the one for the replay wants the former names of components."""
    if file != "replay.yaml" or OWN[file] not in os.environ:
        return FOLDER / file
    text = (FOLDER / file).read_text()
    for name, former in FORMER.items():
        text = text.replace(name, former)
    (directory / file).write_text(text)
    return directory / file


def quiet_port() -> int:
    """A free port that no outgoing connection is given while a program that listens there is down (below 32768)."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) != 0:
                return port


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll until something holds."""
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.05)


def answers(url: str) -> bool:
    """Whether a GET is answered with success."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - a URL of this test
            return bool(response.status == 200)
    except OSError:
        return False


def post(url: str, body: bytes, token: str = TOKEN) -> int:
    """Send one OTLP request; the status of the answer."""
    headers = {"Content-Type": "application/x-protobuf", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - as above
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310 - as above
            return int(response.status)
    except urllib.error.HTTPError as refused:
        return refused.code


class Process:
    """A program that a test starts, kills and starts again, on the same port and directory.

    Args:
        directory: where it runs and keeps what it keeps.
        log: name of the file with what it prints.
    """

    def __init__(self, directory: Path, log: str) -> None:
        self.directory = directory
        self.port = quiet_port()
        self._log = directory / log
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def ready(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_dying_with_us(), *self.command()],
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=os.environ | self.environment(),
            )
        wait_until(lambda: self._is_gone() or self.ready(), f"{self.command()[0]} is ready")
        assert not self._is_gone(), self.log()

    def _is_gone(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(_SECONDS)
            except subprocess.TimeoutExpired:  # after a test that failed: what cannot be sent may keep it
                self._process.kill()
                self._process.wait()
                raise

    def log(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]


class Collector(Process):
    """A Collector with a file of ours.

    Args:
        file: name of the file; further ones, after spaces, are laid over it.
        directory: where its queue is.
        environment: the variables that the file asks for.
    """

    def __init__(self, file: str, directory: Path, **environment: str) -> None:
        super().__init__(directory, "collector.log")
        self._program, self._files = program(file), file.split()
        self._health, self._grpc = quiet_port(), quiet_port()
        self._environment = environment

    @property
    def url(self) -> str:
        scheme = "https" if "COLLECTOR_TLS_CERT" in self._environment else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        files = [f"--config={configuration(file, self.directory)}" for file in self._files]
        # Its own metrics have one port by default, which two Collectors cannot share.
        return [self._program, *files, "--set=service.telemetry.metrics.level=none"]

    def environment(self) -> dict[str, str]:
        return {
            "COLLECTOR_OTLP_HTTP": f"127.0.0.1:{self.port}",
            "COLLECTOR_OTLP_GRPC": f"127.0.0.1:{self._grpc}",
            "COLLECTOR_HEALTH": f"127.0.0.1:{self._health}",
            "COLLECTOR_STORAGE": str(self.directory / "queue"),
            "COLLECTOR_TOKEN": TOKEN,
            **self._environment,
        }

    def ready(self) -> bool:
        return answers(f"http://127.0.0.1:{self._health}/")


class Broker(Process):
    """A Kafka broker with these topics, which remembers nothing when it ends; `LLM_SQL_KAFKA` names its program."""

    def __init__(self, directory: Path, *topics: str) -> None:
        super().__init__(directory, "broker.log")
        found = os.environ.get("LLM_SQL_KAFKA")
        if found is None:
            assert not os.environ.get("LLM_SQL_REQUIRE_COLLECTOR"), "LLM_SQL_KAFKA is to name a broker here"
            pytest.skip("no Kafka broker here: let .ci/collector build tests/kafka_broker, and set LLM_SQL_KAFKA")
        self._program, self._topics = found, topics

    def command(self) -> list[str]:
        return [self._program, str(self.port), *self._topics]

    def ready(self) -> bool:
        return "listening" in self.log()


class Receiver(Process):
    """`otel-llm-sql serve` with a database.

    Args:
        directory: where it runs.
        url: of the database.
    """

    def __init__(self, directory: Path, url: str) -> None:
        super().__init__(directory, "receiver.log")
        self._database = url

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        program = Path(sys.executable).with_name("otel-llm-sql")
        return [str(program), "serve", "--http", f"127.0.0.1:{self.port}", "--grpc", "off"]

    def environment(self) -> dict[str, str]:
        return {"OTEL_EXPORTER_LLM_SQL_URL": self._database}

    def ready(self) -> bool:
        return answers(f"{self.url}/healthz")


@contextmanager
def running(*processes: Process) -> Iterator[None]:
    """Start programs in this order, and end them in the other one."""
    started: list[Process] = []
    try:
        for process in processes:
            started.append(process)
            process.start()
        yield
    finally:
        for process in reversed(started):
            process.end()


class Backend:
    """What people have already: it takes OTLP/HTTP, and keeps everything."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"backend": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def signals(self) -> list[Signal]:
        """The spans and log records that arrived, as often as they did."""
        return [found for path, body in list(self.requests) if path in READ for found in READ[path](body)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    backend: Backend

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.backend.requests.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""
