"""OTLP JSON becomes Signals: `signals_from_traces_json` and `signals_from_logs_json`, equal to those of protobuf.

Written by hand as protobuf's own JSON parser misreads it: OTLP's ids are hex, not base64, and fields that nobody knows
are no error (OTLP 1.10, "JSON Protobuf Encoding"). The lists of the envelope must be lists; below them a field of the
wrong type counts as absent, so that it costs neither its span nor the neighbours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from otel_llm_sql.errors import LlmSqlError
from otel_llm_sql.intake.json_fields import (
    attributes_of,
    integer,
    list_of,
    object_of,
    snake,
    text_of,
    unsigned,
    value_of,
)
from otel_llm_sql.intake.signal import STATUS, Signal, SpanEvent, Status, event_name

_TRACE_ID, _SPAN_ID = 32, 16
"""Hex digits."""

_HEX = re.compile("[0-9a-fA-F]+")

_STATUS_NAMES: dict[str, Status] = {"STATUS_CODE_OK": "ok", "STATUS_CODE_ERROR": "error"}


_SNAKE = {
    camel: snake(camel)
    for camel in (
        "resourceSpans resourceLogs resourceMetrics scopeSpans scopeLogs scopeMetrics logRecords traceId spanId"
        " parentSpanId startTimeUnixNano endTimeUnixNano timeUnixNano observedTimeUnixNano eventName"
        " droppedAttributesCount droppedEventsCount"
    ).split()
}
"""OTLP writes lowerCamelCase; JSON made by protobuf's tools may keep the names of the fields."""


def signals_from_traces_json(payload: bytes) -> list[Signal]:
    """The spans of an ExportTraceServiceRequest in JSON.

    Raises:
        LlmSqlError: the bytes are no such request; the message says where, and repeats nothing of them.
    """
    return list(spans_of(document(payload)))


def signals_from_logs_json(payload: bytes) -> list[Signal]:
    """The log records of an ExportLogsServiceRequest in JSON.

    Raises:
        LlmSqlError: the bytes are no such request; the message says where, and repeats nothing of them.
    """
    return list(logs_of(document(payload)))


def document(payload: bytes) -> Mapping[str, Any]:
    """The JSON object that a payload is.

    Raises:
        LlmSqlError: it is none.
    """
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        found = _lenient(payload, error)
    if not isinstance(found, dict):
        raise LlmSqlError("no OTLP request: the JSON is no object")
    return found


def _lenient(payload: bytes, error: orjson.JSONDecodeError) -> Any:
    """What orjson refuses and exporters write: half an emoji (JavaScript cuts texts so), and a bare NaN (Python)."""
    try:
        return json.loads(payload.decode())  # of bytes it would guess the encoding
    except UnicodeDecodeError as wrong:
        raise LlmSqlError(f"no UTF-8 at byte {wrong.start}") from None
    except (ValueError, RecursionError):
        raise LlmSqlError(f"no JSON at character {error.pos}: {error.msg}") from None


def spans_of(request: Mapping[str, Any]) -> Iterator[Signal]:
    """The spans of a parsed request.

    Raises:
        LlmSqlError: its envelope is not OTLP's.
    """
    return (_span(*found) for found in _walk(request, "resourceSpans", "scopeSpans", "spans"))


def logs_of(request: Mapping[str, Any]) -> Iterator[Signal]:
    """The log records of a parsed request.

    Raises:
        LlmSqlError: its envelope is not OTLP's.
    """
    return (_log(*found) for found in _walk(request, "resourceLogs", "scopeLogs", "logRecords"))


def count_metrics(request: Mapping[str, Any]) -> int:
    """How many metrics a parsed request holds.

    Raises:
        LlmSqlError: its envelope is not OTLP's.
    """
    return sum(1 for _ in _walk(request, "resourceMetrics", "scopeMetrics", "metrics"))


def is_request(request: Mapping[str, Any]) -> bool:
    """Whether it says that it is a request of spans, log records or metrics."""
    return any(name in request or _SNAKE[name] in request for name in _REQUESTS)


