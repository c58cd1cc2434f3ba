"""The HTTP door against the duty list (contracts.md A3): real uvicorn, real clients; after each fault it serves on."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import re
import socket
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace.export import SpanExportResult
from otlp_requests import as_json, as_object
from receivers import (
    JSON,
    PROTOBUF,
    Receiver,
    Reply,
    add_span,
    logs,
    receiver,
    receiver_process,
    span_ids,
    traces,
    until,
)
from starlette.applications import Starlette
from starlette.routing import Mount

from otel_llm_sql import notices
from otel_llm_sql.testing import chat_spans, stored

MEBIBYTE = 1024 * 1024
TOKEN = "token-marker-1"


@pytest.fixture
def database(new_database: Callable[[str], str]) -> str:
    return new_database("sqlite")


@pytest.fixture
def server(database: str) -> Iterator[Receiver]:
    with receiver(database) as running:
        yield running


def is_serving(server: Receiver, **headers: str) -> bool:
    """The next request is served, and counted."""
    before = server.metric("stored_total")
    return server.post(traces().SerializeToString(), **headers).status == 200 and (
        server.metric("stored_total") == before + 1
    )


def status_of(reply: Reply) -> tuple[int, str]:
    """Code and message of a google.rpc.Status in the reply's encoding."""
    if reply.headers["content-type"] == JSON:
        found = orjson.loads(reply.body)
        return found["code"], found["message"]
    status = Status.FromString(reply.body)
    return status.code, status.message


def test_otlp_01_both_encodings_by_content_type(server: Receiver, database: str) -> None:
    """OTLP-01, OTLP-02: one port, two encodings, parameters allowed; the answer has the request's and is empty."""
    first, second, third = traces(), traces(), logs()
    replies = [
        server.post(first.SerializeToString(), Content_Type=f"{PROTOBUF}; charset=utf-8"),
        server.post(as_json(second), Content_Type="Application/JSON;charset=utf-8"),
        server.post(third.SerializeToString(), "/v1/logs"),
    ]
    assert [(r.status, r.headers["content-type"], r.body) for r in replies] == [
        (200, PROTOBUF, b""),
        (200, JSON, b"{}"),
        (200, PROTOBUF, b""),
    ]
    assert {row["span_id"] for row in stored(database)["llm_operations"]} >= span_ids(first) | span_ids(second)
    assert "hello" in str(stored(database)["llm_messages"])


def test_otlp_01_other_types_methods_and_metrics(server: Receiver) -> None:
    """OTLP-01: another type is 415, another method 405; metrics are accepted, counted and dropped."""
    reply = server.post(b"x", Content_Type="text/plain")
    assert (reply.status, status_of(reply)[0]) == (415, 3)
    assert server.ask("GET", "/v1/traces").status == 405
    assert server.ask("POST", "/v1/other").status == 404
    metrics = ExportMetricsServiceRequest()
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="a")
    metric.gauge.data_points.add(as_int=1)
    assert server.post(metrics.SerializeToString(), "/v1/metrics").status == 200
    assert server.post(as_json(metrics), "/v1/metrics", Content_Type=JSON).body == b"{}"
    assert server.metric("received_total", signal="metrics") == 2
    assert server.metric("refused_requests_total", reason="unsupported") == 1
    assert is_serving(server)


