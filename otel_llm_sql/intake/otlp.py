"""OTLP protobuf becomes Signals: `signals_from_traces` and `signals_from_logs`.

It needs opentelemetry-proto, which is no dependency of this package: it is imported when it is first needed, and its
absence is said with what to install.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from otel_llm_sql.errors import LlmSqlError
from otel_llm_sql.intake.signal import STATUS, Signal, SpanEvent, event_name

_TRACES = ("opentelemetry.proto.collector.trace.v1.trace_service_pb2", "ExportTraceServiceRequest")
_LOGS = ("opentelemetry.proto.collector.logs.v1.logs_service_pb2", "ExportLogsServiceRequest")
_METRICS = ("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2", "ExportMetricsServiceRequest")

_TRACE_ID, _SPAN_ID = 16, 8
"""Bytes of an id. One of another length is no id, as zero is none."""


def signals_from_traces(payload: bytes) -> list[Signal]:
    """The spans of an ExportTraceServiceRequest.

    Raises:
        LlmSqlError: the bytes are no such request, or opentelemetry-proto is not installed.
    """
    return [
        _span(span, resource, scope.scope)
        for entry in _parse(_TRACES, payload).resource_spans
        for resource in (_attributes(entry.resource.attributes),)
        for scope in entry.scope_spans
        for span in scope.spans
    ]


def signals_from_logs(payload: bytes) -> list[Signal]:
    """The log records of an ExportLogsServiceRequest.

    Raises:
        LlmSqlError: the bytes are no such request, or opentelemetry-proto is not installed.
    """
    return [
        _log(record, resource, scope.scope)
        for entry in _parse(_LOGS, payload).resource_logs
        for resource in (_attributes(entry.resource.attributes),)
        for scope in entry.scope_logs
        for record in scope.log_records
    ]


def count_metrics(payload: bytes) -> int:
    """How many metrics an ExportMetricsServiceRequest holds: those with data; none where it is no such request.

    Raises:
        LlmSqlError: opentelemetry-proto is not installed.
    """
    message, failure = _message_class(_METRICS)
    try:
        entries = message.FromString(payload).resource_metrics
    except failure:
        return 0
    metrics = (metric for entry in entries for scope in entry.scope_metrics for metric in scope.metrics)
    return sum(1 for metric in metrics if metric.name and metric.WhichOneof("data"))


def _parse(request: tuple[str, str], payload: bytes) -> Any:
    message, failure = _message_class(request)
    try:
        return message.FromString(payload)
    except failure as error:
        raise LlmSqlError(f"{len(payload)} bytes are no OTLP {request[1]}: {error}") from error


@cache
def _message_class(request: tuple[str, str]) -> tuple[Any, type[Exception]]:
    try:
        module = importlib.import_module(request[0])
        failure = importlib.import_module("google.protobuf.message").DecodeError
    except ImportError as error:
        raise LlmSqlError("reading OTLP needs opentelemetry-proto: pip install 'otel-llm-sql[otlp]'") from error
    return getattr(module, request[1]), failure


def _span(span: Any, resource: dict[str, Any], scope: Any) -> Signal:
    return Signal(
        kind="span",
        trace_id=_id(span.trace_id, _TRACE_ID),
        span_id=_id(span.span_id, _SPAN_ID),
        parent_span_id=_id(span.parent_span_id, _SPAN_ID) or None,
        name=span.name,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        resource=resource,
        scope_name=scope.name or None,
        scope_version=scope.version or None,
        status=STATUS.get(span.status.code, "unset"),
        status_message=span.status.message or None,
        events=tuple(SpanEvent(e.name, e.time_unix_nano, _attributes(e.attributes)) for e in span.events),
        dropped_attributes=span.dropped_attributes_count,
        dropped_events=span.dropped_events_count,
    )


def _log(record: Any, resource: dict[str, Any], scope: Any) -> Signal:
    attributes = _attributes(record.attributes)
    time_ns = record.time_unix_nano or record.observed_time_unix_nano
    return Signal(
        kind="log",
        trace_id=_id(record.trace_id, _TRACE_ID),
        span_id=_id(record.span_id, _SPAN_ID),
        parent_span_id=None,
        name=event_name(getattr(record, "event_name", ""), attributes),  # no such field in OTLP before 1.5
        start_ns=time_ns,
        end_ns=time_ns,
        attributes=attributes,
        resource=resource,
        scope_name=scope.name or None,
        scope_version=scope.version or None,
        body=_value(record.body) if record.HasField("body") else None,
        dropped_attributes=record.dropped_attributes_count,
    )


def _id(raw: bytes, size: int) -> str:
    return raw.hex() if len(raw) == size and any(raw) else ""


def _attributes(pairs: Iterator[Any]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return getattr(value, kind)
