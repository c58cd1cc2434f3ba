"""Answers and refusals as protobuf messages, the same for both doors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_llm_sql.receiver.answers import Answer, Kind, Reason, RefusedError

_RESPONSES: dict[Kind, tuple[Callable[[], Any], str]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
}
CODES: dict[Reason, int] = {
    "invalid": 3,
    "too_large": 8,
    "unauthenticated": 16,
    "unsupported": 3,
    "too_slow": 14,
    "unavailable": 14,
}
"""google.rpc.Code. Senders repeat 14, UNAVAILABLE; 8, RESOURCE_EXHAUSTED, only with a RetryInfo (OTLP-06)."""


def response(kind: Kind, answer: Answer) -> bytes:
    """The Export...ServiceResponse, with partial_success where something is rejected (OTLP-09)."""
    message, field = _RESPONSES[kind]
    filled = message()
    if answer.rejected or answer.message:
        setattr(filled.partial_success, field, answer.rejected)
        filled.partial_success.error_message = answer.message
    encoded: bytes = filled.SerializeToString()
    return encoded


def status(error: RefusedError) -> Any:
    """The google.rpc.Status, with a RetryInfo where the sender is to send again."""
    filled = Status(code=CODES[error.reason], message=str(error))
    if error.retry_after is not None:
        info = RetryInfo()
        info.retry_delay.FromMilliseconds(int(error.retry_after * 1000))
        filled.details.add().Pack(info)
    return filled
