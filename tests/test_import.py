"""`otel-llm-sql import FILE...`: recorded requests come in as if the exporter had brought them."""

from __future__ import annotations

import gzip
import io
import json
import os
import pty
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from backports import zstd
from databases import free_port
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.json.file import FileMetricExporter, FileSpanExporter
from opentelemetry.exporter.otlp.json.file._log_exporter import FileLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from otlp_requests import as_json
from recordings import ALL, FOLDER

from otel_llm_sql.cli import failures, main
from otel_llm_sql.intake.byte_stream import LARGEST
from otel_llm_sql.intake.otlp import signals_from_logs, signals_from_traces
from otel_llm_sql.intake.otlp_file import Entry, entries
from otel_llm_sql.intake.signal import Signal
from otel_llm_sql.testing import stored

CASE = FOLDER / "otel-genai-openai.event_only" / "tools"
TRACES, LOGS = CASE / "traces.pb", CASE / "logs.pb"
COLLECTOR = sorted((Path(__file__).parent / "collector_files").glob("collector.*"))

SPANS = as_json(ExportTraceServiceRequest.FromString(TRACES.read_bytes()))
RECORDS = as_json(ExportLogsServiceRequest.FromString(LOGS.read_bytes()))
LINES = SPANS + b"\n" + RECORDS + b"\n"
WANTED = signals_from_traces(TRACES.read_bytes()) + signals_from_logs(LOGS.read_bytes())


@pytest.fixture
def database(new_database: Callable[[str], str]) -> str:
    """URL of a SQLite database: for what does not depend on the database."""
    return new_database("sqlite")


def written(folder: Path, name: str, payload: bytes) -> Path:
    file = folder / name
    file.write_bytes(payload)
    return file


def imported(url: str, *files: Path) -> int:
    return main(["import", "--db-uri", url, *map(str, files)])


def read(payload: bytes) -> list[Entry]:
    return list(entries(io.BytesIO(payload)))


def signals(payload: bytes) -> list[Signal]:
    """The signals of a file without fault."""
    found = read(payload)
    assert faults(found) == []
    return [signal for entry in found for signal in entry.signals]


def faults(found: list[Entry]) -> list[str]:
    return [entry.fault for entry in found if entry.fault]


def read_despite(payload: bytes) -> tuple[list[Signal], list[str]]:
    """The signals of a file and its faults."""
    found = read(payload)
    return [signal for entry in found for signal in entry.signals], faults(found)


def prefixed(*messages: bytes) -> bytes:
    """As a Collector's file exporter writes messages that are no lines."""
    return b"".join(len(message).to_bytes(4, "big") + message for message in messages)


def metrics_request() -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for name in ("gen_ai.client.token.usage", "gen_ai.client.operation.duration"):
        metrics.add(name=name, unit="1").sum.data_points.add(as_int=3, time_unix_nano=1)
    return request


# -- what a file holds


def test_what_a_file_holds_is_told_by_its_content() -> None:
    """Traces and logs of every recording are read as what they are, alone and joined to one file."""
    assert len(ALL) > 400
    for name in ALL:
        spans, records = (
            file.read_bytes() if (file := FOLDER / name / kind).exists() else b"" for kind in ("traces.pb", "logs.pb")
        )
        assert signals(spans) == signals_from_traces(spans)
        assert signals(records) == signals_from_logs(records)
        assert signals(records + spans) == signals_from_logs(records) + signals_from_traces(spans)


def documents() -> dict[str, bytes]:
    """The same telemetry in every form of JSON."""
    found = [orjson.loads(SPANS), orjson.loads(RECORDS)]
    both = {"resourceSpans": found[0]["resourceSpans"], "resourceLogs": found[1]["resourceLogs"]}
    pretty = "\n".join(json.dumps(each, indent=2) for each in found)
    half = '{"resourceSpans": [\n%s\n]}\n{"resourceLogs":[\n%s]}'
    inner = [json.dumps(found[0]["resourceSpans"][0]), json.dumps(found[1]["resourceLogs"][0])]
    return {
        "lines": LINES,
        "lines without an end": LINES.rstrip(),
        "lines of Windows": b"\xef\xbb\xbf" + LINES.replace(b"\n", b"\r\n"),
        "lines with gaps": b"\n\r\n  " + SPANS + b"\n \n\n" + RECORDS,
        "files with a mark, joined": b"\xef\xbb\xbf" + SPANS + b"\n\xef\xbb\xbf" + RECORDS,
        "one document": orjson.dumps(both),
        "one document, indented": json.dumps(both, indent=4).encode(),
        "documents, indented": pretty.encode(),
        "documents, indented, of Windows": pretty.replace("\n", "\r\n").encode(),
        "documents, half indented": (half % tuple(inner)).encode(),
        "names of the fields": b"\n".join(
            as_json(message.FromString(file.read_bytes()), preserving_proto_field_name=True)
            for message, file in ((ExportTraceServiceRequest, TRACES), (ExportLogsServiceRequest, LOGS))
        ),
    }