def raw_deflate(body: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(body) + squeeze.flush()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("gzip", lambda body: gzip.compress(body[:7]) + gzip.compress(body[7:])),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
    ],
    ids=["identity", "gzip", "gzip-members", "deflate", "raw-deflate"],
)
def test_otlp_03_compression(server: Receiver, database: str, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """OTLP-03: what was compressed is stored as what was not."""
    request = traces(3)
    assert server.post(pack(request.SerializeToString()), Content_Encoding=encoding).status == 200
    assert {row["span_id"] for row in stored(database)["llm_operations"]} == span_ids(request)


def test_otlp_03_an_unknown_or_wrong_encoding(server: Receiver) -> None:
    """OTLP-03: unknown is 415; a body that is not what its header says, or is cut short, is 400."""
    body = traces().SerializeToString()
    assert server.post(body, Content_Encoding="br").status == 415
    for wrong in (body, gzip.compress(body)[:-9], gzip.compress(body) + b"junk", b""):
        reply = server.post(wrong, Content_Encoding="gzip")
        assert (reply.status, status_of(reply)[0]) == (400, 3)
    assert server.metric("refused_requests_total", reason="invalid") == 4
    assert is_serving(server)


def resident(pid: int) -> int:
    """The most memory a process has had, in bytes (Linux)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_otlp_04_f34_gzip_bombs(database: str) -> None:
    """OTLP-04, F34: 200 MB in 194 kB are cut off while they inflate, also four at once: 413, and memory stays flat."""
    bomb = gzip.compress(bytes(200_000_000), 9)
    assert len(bomb) < 200_000
    with receiver_process(database, OTEL_LLM_SQL_RECEIVER_INFLATED_BYTES=str(16 * MEBIBYTE)) as server:
        assert is_serving(server)
        assert server.process is not None
        before = resident(server.process.pid)
        with ThreadPoolExecutor(4) as threads:
            replies = list(threads.map(lambda _: server.post(bomb, Content_Encoding="gzip"), range(4)))
        assert {(reply.status, status_of(reply)[0]) for reply in replies} == {(413, 8)}
        assert resident(server.process.pid) - before < 150_000_000  # one bomb alone would be 200 MB
        assert server.metric("refused_requests_total", reason="too_large") == 4
        assert is_serving(server)


def test_otlp_04_65_mebibytes(server: Receiver) -> None:
    """OTLP-04: a body beyond 64 MiB is 413 as soon as its length is announced."""
    assert send_start(server, f"Content-Length: {65 * MEBIBYTE}") == 413
    assert server.metric("refused_requests_total", reason="too_large") == 1
    assert is_serving(server)


def send_start(server: Receiver, header: str) -> int:
    """The status that a request is answered of which only the head is sent."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as line:
        line.sendall(f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\n{header}\r\n\r\n".encode())
        response = http.client.HTTPResponse(line)
        response.begin()
        return response.status


def test_otlp_04_chunks_beyond_the_limit(database: str) -> None:
    """OTLP-04: a body without a length is counted while it is read; what is counted is given back."""
    with receiver(database, body_bytes=MEBIBYTE) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as line:
            line.sendall(
                f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\n"
                "Transfer-Encoding: chunked\r\n\r\n".encode()
            )
            line.sendall(f"{MEBIBYTE + 1:x}\r\n".encode() + bytes(MEBIBYTE + 1) + b"\r\n")
            response = http.client.HTTPResponse(line)
            response.begin()
            assert response.status == 413
        assert server.metric("queue_bytes") == 0
        assert is_serving(server)


def start(server: Receiver, length: int, body: bytes) -> socket.socket:
    """A connection on which a request has begun."""
    line = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\nContent-Length: {length}\r\n\r\n"
    line.sendall(head.encode() + body)
    return line


def test_otlp_07_a_sender_that_stops(database: str) -> None:
    """A body that does not go on takes room from others only for a while: 503, so that it comes again, and closed."""
    with receiver(database, queue_bytes=MEBIBYTE, idle_seconds=1) as server:
        with start(server, MEBIBYTE, bytes(MEBIBYTE - 1)) as line:
            response = http.client.HTTPResponse(line)
            response.begin()
            assert (response.status, response.headers["connection"]) == (503, "close")
            assert Status.FromString(response.read()).code == 14
            assert 1 <= int(response.headers["retry-after"]) <= 5
            assert line.recv(1) == b""
        assert server.metric("queue_bytes") == 0
        assert server.metric("refused_requests_total", reason="too_slow") == 1
        assert is_serving(server)


def test_otlp_07_a_sender_without_end(database: str) -> None:
    """A byte now and then does not hold the room for ever."""
    with (
        receiver(database, idle_seconds=0.1) as server,
        start(server, MEBIBYTE, b"") as line,
        contextlib.suppress(ConnectionError),
    ):
        for _ in range(6000):
            line.sendall(b"\0")
            line.settimeout(0.01)
            with contextlib.suppress(TimeoutError):
                answer = line.recv(100)
                break
        assert answer.startswith(b"HTTP/1.1 503")
    assert server.reception is not None
    assert 'reason="too_slow"' in server.reception.metrics_text().decode()


def test_otlp_07_a_sender_that_is_slow(database: str) -> None:
    """However many pieces a body comes in, none of them late: it is taken."""
    request = traces(3)
    body = request.SerializeToString()
    with receiver(database, idle_seconds=60) as server, start(server, len(body), b"") as line:
        for place in range(len(body)):
            line.sendall(body[place : place + 1])
        response = http.client.HTTPResponse(line)
        response.begin()
        assert response.status == 200
    assert {row["span_id"] for row in stored(database)["llm_operations"]} == span_ids(request)


def test_otlp_05_empty_requests(server: Receiver, database: str) -> None:
    """OTLP-05: an empty request is success, and so are empty envelopes; the database is not even touched."""
    envelopes = ExportTraceServiceRequest()
    envelopes.resource_spans.add().scope_spans.add()
    assert server.post(b"").status == 200
    assert server.post(b"{}", Content_Type=JSON).status == 200
    assert server.post(envelopes.SerializeToString()).status == 200
    assert server.post(traces(5, genai=False).SerializeToString()).status == 200
    assert server.metric("ignored_total", signal="traces") == 5
    assert not Path(database.removeprefix("sqlite:///")).exists()


def nested(levels: int) -> bytes:
    request = traces()
    value = request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="deep").value
    for _ in range(levels):
        value = value.kvlist_value.values.add(key="k").value
    value.string_value = "end"
    return bytes(request.SerializeToString())


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (traces().SerializeToString()[:-3], PROTOBUF),
        (traces().SerializeToString().replace(b"sample-model", b"sample\xff\xfeodel"), PROTOBUF),
        (nested(40), PROTOBUF),
        (b"\xff" * 100, PROTOBUF),
        (b'{"resourceSpans": [', JSON),
        (b'{"resourceSpans": 3}', JSON),
        (b"[]", JSON),
    ],
    ids=["truncated", "invalid-utf8", "too-deep", "junk", "json-cut", "json-type", "json-list"],
)
def test_otlp_06_f33_undecodable(server: Receiver, body: bytes, content_type: str) -> None:
    """OTLP-06, F33: 400 with a Status in the request's encoding, counted; the next request is served."""
    reply = server.post(body, Content_Type=content_type)
    assert (reply.status, reply.headers["content-type"]) == (400, content_type)
    code, message = status_of(reply)
    assert code == 3
    assert message
    assert "retry-after" not in reply.headers
    assert server.metric("refused_requests_total", reason="invalid") == 1
    assert is_serving(server)


