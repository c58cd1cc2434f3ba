"""OTLP protobuf as it stands in a file: requests of traces, of logs or of both, one after the other.

Requests that are joined are one request to protobuf. What an entry holds is told by its content; a fault is told with
the byte at which the entry begins that has it.
"""

from __future__ import annotations

from collections.abc import Iterator

from otel_llm_sql.errors import LlmSqlError
from otel_llm_sql.intake.otlp import signals_from_logs, signals_from_traces
from otel_llm_sql.intake.signal import Signal

_ENTRY = 0x0A
"""Field 1, length-delimited: `resource_spans` and `resource_logs`, the only field that either request has."""


def signals_from_file(payload: bytes) -> list[Signal]:
    """The spans and log records of a file.

    Args:
        payload: ExportTraceServiceRequests and ExportLogsServiceRequests, joined in any order.

    Raises:
        LlmSqlError: the bytes are something else, or end too early, or opentelemetry-proto is not installed.
    """
    signals_from_traces(b"")  # what is not installed is no fault of the file
    return [signal for start, end in _entries(payload) for signal in _read(payload[start:end], start)]


def _entries(payload: bytes) -> Iterator[tuple[int, int]]:
    """Where each entry begins and ends: an entry alone is a request, too."""
    start = 0
    while start < len(payload):
        if payload[start] != _ENTRY:
            raise LlmSqlError(f"no OTLP protobuf request of traces or logs at byte {start}")
        content, length = _varint(payload, start + 1)
        if content + length > len(payload):
            raise LlmSqlError(
                f"ends too early: the entry at byte {start} lacks {content + length - len(payload)} bytes"
            )
        yield start, content + length
        start = content + length


def _varint(payload: bytes, start: int) -> tuple[int, int]:
    """The byte after a varint, and its value."""
    value = 0
    for place, byte in enumerate(payload[start : start + 10]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:  # noqa: PLR2004 - the highest bit says that more follows
            return start + place + 1, value
    raise LlmSqlError(f"no length can be read at byte {start}")


def _read(entry: bytes, start: int) -> list[Signal]:
    """The signals of one entry.

    The fields of spans and of log records have the same numbers and other types: of what is read as the other kind the
    ids of spans and the times of log records are missing, or it cannot be read at all.
    """
    spans, records = _attempt(entry)
    if spans and any(span.trace_id and span.span_id for span in spans):
        return spans
    if records and any(record.start_ns for record in records):
        return records
    if spans == [] == records:
        return []
    raise LlmSqlError(f"neither spans nor log records can be read from the entry at byte {start}")


def _attempt(entry: bytes) -> tuple[list[Signal] | None, list[Signal] | None]:
    """The entry read as spans, and as log records; None where that is not possible."""
    found: list[list[Signal] | None] = []
    for read in (signals_from_traces, signals_from_logs):
        try:
            found.append(read(entry))
        except LlmSqlError:
            found.append(None)
    return found[0], found[1]