@pytest.mark.parametrize("form", documents())
def test_every_form_of_json_holds_the_same(form: str) -> None:
    """One document, one a line, or several over many lines, from any system: the Signals are those of protobuf."""
    assert signals(documents()[form]) == WANTED


@pytest.mark.parametrize("file", COLLECTOR, ids=lambda file: file.name)
def test_what_a_collector_writes(file: Path) -> None:
    """All forms of its file exporter, as a real one wrote them, hold what it was sent; the metric is counted."""
    found = read(file.read_bytes())
    assert faults(found) == []
    assert [signal for entry in found for signal in entry.signals] == WANTED
    assert sum(entry.metrics for entry in found) == 1


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
def test_compressed_files(pack: Callable[[bytes], bytes]) -> None:
    """Compressed once, or in members that are joined, even where these end in the middle of a line."""
    for plain in (LINES, TRACES.read_bytes() + LOGS.read_bytes(), prefixed(TRACES.read_bytes(), LOGS.read_bytes())):
        assert signals(pack(plain)) == WANTED
        for cut in (1, len(plain) // 2, len(plain) - 1):
            assert signals(pack(plain[:cut]) + pack(b"") + pack(plain[cut:])) == WANTED


def test_json_and_protobuf_are_told_apart() -> None:
    """Both may begin with a newline and a brace, which is the length of an entry of 123 bytes."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    span = scope.spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, start_time_unix_nano=1)
    while len(request.SerializeToString()) < 125:
        span.name += "n"
    payload = request.SerializeToString()
    assert payload.startswith(b"\n{")
    assert signals(payload) == signals_from_traces(payload)
    assert signals(b"\n{}") == []
    assert signals(b"\n" + SPANS) == WANTED[:2]


def test_metrics_are_counted() -> None:
    """A third kind of request looks alike from outside: it is told apart and costs nothing else."""
    request = metrics_request()
    for payload in (request.SerializeToString(), as_json(request), prefixed(request.SerializeToString())):
        [entry] = read(payload)
        assert (entry.signals, entry.metrics, entry.fault) == ([], 2, None)
    assert signals(as_json(request) + b"\n" + LINES) == WANTED


def test_nothing_in_a_file() -> None:
    """An empty file, also a compressed one, and requests without content hold nothing, and are no fault."""
    empty = gzip.compress(b""), zstd.compress(b""), b"\n", b"{}", b"{}\n{}\n", b'{"resourceSpans":[]}', b"\x0a\x00"
    for payload in (b"", *empty):
        assert signals(payload) == []


# -- what is wrong with a file


def test_a_file_that_ends_too_early_says_where() -> None:
    """The fault names the byte at which the entry begins that is not whole; so does a file of any length."""
    payload = TRACES.read_bytes()
    found, [fault] = read_despite(payload + payload[:-7])
    assert found == WANTED[:2]
    assert fault == f"ends too early: the entry at byte {len(payload)} lacks 7 bytes"
    for length in range(2, len(payload)):
        [fault] = faults(read(payload[:length]))
        assert "at byte" in fault


@pytest.mark.parametrize(
    "payload",
    [
        b"\x0a\xff",
        b"\x0a\x03abc",
        b"\x0a" + b"\xff" * 20,
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        b"plain text",
        b"[1]",
    ],
)
def test_a_file_of_something_else_says_where(payload: bytes) -> None:
    """What is no request of traces or logs is a fault that names a byte."""
    found, [fault] = read_despite(payload)
    assert found == []
    assert "at byte 0" in fault or "at byte 1" in fault


def test_a_broken_entry_costs_itself() -> None:
    """The entries of protobuf around it are read."""
    spans, records = TRACES.read_bytes(), LOGS.read_bytes()
    found, [fault] = read_despite(spans + b"\x0a\x03abc" + records)
    assert found == WANTED
    assert fault == f"neither spans nor log records nor metrics can be read from the entry at byte {len(spans)}"


def test_log_records_without_a_time(database: str, tmp_path: Path) -> None:
    """OTLP: 0 is a time that nobody knows. The record is stored all the same, as by the receiver and as of JSON."""
    request = ExportLogsServiceRequest.FromString(LOGS.read_bytes())
    for entry in request.resource_logs:
        for record in (record for scope in entry.scope_logs for record in scope.log_records):
            record.time_unix_nano = record.observed_time_unix_nano = 0
    payload = request.SerializeToString()
    assert signals(payload) == signals(as_json(request)) == signals_from_logs(payload) != []
    assert imported(database, written(tmp_path, "logs.pb", payload), TRACES) == 0
    assert all(row["timestamp"] > "1970-01-02" for row in stored(database)["llm_operations"])  # their spans' times
    del request.resource_logs[0].scope_logs[0].log_records[0].attributes[:]
    assert signals(request.SerializeToString())[0].attributes == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (SPANS[:500], "no JSON at character 500"),
        (SPANS[500:], "no JSON at character"),
        (SPANS[:500] + SPANS, "no JSON at character"),
        (b"\x00\x01\x02\xff", "no UTF-8 at byte 3"),
        (b'{"resourceSpans": [{"secret": "\xe9"}]}', "no UTF-8 at byte 31"),
        (b'{"secret": 1}', "no OTLP request: it has neither resourceSpans nor resourceLogs nor resourceMetrics"),
        (b'{"resourceSpans": {"secret": 1}}', "no OTLP request: resourceSpans of the request is no list"),
        (b"secret", "no JSON at character 0"),
        (b'[{"secret": 1}]', "the JSON is no object"),
    ],
)
def test_a_broken_line_costs_itself(line: bytes, said: str) -> None:
    """It is named by its number and what is wrong, never by what stands there; the lines around it are read."""
    found, told = read_despite(SPANS + b"\r\n\r\n" + line + b"\n" + RECORDS)
    assert found == WANTED
    assert len(told) == 1
    assert told[0].startswith("line 3: ")
    assert said in told[0]
    assert "secret" not in told[0]


def test_a_first_line_that_is_broken() -> None:
    """A file is JSON when any of its first lines is a request."""
    found, [fault] = read_despite(b"# traces of May\n" + LINES)
    assert found == WANTED
    assert fault.startswith("line 1: ")


def test_a_document_that_is_cut_off() -> None:
    """Indented, it ends where the next request begins, or the file."""
    cut = json.dumps(orjson.loads(SPANS), indent=1)[:3000].encode()
    found, [fault] = read_despite(cut + b"\n" + LINES)
    assert found == WANTED
    assert fault.startswith("line 1: no JSON")
    [fault] = faults(read(cut))
    assert fault.startswith("line 1: no JSON at character 3000")


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
def test_a_compressed_file_that_ends_too_early(pack: Callable[[bytes], bytes]) -> None:
    """All that can be decompressed is read, and one fault says how far that went."""
    whole = LINES * 3
    for tail in (1, 5, 40):
        found, [fault] = read_despite(pack(whole)[:-tail])
        assert found == (WANTED * 3)[: len(found)]
        assert fault.startswith("ends too early: nothing can be decompressed after byte")
    found, [fault] = read_despite(pack(whole) + pack(whole)[:-9])
    assert found[:12] == WANTED * 3
    assert read_despite(pack(TRACES.read_bytes()) + pack(LOGS.read_bytes())[:-9])[0][:2] == WANTED[:2]


def with_checksum(plain: bytes) -> bytes:
    """As the program `zstd` does it."""
    return zstd.compress(plain, options={zstd.CompressionParameter.checksum_flag: 1})


@pytest.mark.parametrize("pack", [gzip.compress, with_checksum], ids=["gzip", "zstd"])
def test_a_compressed_file_that_is_damaged(pack: Callable[[bytes], bytes]) -> None:
    """Junk behind it, or in it: what came before is read."""
    found, [fault] = read_despite(pack(LINES) + b"secret junk")
    assert found == WANTED
    assert fault == f"is damaged: nothing can be decompressed after byte {len(LINES)} of its content"
    packed = bytearray(pack(LINES + os.urandom(200_000).hex().encode()))
    packed[len(packed) // 2 : len(packed) // 2 + 50] = bytes(50)
    found, told = read_despite(bytes(packed))
    assert found == WANTED
    assert "nothing can be decompressed after byte" in told[-1]


def test_broken_messages_of_a_collector() -> None:
    """A message that cannot be read costs itself; without the next length nothing more can be found."""
    spans, records = TRACES.read_bytes(), LOGS.read_bytes()
    found, told = read_despite(
        prefixed(spans, zstd.compress(records)[:-3], b"{}x", b"\x0a\x03abc", zstd.compress(records))
    )
    assert found == WANTED
    assert [fault.partition(":")[0] for fault in told[:2]] == [
        f"the message at byte {len(spans) + 4}",
        f"the message at byte {len(prefixed(spans, zstd.compress(records)[:-3]))}",
    ]
    assert len(told) == 3
    found, [fault] = read_despite(prefixed(spans, records)[:-1])
    assert found == WANTED[:2]
    assert fault == f"ends too early: the message at byte {len(spans) + 4} is not whole"
    found, [fault] = read_despite(prefixed(spans) + b"\xff\xff\xff\xff" + records)
    assert found == WANTED[:2]
    assert fault == f"the message at byte {len(spans) + 4} is larger than 64 MiB"
    bomb = zstd.compress(b"\x0a" + bytes(LARGEST))
    assert faults(read(prefixed(spans, bomb))) == [
        f"the message at byte {len(spans) + 4}: not whole, or larger than 64 MiB"
    ]


# -- memory


class Endless(io.RawIOBase):
    """A file that is made while it is read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks = chunks
        self.rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self.rest = self.rest or next(self.chunks, b"")
        found, self.rest = self.rest[:size], self.rest[size:]
        return found


def peak(chunks: Iterator[bytes]) -> tuple[int, int, list[str]]:
    """The most memory that reading takes, in bytes; the signals that were read, and the faults."""
    tracemalloc.start()
    count, told = 0, []
    try:
        for entry in entries(Endless(chunks)):  # type: ignore[arg-type]
            count += len(entry.signals)
            told += [entry.fault] if entry.fault else []
        return tracemalloc.get_traced_memory()[1], count, told
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", ["lines", "protobuf", "messages", "gzip"])
def test_a_file_of_any_size_takes_little_memory(form: str) -> None:
    """Ten times the file takes no more memory, in any form; a hundred times decompressed neither."""
    spans = TRACES.read_bytes()
    chunk = {"lines": SPANS + b"\n", "protobuf": spans, "messages": prefixed(spans)}.get(form)
    chunk = chunk or gzip.compress((SPANS + b"\n") * 100)
    times = 10 if form == "gzip" else 100
    little, few, none = peak(iter([chunk] * times))
    much, many, neither = peak(iter([chunk] * times * 10))
    assert (many, none, neither) == (10 * few, [], [])
    assert few >= 2 * times
    assert much < little + 2_000_000


def test_a_line_that_is_too_long_costs_itself() -> None:
    """100 MB without an end: at no time more is held than the limit, and the lines around it are read."""
    long = (b"x" * 1_000_000 for _ in range(100))
    chunks = (chunk for part in ([SPANS, b'\n{"resourceSpans":"'], long, [b'"}\n', RECORDS]) for chunk in part)
    most, count, told = peak(chunks)
    assert count == len(WANTED)
    assert told == ["line 2: larger than 64 MiB"]
    assert most < 2.5 * LARGEST


def test_an_entry_that_is_too_large_costs_itself() -> None:
    """The same for protobuf, and for an indented document."""
    size = LARGEST + 1_000_000
    varint = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 21])
    rest = (bytes(1_000_000) for _ in range(size // 1_000_000))
    chunks = (
        chunk for part in ([b"\x0a" + varint], rest, [bytes(size % 1_000_000), TRACES.read_bytes()]) for chunk in part
    )
    most, count, told = peak(chunks)
    assert (count, told) == (2, ["the entry at byte 0 is larger than 64 MiB"])
    assert most < 2.5 * LARGEST
    lines = (b' "x": "' + b"x" * 1_000_000 + b'",\n' for _ in range(70))
    chunks = (chunk for part in ([b"{\n"], lines, [b' "resourceSpans": []\n}\n', LINES]) for chunk in part)
    most, count, told = peak(chunks)
    assert (count, told) == (4, ["line 1: larger than 64 MiB"])
    assert most < 2.5 * LARGEST


# -- the command


def test_a_recording_becomes_rows(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Spans and their content events meet in one operation each; the command says what became of every file."""
    assert imported(url, LOGS, TRACES) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{LOGS}: 2 stored, 0 duplicate, 0 ignored, 0 dead-lettered",
        f"{TRACES}: 2 stored, 0 duplicate, 0 ignored, 0 dead-lettered",
        "total: 4 stored, 0 duplicate, 0 ignored, 0 dead-lettered",
    ]
    tables = stored(url)
    assert sorted(row["input_tokens"] for row in tables["llm_operations"]) == [922, 932]
    assert {row["role"] for row in tables["llm_messages"]} == {"system", "user", "assistant", "tool"}


def test_importing_again_in_another_order_changes_nothing(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same files twice give the same rows, and every span and log record is said to be a duplicate."""
    assert imported(url, LOGS, TRACES) == 0
    before = stored(url)
    told = capsys.readouterr().out.splitlines()
    assert told[1] == f"{TRACES}: 2 stored, 0 duplicate, 0 ignored, 0 dead-lettered"
    assert imported(url, TRACES, LOGS) == 0
    assert stored(url) == before
    again = [re.sub(r"(\d+) stored, 0 duplicate", r"0 stored, \1 duplicate", line) for line in told]
    assert capsys.readouterr().out.splitlines() == [again[1], again[0], again[2]]


# -- the command, whatever the form


class Exported:
    """Telemetry of a program, written by OpenTelemetry Python's file exporters."""

    def __init__(self, folder: Path) -> None:
        self.spans, self.logs, self.metrics = (folder / f"{name}.jsonl" for name in ("spans", "logs", "metrics"))
        tracers, loggers = TracerProvider(), LoggerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(FileSpanExporter(self.spans)))
        loggers.add_log_record_processor(SimpleLogRecordProcessor(FileLogExporter(self.logs)))
        meters = MeterProvider([PeriodicExportingMetricReader(FileMetricExporter(self.metrics))])
        self._run(tracers, loggers)
        meters.get_meter("m").create_counter("gen_ai.client.token.usage").add(3)
        for provider in (tracers, loggers, meters):
            provider.shutdown()  # type: ignore[attr-defined]

    def _run(self, tracers: TracerProvider, loggers: LoggerProvider) -> None:
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.usage.input_tokens": 7,
            "gen_ai.request.temperature": 0.5,
            "gen_ai.response.finish_reasons": ["stop"],
            "app.nan": float("nan"),
            "app.cut": "half an emoji \ud83d",
            "app.bytes": b"\x00\xff",
        }
        tracer, logger = tracers.get_tracer("t", "1"), loggers.get_logger("l")
        with tracer.start_as_current_span("POST /chat", attributes={"http.request.method": "POST"}):  # noqa: SIM117
            with tracer.start_as_current_span("chat gpt-4o-mini", attributes=attributes):
                system = {"gen_ai.system": "openai"}
                logger.emit(LogRecord(event_name="gen_ai.user.message", body={"content": "hi"}, attributes=system))


def test_what_pythons_file_exporter_writes(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Spans and log records meet in one operation; other people's spans and metrics are counted as ignored."""
    exported = Exported(tmp_path)
    assert imported(url, exported.spans, exported.logs, exported.metrics) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{exported.spans}: 1 stored, 0 duplicate, 1 ignored, 0 dead-lettered",
        f"{exported.logs}: 1 stored, 0 duplicate, 0 ignored, 0 dead-lettered",
        f"{exported.metrics}: 0 stored, 0 duplicate, 1 ignored, 0 dead-lettered",
        "total: 2 stored, 0 duplicate, 2 ignored, 0 dead-lettered",
    ]
    tables = stored(url)
    [operation], [message] = tables["llm_operations"], tables["llm_messages"]
    assert (operation["input_tokens"], operation["model"], operation["finish_reason"]) == (7, "gpt-4o-mini", "stop")
    assert (message["role"], message["content"]) == ("user", "hi")
    assert operation["extras"]["app.cut"].startswith("half an emoji ")


def test_every_form_leaves_the_same_tables(kind: str, new_database: Callable[[str], str], tmp_path: Path) -> None:
    """The same telemetry as protobuf, JSON, JSON Lines, compressed, or from a Collector: equal rows in every table."""
    whole = {name: held for name, held in documents().items() if name in ("one document, indented", "lines")}
    files = {
        "joined.pb": TRACES.read_bytes() + LOGS.read_bytes(),
        "document.json": whole["one document, indented"],
        "lines.jsonl": whole["lines"],
        "lines.jsonl.gz": gzip.compress(LINES),
        "lines.jsonl.zst": zstd.compress(LINES),
        "joined.pb.zst": zstd.compress(TRACES.read_bytes() + LOGS.read_bytes()),
        "named.wrongly.json": gzip.compress(TRACES.read_bytes() + LOGS.read_bytes()),
    }
    paths = [written(tmp_path, name, payload) for name, payload in files.items()]
    tables = []
    for path in [*paths, *COLLECTOR]:
        url = new_database(kind)
        assert imported(url, path) == 0
        tables.append(stored(url))
    assert len(tables[0]["llm_operations"]) == 2
    assert all(each == tables[0] for each in tables[1:])
    assert imported(url, *paths) == 0
    assert stored(url) == tables[0]


# -- the command, when something is wrong


def test_what_is_wrong_is_said_and_the_rest_is_stored(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1; each fault on a line with its file; what can be read of broken files is stored."""
    broken = written(tmp_path, "broken.pb", LOGS.read_bytes() + TRACES.read_bytes()[:-1])
    missing, junk = tmp_path / "missing.pb", written(tmp_path, "junk", b"\x89PNG secret")
    lines = written(tmp_path, "lines.jsonl", b'{"secret\n' + SPANS)
    assert imported(database, broken, missing, tmp_path, junk, lines) == failures.FAILURE
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        f"otel-llm-sql: {broken}: ends too early: the entry at byte {LOGS.stat().st_size} lacks 1 bytes",
        f"otel-llm-sql: {missing}: No such file or directory",
        f"otel-llm-sql: {tmp_path}: Is a directory",
        f"otel-llm-sql: {junk}: no OTLP JSON and no OTLP protobuf request at byte 0",
        f"otel-llm-sql: {lines}: line 1: no JSON at character 8: unexpected end of data",
    ]
    assert printed.out.splitlines() == [
        f"{broken}: 2 stored, 0 duplicate, 0 ignored, 0 dead-lettered",
        f"{lines}: 2 stored, 0 duplicate, 0 ignored, 0 dead-lettered",
        "total: 4 stored, 0 duplicate, 0 ignored, 0 dead-lettered",
    ]
    assert len(stored(database)["llm_operations"]) == 2


def test_a_thousand_faults_are_not_told_one_by_one(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first ten of a file, and how many more there are."""
    assert imported(database, written(tmp_path, "f", SPANS + b"\nbroken" * 1000)) == failures.FAILURE
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 11
    assert told[10].endswith(": and 990 more of the kind")


def test_a_file_larger_than_a_transaction(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """2,500 spans, one a line, of which the first and the last are the same: all are stored, once."""
    request = orjson.loads(SPANS)
    [span] = [
        span for entry in request["resourceSpans"] for scope in entry["scopeSpans"] for span in scope["spans"][:1]
    ][:1]
    numbers = [*range(1, 2500), 1]
    spans = [span | {"traceId": f"{number:032x}", "parentSpanId": ""} for number in numbers]
    lines = (orjson.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}) for span in spans)
    assert imported(database, written(tmp_path, "many.jsonl", b"\n".join(lines))) == 0
    assert "2,499 stored, 1 duplicate, 0 ignored, 0 dead-lettered" in capsys.readouterr().out
    assert len(stored(database)["llm_operations"]) == 2499


# -- the command, as people call it


RUN = "import sys; from otel_llm_sql.cli import main; sys.exit(main())"


def on_a_terminal(program: str, *words: str) -> tuple[str, str]:
    """What a command prints, and what a person sees meanwhile whose terminal is its standard error."""
    inner, outer = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"TERM": "xterm-256color", "COLUMNS": "100"}
    command = [sys.executable, "-c", program, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=outer, env=environment, text=True) as process:
        os.close(outer)
        shown = b""
        try:
            while seen := os.read(inner, 65536):
                shown += seen
        except OSError:  # how Linux says that the other side has closed
            pass
        printed = process.communicate()[0]
        assert process.returncode == 0, shown.decode()
    os.close(inner)
    return printed, shown.decode()


