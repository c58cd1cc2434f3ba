"""Answers and refusals as OTLP/HTTP writes them ("OTLP/HTTP Response"), in the request's encoding.

That is the message of the signal, or google.rpc.Status.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import orjson
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.responses import Response

from otel_llm_sql.receiver.answers import Answer, Encoding, Kind, Reason, RefusedError

_MEDIA_TYPES: dict[Encoding, str] = {"protobuf": "application/x-protobuf", "json": "application/json"}
_MESSAGES: dict[Kind, tuple[Callable[[], Any], str, str]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans", "rejectedSpans"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records", "rejectedLogRecords"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points", "rejectedDataPoints"),
}
_CODES: dict[Reason, tuple[int, int]] = {
    "invalid": (400, 3),
    "too_large": (413, 8),
    "unauthenticated": (401, 16),
    "unsupported": (415, 3),
    "unavailable": (503, 14),
}
"""HTTP status and google.rpc.Code. Of these senders repeat only 503 (OTLP-06)."""


def success(kind: Kind, answer: Answer, encoding: Encoding) -> Response:
    """200, with partial_success where something is rejected."""
    message, field, camel = _MESSAGES[kind]
    is_partial = bool(answer.rejected or answer.message)
    if encoding == "json":
        # 64-bit integers are strings in the JSON of protobuf.
        partial = {camel: str(answer.rejected), "errorMessage": answer.message}
        return Response(
            orjson.dumps({"partialSuccess": partial} if is_partial else {}), 200, None, _MEDIA_TYPES["json"]
        )
    response = message()
    if is_partial:
        setattr(response.partial_success, field, answer.rejected)
        response.partial_success.error_message = answer.message
    return Response(response.SerializeToString(), media_type=_MEDIA_TYPES["protobuf"])


def refusal(error: RefusedError, encoding: Encoding | None) -> Response:
    """The error; in JSON where the request's encoding is none that is known."""
    status, code = _CODES[error.reason]
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    if error.reason == "unauthenticated":
        headers["WWW-Authenticate"] = "Bearer"
    if encoding == "protobuf":
        body = Status(code=code, message=str(error)).SerializeToString()
    else:
        body = orjson.dumps({"code": code, "message": str(error)})
    return Response(body, status, headers, _MEDIA_TYPES[encoding or "json"])