_REQUESTS = ("resourceSpans", "resourceLogs", "resourceMetrics")

_Found = tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]


def _walk(request: Mapping[str, Any], entries: str, scopes: str, items: str) -> Iterator[_Found]:
    """Every item with the attributes of its resource, and its scope."""
    for place, entry in _objects(request, entries, "the request"):
        resource = attributes_of(object_of(entry.get("resource")).get("attributes"))
        for inner, scope in _objects(entry, scopes, place):
            told = object_of(scope.get("scope"))
            for _, item in _objects(scope, items, inner):
                yield item, resource, told


def _objects(owner: Mapping[str, Any], name: str, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    found = _field(owner, name)
    if found is None:
        return
    if not isinstance(found, list):
        raise LlmSqlError(f"no OTLP request: {name} of {place} is no list")
    for number, item in enumerate(found):
        here = f"{name}[{number}] of {place}"
        if not isinstance(item, dict):
            raise LlmSqlError(f"no OTLP request: {here} is no object")
        yield here, item


def _field(owner: Mapping[str, Any], name: str) -> Any:
    value = owner.get(name)
    return owner.get(_SNAKE[name]) if value is None and name in _SNAKE else value


def _span(span: Mapping[str, Any], resource: Mapping[str, Any], scope: Mapping[str, Any]) -> Signal:
    status = object_of(span.get("status"))
    return Signal(
        kind="span",
        trace_id=_id(_field(span, "traceId"), _TRACE_ID),
        span_id=_id(_field(span, "spanId"), _SPAN_ID),
        parent_span_id=_id(_field(span, "parentSpanId"), _SPAN_ID) or None,
        name=text_of(span.get("name")),
        start_ns=unsigned(_field(span, "startTimeUnixNano")),
        end_ns=unsigned(_field(span, "endTimeUnixNano")),
        attributes=attributes_of(span.get("attributes")),
        resource=resource,
        scope_name=text_of(scope.get("name")) or None,
        scope_version=text_of(scope.get("version")) or None,
        status=_status(status.get("code")),
        status_message=text_of(status.get("message")) or None,
        events=tuple(map(_event, list_of(span.get("events")))),
        dropped_attributes=unsigned(_field(span, "droppedAttributesCount")),
        dropped_events=unsigned(_field(span, "droppedEventsCount")),
    )


def _event(event: Any) -> SpanEvent:
    told = object_of(event)
    return SpanEvent(
        text_of(told.get("name")), unsigned(_field(told, "timeUnixNano")), attributes_of(told.get("attributes"))
    )


def _log(record: Mapping[str, Any], resource: Mapping[str, Any], scope: Mapping[str, Any]) -> Signal:
    attributes = attributes_of(record.get("attributes"))
    time_ns = unsigned(_field(record, "timeUnixNano")) or unsigned(_field(record, "observedTimeUnixNano"))
    return Signal(
        kind="log",
        trace_id=_id(_field(record, "traceId"), _TRACE_ID),
        span_id=_id(_field(record, "spanId"), _SPAN_ID),
        parent_span_id=None,
        name=event_name(_field(record, "eventName"), attributes),
        start_ns=time_ns,
        end_ns=time_ns,
        attributes=attributes,
        resource=resource,
        scope_name=text_of(scope.get("name")) or None,
        scope_version=text_of(scope.get("version")) or None,
        body=value_of(record.get("body")),
        dropped_attributes=unsigned(_field(record, "droppedAttributesCount")),
    )


def _id(value: Any, digits: int) -> str:
    """An id in lower case; empty where it is zero or no id."""
    if not isinstance(value, str) or len(value) != digits or not _HEX.fullmatch(value):
        return ""
    return value.lower() if value.strip("0") else ""


def _status(code: Any) -> Status:
    if isinstance(code, str) and code in _STATUS_NAMES:
        return _STATUS_NAMES[code]
    number = integer(code)
    return "unset" if number is None else STATUS.get(number, "unset")
