"""OTLP over gRPC: a real `otel-llm-sql serve`, real clients, and what the specification says of each answer."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from databases import KINDS, Server, free_port
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SpanExportResult
from receivers import add_span, logs, span_ids, traces, until
from serving import Serving, send, serve

from otel_llm_sql.testing import chat_spans, stored

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
TOKEN = "t0ken-marker-5"


@pytest.fixture
def database(new_database: Callable[[str], str]) -> str:
    """URL of a file: for what does not depend on the database."""
    return new_database("sqlite")


@pytest.fixture
def server(database: str) -> Iterator[Serving]:
    """A receiver with default limits."""
    with serve(database) as serving:
        yield serving


def operations(url: str) -> list[Any]:
    return stored(url)["llm_operations"]


def refused(call: Callable[[], object]) -> tuple[grpc.StatusCode, str, Status | None]:
    """Code, words and details of an error."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error = caught.value
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")  # type: ignore[attr-defined]
    return error.code(), error.details(), Status.FromString(details) if details else None  # type: ignore[attr-defined]


def raw(channel: grpc.Channel, body: bytes, method: str = EXPORT, **rest: Any) -> bytes:
    """One call with any bytes."""
    answer: bytes = channel.unary_unary(method)(body, timeout=60, **rest)
    return answer


def test_otlp_12_traces_logs_and_metrics(url: str) -> None:
    """OTLP-12, OTLP-09: success comes after the commit and leaves partial_success unset; metrics are dropped."""
    with serve(url) as serving, serving.channel() as channel:
        for request in (traces(3), logs()):
            answer = send(channel, request)
            assert not answer.HasField("partial_success")
        assert len(operations(url)) == 4
        metrics = ExportMetricsServiceRequest()
        metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge.data_points.add(as_int=1)
        assert not send(channel, metrics).HasField("partial_success")
        assert serving.metric("received_total", signal="metrics") == 1
        assert len(operations(url)) == 4


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_otlp_12_the_sdk_exporter(server: Serving, database: str, compression: grpc.Compression) -> None:
    """OTLP-03, OTLP-12: OpenTelemetry's own exporter delivers, compressed or not; again changes nothing."""
    exporter = OTLPSpanExporter(endpoint=f"127.0.0.1:{server.grpc_port}", insecure=True, compression=compression)
    spans = chat_spans(5)
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    before = stored(database)
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    exporter.shutdown()
    assert len(before["llm_operations"]) == 5
    assert stored(database) == before


def test_otlp_04_f34_messages_beyond_the_limit(server: Serving, database: str) -> None:
    """OTLP-04, F34: 65 MiB, and bombs of them, are RESOURCE_EXHAUSTED without RetryInfo; the next is served."""
    body = bytes(65 * 1024 * 1024)
    with server.channel() as channel:
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate):
            code, _, details = refused(lambda how=compression: raw(channel, body, compression=how))
            assert (code, details) == (grpc.StatusCode.RESOURCE_EXHAUSTED, None)
        send(channel, traces(1))
    assert len(operations(database)) == 1
    assert server.metric("refused_requests_total", reason="too_large") == 3


def test_otlp_04_large_messages_are_taken(server: Serving, database: str) -> None:
    """OTLP-04: more than the 4 MiB that gRPC takes by default."""
    request = traces(1, gen_ai__prompt="x" * 20_000_000)
    with server.channel() as channel:
        send(channel, request)
    assert len(operations(database)) == 1


def test_otlp_04_a_limit_of_ones_own(database: str) -> None:
    """OTLP-04: the limit can be set."""
    with serve(database, "--inflated-bytes", "1000") as serving, serving.channel() as channel:
        assert refused(lambda: send(channel, traces(100)))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        send(channel, traces(1))