def test_otlp_07_otlp_08_no_room(database: str) -> None:
    """OTLP-07, OTLP-08: over the queue bound the answer is 503 with Retry-After of at most 5 s; then all is served."""
    with receiver(database, queue_bytes=1000) as server:
        assert server.reception is not None
        server.reception.groups.reserve(1000)
        reply = server.post(traces().SerializeToString())
        assert (reply.status, status_of(reply)[0]) == (503, 14)
        assert 1 <= int(reply.headers["retry-after"]) <= 5
        ready = server.ask("GET", "/readyz")
        assert (ready.status, ready.body) == (503, b"too much waits for the database\n")
        assert server.ask("GET", "/healthz").status == 200
        assert server.metric("queue_bytes") == 1000
        server.reception.groups.release(1000)
        assert server.metric("refused_requests_total", reason="unavailable") == 1
        assert is_serving(server)
        until(server.is_ready)


def test_otlp_09_otlp_13_invalid_ids(server: Receiver, database: str) -> None:
    """OTLP-09, OTLP-13: spans with zero ids, or of a wrong length, are rejected; their neighbours are stored."""
    request = traces(2)
    scope = request.resource_spans[0].scope_spans[0]
    good = span_ids(request)
    for name, value in (("trace_id", bytes(16)), ("span_id", bytes(8)), ("trace_id", b"short"), ("span_id", b"")):
        setattr(add_span(scope, gen_ai__operation__name="chat", gen_ai__request__model="m"), name, value)
    add_span(scope).span_id = bytes(8)  # not about GenAI
    reply = server.post(request.SerializeToString())
    partial = ExportTraceServiceResponse.FromString(reply.body).partial_success
    assert (reply.status, partial.rejected_spans) == (200, 5)
    assert "no valid trace id" in partial.error_message
    tables = stored(database)
    assert {row["span_id"] for row in tables["llm_operations"]} == good
    assert len(tables["llm_dead_letters"]) == 4
    assert server.metric("rejected_total", reason="no_ids") == 5
    assert server.metric("dead_lettered_total") == 4
    assert is_serving(server)


