"""A local server that speaks enough of the OpenAI API to run programs without a key and without a network.

It answers `/v1/chat/completions` (streams and tool calls included), `/v1/embeddings` and, for one model, HTTP 429. It
listens on a free port of 127.0.0.1 and knows nothing of OpenTelemetry.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from otel_llm_sql.demo import answers


@contextmanager
def running() -> Iterator[str]:
    """Run the server while the block runs.

    Yields:
        The base URL to give to a client (`OPENAI_BASE_URL`), `http://127.0.0.1:<port>/v1`.
    """
    server = _Server(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


_SECONDS_PER_TOKEN = 0.0003
"""Fast enough not to wait for, slow enough that latencies differ as they do at the real service."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away without a farewell, as programs do at their end, is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            request = json.loads(body)
        except ValueError:
            return self._send(400, _error("We could not parse the JSON body of your request."))
        return self._answer(request)

    def _answer(self, request: dict[str, Any]) -> None:
        if request.get("model") == answers.OVERLOADED_MODEL:
            return self._send(429, answers.rate_limit(answers.OVERLOADED_MODEL), {"retry-after-ms": "566"})
        if self.path == "/v1/embeddings":
            return self._send(200, answers.embeddings(request))
        if self.path != "/v1/chat/completions":
            return self._send(404, _error(f"Invalid URL (POST {self.path})"))
        if request.get("stream"):
            return self._stream(request)
        body = answers.completion(request)
        time.sleep(_SECONDS_PER_TOKEN * body["usage"]["completion_tokens"])
        return self._send(200, body)

    def _send(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, request: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in answers.chunks(request):
            time.sleep(_SECONDS_PER_TOKEN * 20)
            self._send_chunk(f"data: {json.dumps(chunk)}\n\n".encode())
        self._send_chunk(b"data: [DONE]\n\n")
        self._send_chunk(b"")

    def _send_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Say nothing: the server is part of a program that prints its own lines."""


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
