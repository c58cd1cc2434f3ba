"""OTLP as it stands in files: `entries` gives one piece after the other, so that a file may be of any size.

What a file holds is told by its content: JSON (a document, or one a line), protobuf requests one after the other, or
the messages with their length before them that a Collector's file exporter writes as `format: proto` or with
`compression: zstd`; each of them compressed or not. A piece that is broken says where it stands and costs itself alone,
unless nobody can tell where the next one begins.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from otel_llm_sql.errors import LlmSqlError
from otel_llm_sql.intake import otlp_json
from otel_llm_sql.intake.byte_stream import LARGEST, ZSTD, ByteStream, zstd
from otel_llm_sql.intake.json_documents import documents, looks_like_json
from otel_llm_sql.intake.otlp import count_metrics, signals_from_logs, signals_from_traces
from otel_llm_sql.intake.signal import Signal

_TAG = 0x0A
"""Field 1, length-delimited: `resource_spans` and its like, the only field that any request has."""

_LENGTH = 4
"""Bytes of the length before a message, the highest first."""

_LONGEST_VARINT = 10

_TOO_LARGE = f"larger than {LARGEST // 2**20} MiB"


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands in one place of a file.

    Attributes:
        signals: its spans and log records.
        size: bytes that it takes in the file, before compression.
        metrics: how many metrics it holds, which become no Signals.
        fault: what is wrong with it and where it stands, without content; None if it could be read.
    """

    signals: list[Signal]
    size: int = 0
    metrics: int = 0
    fault: str | None = None


def entries(file: BinaryIO) -> Iterator[Entry]:
    """What a file holds, in its order.

    Args:
        file: any bytes; it need not be seekable.

    Raises:
        LlmSqlError: opentelemetry-proto or backports.zstd is needed, and not installed.
    """
    stream = ByteStream(file)
    for entry in _forms(stream):
        if entry.fault is None or stream.fault is None:  # a piece that is cut off is no fault of its own
            yield entry
    if stream.fault:
        yield _broken(stream.fault)


def _forms(stream: ByteStream) -> Iterator[Entry]:
    if not stream.head:
        return iter(())
    if looks_like_json(stream.head):
        return _json(stream)
    signals_from_traces(b"")  # what is not installed is no fault of the file
    return _prefixed(stream) if _has_prefix(stream.head) else _protobuf(stream)


def _broken(fault: str) -> Entry:
    return Entry([], fault=fault)


def _json(stream: ByteStream) -> Iterator[Entry]:
    for line, payload in documents(stream):
        try:
            yield _of_json(payload)
        except LlmSqlError as error:
            yield _broken(f"line {line}: {error}")


def _of_json(payload: bytes | None) -> Entry:
    if payload is None:
        raise LlmSqlError(_TOO_LARGE)
    request = otlp_json.document(payload)
    if request and not otlp_json.is_request(request):
        raise LlmSqlError("no OTLP request: it has neither resourceSpans nor resourceLogs nor resourceMetrics")
    signals = [*otlp_json.spans_of(request), *otlp_json.logs_of(request)]
    return Entry(signals, len(payload), otlp_json.count_metrics(request))


def _has_prefix(head: bytes) -> bool:
    """Whether a file begins with the length of a message: neither JSON nor a request begins with such a byte."""
    message = head[_LENGTH:]
    return _length(head) <= LARGEST and (message[:1] in (bytes([_TAG]), b"{") or message.startswith(ZSTD))


def _length(prefix: bytes) -> int:
    return int.from_bytes(prefix[:_LENGTH], "big")


def _prefixed(stream: ByteStream) -> Iterator[Entry]:
    while prefix := stream.read(_LENGTH):
        start, size = stream.position - len(prefix), _length(prefix)
        if size > LARGEST:
            yield _broken(f"the message at byte {start} is {_TOO_LARGE}")
            return
        message = stream.read(size)
        if len(prefix) < _LENGTH or len(message) < size:
            yield _broken(f"ends too early: the message at byte {start} is not whole")
            return
        try:
            yield from _of_message(message)
        except LlmSqlError as error:
            yield _broken(f"the message at byte {start}: {error}")


def _of_message(message: bytes) -> Iterator[Entry]:
    if message.startswith(ZSTD):
        message = _unpacked(message)
    return iter([_of_json(message)]) if message.startswith(b"{") else _protobuf(ByteStream(io.BytesIO(message)))


def _unpacked(message: bytes) -> bytes:
    decompressor = zstd().ZstdDecompressor()
    try:
        found: bytes = decompressor.decompress(message, max_length=LARGEST)
    except zstd().ZstdError:
        raise LlmSqlError("cannot be decompressed") from None
    if not decompressor.eof:
        raise LlmSqlError(f"not whole, or {_TOO_LARGE}")
    return found


def _protobuf(stream: ByteStream) -> Iterator[Entry]:
    """Entries of requests: each alone is a request, too."""
    while tag := stream.read(1):
        start = stream.position - 1
        if tag[0] != _TAG:
            expected = "OTLP protobuf request" if start else "OTLP JSON and no OTLP protobuf request"
            yield _broken(f"no {expected} at byte {start}")
            return
        varint = _varint(stream)
        if varint is None:
            yield _broken(f"no length can be read at byte {start + 1}")
            return
        length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(varint))
        payload = stream.read(min(length, LARGEST))
        if missing := stream.skip(length - len(payload)):
            yield _broken(f"ends too early: the entry at byte {start} lacks {missing} bytes")
        elif length > LARGEST:
            yield _broken(f"the entry at byte {start} is {_TOO_LARGE}")
        else:
            yield _of_entry(tag + varint + payload, start)


def _varint(stream: ByteStream) -> bytes | None:
    """A varint as it stands there; None where there is none."""
    found = b""
    while len(found) < _LONGEST_VARINT and (byte := stream.read(1)):
        found += byte
        if byte[0] < 0x80:  # noqa: PLR2004 - the highest bit says that more follows
            return found
    return None


def _of_entry(request: bytes, start: int) -> Entry:
    """The signals of one entry.

    The fields of spans, log records and metrics have the same numbers and other types: of what is read as another kind
    the ids of spans are missing, and times, attributes and one of the ids of log records, or it cannot be read at all.
    """
    spans, records = _attempt(request)
    if spans and any(span.trace_id and span.span_id for span in spans):
        return Entry(spans, len(request))
    if records and any(_is_record(record) for record in records):
        return Entry(records, len(request))
    if metrics := count_metrics(request):
        return Entry([], len(request), metrics)
    if spans == [] == records:
        return Entry([], len(request))
    return _broken(f"neither spans nor log records nor metrics can be read from the entry at byte {start}")


def _is_record(signal: Signal) -> bool:
    """Whether it was a log record that was read as one; it need not have a time (0 stands for an unknown one)."""
    return bool(signal.start_ns or signal.attributes or (signal.trace_id and signal.span_id))


def _attempt(entry: bytes) -> tuple[list[Signal] | None, list[Signal] | None]:
    """The entry read as spans, and as log records; None where that is not possible."""
    found: list[list[Signal] | None] = []
    for read in (signals_from_traces, signals_from_logs):
        try:
            found.append(read(entry))
        except LlmSqlError:
            found.append(None)
    return found[0], found[1]