def test_otlp_10_json_ids(server: Receiver, database: str) -> None:
    """OTLP-10, OTLP-13: ids are hex of either case; invalid ones reject their span; a partial success in JSON."""
    request = traces(3)
    found: Any = as_object(request)
    spans = found["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans[0]["traceId"] = spans[0]["traceId"].upper()
    spans[0]["novelty"] = {"anything": [1]}
    spans[1]["traceId"] = "not hex"
    spans[2]["spanId"] = "0" * 16
    reply = server.post(orjson.dumps(found), Content_Type=JSON)
    partial = orjson.loads(reply.body)["partialSuccess"]
    assert (reply.status, partial["rejectedSpans"]) == (200, "2")
    assert [row["span_id"] for row in stored(database)["llm_operations"]] == [spans[0]["spanId"]]


def test_otlp_09_log_records_that_belong_nowhere(server: Receiver) -> None:
    """OTLP-09: a content event without ids is rejected in the words of its signal; logs of others are ignored."""
    request = logs()
    request.resource_logs[0].scope_logs[0].log_records[0].trace_id = b""
    request.resource_logs[0].scope_logs[0].log_records.add().body.string_value = "a line"
    reply = server.post(request.SerializeToString(), "/v1/logs")
    assert ExportLogsServiceResponse.FromString(reply.body).partial_success.rejected_log_records == 1
    assert server.metric("ignored_total", signal="logs") == 1


def test_otlp_11_otlp_14_values_and_unknown_fields(server: Receiver, database: str) -> None:
    """OTLP-11, OTLP-14: every kind of value, fields nobody knows, and odd kinds and codes are taken."""
    request = traces()
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.add(key="a").value.bytes_value = b"\x00\xff"
    span.attributes.add(key="b")
    span.attributes.add(key="c").value.array_value.values.add().int_value = 7
    span.attributes.add(key="d").value.kvlist_value.values.add(key="k").value.double_value = 0.5
    span.attributes.add(key="e").value.bool_value = True
    span.kind, span.status.code = 77, 99
    unknown = bytes([(500 << 3 | 2) & 0x7F | 0x80, 500 << 3 >> 7, 3]) + b"abc"
    assert server.post(request.SerializeToString() + unknown).body == b""
    (row,) = stored(database)["llm_operations"]
    assert row["span_id"] == span.span_id.hex()


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        TOKEN,
        "Basic !!!",
        "Basic " + base64.b64encode(b"me:wrong").decode(),
    ],
)
def test_otlp_15_wrong_tokens(database: str, header: str, caplog: pytest.LogCaptureFixture) -> None:
    """OTLP-15: without a token that is known it is 401, which nobody repeats; nothing is shown of the right ones."""
    notices._said.clear()
    with receiver(database, tokens=("other", TOKEN)) as server:
        given = {"Authorization": header} if header else {}
        reply = server.post(traces().SerializeToString(), **given)
        assert (reply.status, status_of(reply)[0]) == (401, 16)
        assert reply.headers["www-authenticate"] == "Bearer"
        assert TOKEN.encode() not in reply.body
        assert server.metric("refused_requests_total", reason="unauthenticated") == 1
        assert "shows no token that is known" in caplog.text
        assert TOKEN not in caplog.text
        for right in (f"Bearer {TOKEN}", "bearer other", "Basic " + base64.b64encode(f"me:{TOKEN}".encode()).decode()):
            assert is_serving(server, Authorization=right)


