"""Signal: one span or one log record, however it arrived. It knows no SDK and no wire format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

EMPTY: Mapping[str, Any] = MappingProxyType({})

Status: TypeAlias = Literal["unset", "ok", "error"]

STATUS: Mapping[int, Status] = MappingProxyType({0: "unset", 1: "ok", 2: "error"})
"""OTLP's numbers, which are the SDK's, too."""


def event_name(field: Any, attributes: Mapping[str, Any]) -> str:
    """What a log record is called: its own field, which is younger, else the `event.name` attribute."""
    name = field or attributes.get("event.name")
    return name if isinstance(name, str) else ""


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """An event on a span: name, nanoseconds since the epoch, attributes."""

    name: str
    time_ns: int
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Signal:
    """A span or a log record. Not frozen, as that would cost more than the whole conversion; nobody changes it.

    Attributes:
        kind: `span` or `log`.
        trace_id: 32 lower-case hex digits; empty when the record carries none.
        span_id: 16 lower-case hex digits; empty when the record carries none.
        parent_span_id: 16 lower-case hex digits, or None for a root span and for logs.
        name: the span's name; for a log its event name (from the field, else the `event.name` attribute).
        start_ns: start of the span, or the time of the log record, in nanoseconds since the epoch.
        end_ns: end of the span, 0 when it has none; for a log the same as `start_ns`.
        status: `unset`, `ok` or `error`; logs are `unset`.
        attributes: values as they arrived: any type, any size.
        body: the body of a log record, None for spans.
    """

    kind: Literal["span", "log"]
    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    scope_name: str | None = None
    scope_version: str | None = None
    status: Status = "unset"
    status_message: str | None = None
    events: tuple[SpanEvent, ...] = ()
    body: Any = None
    dropped_attributes: int = 0
    dropped_events: int = 0