def test_otlp_05_empty_requests(server: Serving) -> None:
    """OTLP-05: no bytes, and no spans in an envelope, are success."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add()
    with server.channel() as channel:
        assert raw(channel, b"") == b""
        assert raw(channel, request.SerializeToString()) == b""


@pytest.mark.parametrize(
    "body",
    [b"\xff\xff\xff", traces(2).SerializeToString()[:-3], gzip.compress(b"no protobuf")],
    ids=["noise", "cut", "gzip"],  # gzip's bytes tell the time: as a name they would differ between two workers
)
def test_otlp_06_f33_undecodable(server: Serving, body: bytes) -> None:
    """OTLP-06, F33: INVALID_ARGUMENT, which is not sent again; counted; the next request is served."""
    with server.channel() as channel:
        code, words, details = refused(lambda: raw(channel, body))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "OTLP" in words
        assert details is not None
        assert (details.code, list(details.details)) == (3, [])
        send(channel, traces(1))
    assert server.metric("refused_requests_total", reason="invalid") == 1


def test_otlp_01_unknown_methods(server: Serving) -> None:
    """OTLP-01: what is not of OTLP is UNIMPLEMENTED."""
    with server.channel() as channel:
        assert refused(lambda: raw(channel, b"", "/a.B/C"))[0] is grpc.StatusCode.UNIMPLEMENTED


def test_otlp_09_otlp_13_invalid_ids(server: Serving, database: str) -> None:
    """OTLP-09, OTLP-13: a span without valid ids is rejected by partial success; its neighbour is stored."""
    request = traces(1)
    add_span(request.resource_spans[0].scope_spans[0]).trace_id = bytes(16)
    with server.channel() as channel:
        answer = send(channel, request)
    assert answer.partial_success.rejected_spans == 1
    assert "trace id" in answer.partial_success.error_message
    assert len(operations(database)) == 1


def retry_seconds(details: Status | None) -> float:
    """What a RetryInfo says."""
    assert details is not None
    (packed,) = details.details
    info = RetryInfo()
    assert packed.Unpack(info)
    return float(info.retry_delay.ToMilliseconds()) / 1000


def test_otlp_07_otlp_08_a_database_that_is_down() -> None:
    """OTLP-07, OTLP-08: without a database it starts, says UNAVAILABLE with RetryInfo, and goes on once it is there."""
    server = KINDS["postgresql"]()
    assert isinstance(server, Server)
    try:
        url = server.new_database()
        server.kill()
        with serve(url) as serving, serving.channel() as channel:
            assert serving.ask("GET", "/readyz").status == 503
            request = traces(2)
            code, words, details = refused(lambda: send(channel, request))
            assert code is grpc.StatusCode.UNAVAILABLE
            assert server.url("")[13:22] not in words
            assert 0 < retry_seconds(details) <= 5
            server.start()
            until(lambda: serving.ask("GET", "/readyz").status == 200)
            until(lambda: _is_taken(channel, request))
            assert len(operations(url)) == 2
    finally:
        server.close()


def _is_taken(channel: grpc.Channel, request: Any) -> bool:
    try:
        send(channel, request)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:  # type: ignore[attr-defined]
            raise
        return False
    return True


def test_otlp_15_wrong_tokens(database: str, tmp_path: Path) -> None:
    """OTLP-15: UNAUTHENTICATED, counted, and no word of the token; the right one is let in."""
    (tmp_path / "tokens").write_text(f"# ours\nanother\n{TOKEN}\n")
    wrong = [None, "Bearer wrong", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN, "Bearer", ""]
    with serve(database, "--token-file", str(tmp_path / "tokens")) as serving, serving.channel() as channel:
        for header in wrong:
            shown = () if header is None else (("authorization", header),)
            code, words, details = refused(lambda metadata=shown: send(channel, traces(1), metadata=metadata))
            assert code is grpc.StatusCode.UNAUTHENTICATED
            assert TOKEN not in words
            assert details is not None
            assert not details.details
        send(channel, traces(1), metadata=(("authorization", f"Bearer {TOKEN}"),))
        assert serving.metric("refused_requests_total", reason="unauthenticated") == len(wrong)
    assert len(operations(database)) == 1
    assert TOKEN not in "".join(serving.errors)


def test_otlp_18_col_02_many_in_flight(url: str) -> None:
    """OTLP-18, COL-02: three clients, ten requests in flight each, all about the same sessions: nobody is refused."""
    requests = [
        traces(4, **{"gen_ai.conversation.id": f"conversation-{number % 3}", "user.id": "u"}) for number in range(90)
    ]
    with serve(url) as serving:
        channels = [serving.channel() for _ in range(3)]
        with ThreadPoolExecutor(30) as pool:
            answers = list(pool.map(lambda pair: send(channels[pair[0] % 3], pair[1]), enumerate(requests)))
        for channel in channels:
            channel.close()
    assert not any(answer.HasField("partial_success") for answer in answers)
    rows = stored(url)
    wanted = set().union(*map(span_ids, requests))
    assert len(rows["llm_operations"]) == len(wanted) == 360
    assert len(rows["llm_sessions"]) == 3


def test_a_port_that_answers_nothing_else(database: str) -> None:
    """`--http off` serves gRPC alone."""
    port = free_port()
    with serve(database, http="off", grpc=f"127.0.0.1:{port}") as serving, serving.channel() as channel:
        assert serving.grpc_port == port
        assert "HTTP" not in serving.line.partition(";")[0]
        send(channel, traces(1))


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def frames(line: socket.socket) -> Iterator[tuple[int, int, int]]:
    """Kind, flags and stream of the frames that come."""
    with line.makefile("rb") as answer:
        while head := answer.read(9):
            answer.read(int.from_bytes(head[:3], "big"))
            yield head[3], head[4], int.from_bytes(head[5:], "big")


def test_otlp_07_a_sender_that_stops(database: str) -> None:
    """A message that does not go on is waited for no longer than a while; the next one is served."""
    named = {":method": "POST", ":scheme": "http", ":path": EXPORT, ":authority": "x"}
    named |= {"content-type": "application/grpc", "te": "trailers"}
    head = b"".join(bytes([0, len(k)]) + k.encode() + bytes([len(v)]) + v.encode() for k, v in named.items())
    begun = frame(1, 4, 1, head) + frame(0, 0, 1, bytes(4) + b"\x64" + b"half")
    with serve(database, OTEL_LLM_SQL_RECEIVER_IDLE_SECONDS="0.1") as serving:
        with socket.create_connection(("127.0.0.1", serving.grpc_port), timeout=60) as line:
            line.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + begun)
            ended = (1, 1, 1)  # headers that end the stream: the status
            assert any((kind, flags & 1, stream) == ended for kind, flags, stream in frames(line))
            assert serving.metric("refused_requests_total", reason="too_slow") == 1
            with serving.channel() as channel:
                send(channel, traces())
        assert len(operations(database)) == 1