def preflight(server: Receiver, origin: str) -> dict[str, str]:
    """What a browser is told that asks whether a page may send."""
    return server.ask(
        "OPTIONS",
        "/v1/traces",
        Origin=origin,
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="content-type",
    ).headers


def test_otlp_16_cors(database: str) -> None:
    """OTLP-16: off by default; origins with wildcards, headers and an age where it is on."""
    with receiver(database) as server:
        assert "access-control-allow-origin" not in preflight(server, "https://a.example.com")
    given = {"cors_origins": "https://*.example.com,http://localhost:3000", "cors_headers": "X-Tenant"}
    with receiver(database, cors_max_age=60, **given) as server:
        allowed = preflight(server, "https://a.example.com")
        assert allowed["access-control-allow-origin"] == "https://a.example.com"
        assert "X-Tenant" in allowed["access-control-allow-headers"]
        assert allowed["access-control-max-age"] == "60"
        assert "access-control-allow-origin" in preflight(server, "http://localhost:3000")
        assert "access-control-allow-origin" not in preflight(server, "https://example.org")
        assert "access-control-allow-origin" not in preflight(server, "https://a.example.com.evil.org")
        reply = server.post(traces().SerializeToString(), Origin="https://a.example.com")
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, "https://a.example.com")


def test_otlp_16_cors_with_tokens(database: str) -> None:
    """OTLP-16: where tokens are asked for, a page may show its own."""
    with receiver(database, cors_origins="http://localhost:3000", tokens=(TOKEN,)) as server:
        assert "Authorization" in preflight(server, "http://localhost:3000")["access-control-allow-headers"]
    with receiver(database, cors_origins="http://localhost:3000") as server:
        assert "Authorization" not in preflight(server, "http://localhost:3000")["access-control-allow-headers"]


def test_otlp_17_keep_alive(server: Receiver) -> None:
    """OTLP-17: one connection serves request after request, errors between them included."""
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    statuses = []
    for body in (traces().SerializeToString(), b"\xff\xff", traces().SerializeToString()):
        line.request("POST", "/v1/traces", body, {"Content-Type": PROTOBUF})
        response = line.getresponse()
        response.read()
        statuses.append(response.status)
    line.close()
    assert statuses == [200, 400, 200]


def test_it_can_be_mounted(database: str) -> None:
    """`create_app` works inside another application, under a path of its choice."""
    with receiver(database, mounted=lambda app: Starlette(routes=[Mount("/telemetry", app)])) as server:
        request = traces()
        assert server.post(request.SerializeToString(), "/telemetry/v1/traces").status == 200
        until(lambda: server.ask("GET", "/telemetry/readyz").status == 200)
        assert server.ask("GET", "/v1/traces").status == 404
    assert {row["span_id"] for row in stored(database)["llm_operations"]} == span_ids(request)


@pytest.mark.parametrize("compression", list(Compression))
def test_otlp_12_the_sdk_exporter(url: str, compression: Compression) -> None:
    """OTLP-12: what OpenTelemetry's own exporter was told is stored, is stored, on every kind of database."""
    spans = chat_spans(5)
    with receiver(url) as server:
        exporter = OTLPSpanExporter(f"{server.address}/v1/traces", compression=compression, timeout=60)
        until(server.is_ready)  # the tables are there: the exporter gives up after 10 s
        assert exporter.export(spans) is SpanExportResult.SUCCESS
        rows = stored(url)["llm_operations"]  # before anything is shut down
        assert exporter.export(spans) is SpanExportResult.SUCCESS
        exporter.shutdown()
        assert server.metric("duplicate_total") == 5
        assert server.metric("stored_total") == 5
    assert {row["span_id"] for row in rows} == {format(span.context.span_id, "016x") for span in spans}
    assert stored(url)["llm_operations"] == rows
