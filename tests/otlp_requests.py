"""OTLP requests in their other form: JSON of protobuf, as the specification wants it."""

from __future__ import annotations

import base64
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict

_IDS = {"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"}


def as_object(request: Any, **style: Any) -> dict[str, Any]:
    """A request as OTLP JSON: google's, with ids in hex; `style` is that of MessageToDict."""
    style = {"use_integers_for_enums": True} | style
    found: dict[str, Any] = _with_hex_ids(MessageToDict(request, **style))
    return found


def as_json(request: Any, **style: Any) -> bytes:
    """As `as_object`, written."""
    return orjson.dumps(as_object(request, **style))


def _with_hex_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_hex_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: base64.b64decode(item).hex() if key in _IDS else _with_hex_ids(item) for key, item in value.items()}
