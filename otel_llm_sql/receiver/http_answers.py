"""Answers and refusals as OTLP/HTTP writes them ("OTLP/HTTP Response"), in the request's encoding.

That is the message of the signal, or google.rpc.Status.
"""

from __future__ import annotations

import math

import orjson
from starlette.responses import Response

from otel_llm_sql.receiver.answers import Answer, Encoding, Kind, Reason, RefusedError
from otel_llm_sql.receiver.messages import CODES, response, status

_MEDIA_TYPES: dict[Encoding, str] = {"protobuf": "application/x-protobuf", "json": "application/json"}
_REJECTED: dict[Kind, str] = {
    "traces": "rejectedSpans",
    "logs": "rejectedLogRecords",
    "metrics": "rejectedDataPoints",
}
_HTTP: dict[Reason, int] = {
    "invalid": 400,
    "too_large": 413,
    "unauthenticated": 401,
    "unsupported": 415,
    "too_slow": 503,
    "unavailable": 503,
}
"""Of these senders repeat only 503 (OTLP-06); 408, which would say what happened, is a permanent error to them."""


def success(kind: Kind, answer: Answer, encoding: Encoding) -> Response:
    """200, with partial_success where something is rejected."""
    if encoding == "protobuf":
        return Response(response(kind, answer), media_type=_MEDIA_TYPES["protobuf"])
    # 64-bit integers are strings in the JSON of protobuf.
    partial = {_REJECTED[kind]: str(answer.rejected), "errorMessage": answer.message}
    is_partial = bool(answer.rejected or answer.message)
    body = orjson.dumps({"partialSuccess": partial} if is_partial else {})
    return Response(body, media_type=_MEDIA_TYPES["json"])


def refusal(error: RefusedError, encoding: Encoding | None) -> Response:
    """The error; in JSON where the request's encoding is none that is known."""
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    if error.reason == "unauthenticated":
        headers["WWW-Authenticate"] = "Bearer"
    if error.reason == "too_slow":
        headers["Connection"] = "close"  # the rest of the body is not waited for
    if encoding == "protobuf":
        body = status(error).SerializeToString()
    else:
        body = orjson.dumps({"code": CODES[error.reason], "message": str(error)})
    return Response(body, _HTTP[error.reason], headers, _MEDIA_TYPES[encoding or "json"])