@pytest.mark.parametrize("program", ["import sys; sys.modules['rich'] = None; " + RUN, RUN], ids=["plain", "rich"])
def test_progress_is_shown_on_a_terminal_alone(program: str, database: str) -> None:
    """With rich a bar, else a line; results stay on standard output, and into a pipe goes nothing else."""
    words = ["import", "--db-uri", database, str(TRACES)]
    printed, shown = on_a_terminal(program, *words)
    assert printed == f"{TRACES}: 2 stored, 0 duplicate, 0 ignored, 0 dead-lettered\n"
    assert TRACES.name in shown or "traces" in shown
    assert ("MB (100 %)" in shown) == ("None" in program)
    piped = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    assert (piped.stderr, piped.stdout.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    "payload", [LINES, gzip.compress(LINES), TRACES.read_bytes() + LOGS.read_bytes()], ids=["lines", "gzip", "protobuf"]
)
def test_standard_input(payload: bytes, database: str) -> None:
    """`-` is what comes through a pipe, in any form."""
    command = [sys.executable, "-c", RUN, "import", "--db-uri", database, "-"]
    done = subprocess.run(command, input=payload, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"-: 4 stored, 0 duplicate, 0 ignored, 0 dead-lettered\n"
    assert len(stored(database)["llm_operations"]) == 2


def test_a_name_that_cannot_be_printed(database: str, tmp_path: Path) -> None:
    """Standard output may know fewer letters than the file system: the name is escaped, the next file imported."""
    odd, next_one = (
        written(tmp_path, "\u00e9\U0001f600.jsonl", LINES),
        written(tmp_path, "next.pb", TRACES.read_bytes()),
    )
    command = [sys.executable, "-c", RUN, "import", "--db-uri", database, str(odd), str(next_one)]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\xe9\\U0001f600.jsonl: 4 stored" in done.stdout
    assert b"next.pb: " in done.stdout


@pytest.mark.parametrize(
    ("missing", "payload", "said"),
    [
        ("backports.zstd", zstd.compress(LINES), "reading Zstandard needs backports.zstd: pip install"),
        ("opentelemetry.proto", TRACES.read_bytes(), "reading OTLP needs opentelemetry-proto: pip install"),
    ],
)
def test_what_is_not_installed_is_said(missing: str, payload: bytes, said: str, database: str, tmp_path: Path) -> None:
    """It costs the files that need it; JSON needs nothing."""
    program = f"import sys; sys.modules['{missing}'] = None; {RUN}"
    files = [str(written(tmp_path, "needs", payload)), str(written(tmp_path, "json", LINES))]
    command = [sys.executable, "-c", program, "import", "--db-uri", database, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == failures.FAILURE
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout.startswith(f"{files[1]}: 4 stored")


def test_no_file_is_a_usage_error(database: str) -> None:
    """There is nothing to do; nothing is stored."""
    assert imported(database) == failures.USAGE
    assert stored(database)["llm_operations"] == []


def test_what_is_not_about_llm_calls_and_what_names_no_span(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Other people's spans are counted as ignored, records without a span as dead-lettered."""
    assert imported(database, FOLDER / "openlit-anthropic" / "chat" / "traces.pb") == 0
    assert ", 0 ignored," not in capsys.readouterr().out
    assert imported(database, FOLDER / "traceloop-anthropic.events" / "tools" / "logs.pb") == 0
    assert ", 0 dead-lettered" not in capsys.readouterr().out
    assert len(stored(database)["llm_dead_letters"]) > 0


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_database_that_does_not_answer_is_exit_code_3(scheme: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said once, without the password, however many files there are."""
    url = f"{scheme}://somebody:s3cret-word@127.0.0.1:{free_port()}/nothing"
    assert imported(url, TRACES, LOGS) == failures.UNREACHABLE
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert "s3cret-word" not in printed.err
